//! One entry of the grant `http`: a host, and what may be done there.
//!
//! Matching is pure: a request is described by an [`HttpTarget`], and the answer is a grant or what is missing. The
//! addresses behind a name are checked when they are known, by [`HttpGrant::permits_address`].

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::http_host::is_name;
use crate::{
    AddressRange, HttpDenial, HttpHost, HttpHostError, HttpTarget, Missing, forbidden_address, format_bytes,
};

/// Longest method in bytes: twice the longest that is registered.
const METHOD_MAX_BYTES: usize = 40;

/// Requests to a host that the operator allows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HttpGrant {
    /// The host or hosts.
    pub host: HostPattern,
    /// Methods; to read, unless it is said otherwise.
    #[serde(default = "HttpGrant::default_methods")]
    pub methods: Vec<String>,
    /// Ports; the scheme's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<u16>>,
    /// Whether the requests are `https`; otherwise they are `http`.
    #[serde(default = "yes")]
    pub tls: bool,
    /// Addresses that may be connected to although they are not public.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressRange>,
    /// The most that the body of a response may have, in bytes.
    #[serde(default = "HttpGrant::default_max_response")]
    pub max_response: u64,
}

fn yes() -> bool {
    true
}

impl HttpGrant {
    /// To read: what changes something at the other end is granted by name.
    pub const METHODS_DEFAULT: [&str; 2] = ["GET", "HEAD"];
    /// As much as a host call may carry: a guest that reads more has to say so.
    pub const MAX_RESPONSE_DEFAULT: u64 = 16 << 20;
    /// A gibibyte is read in pieces and never held at once, but takes its time on a shared line.
    pub const MAX_RESPONSE_MAX: u64 = 1 << 30;

    /// A grant with nothing said but the host.
    #[must_use]
    pub fn new(host: HostPattern) -> Self {
        Self {
            host,
            methods: Self::default_methods(),
            ports: None,
            tls: true,
            addresses: Vec::new(),
            max_response: Self::MAX_RESPONSE_DEFAULT,
        }
    }

    fn default_methods() -> Vec<String> {
        Self::METHODS_DEFAULT.map(str::to_owned).to_vec()
    }

    fn default_max_response() -> u64 {
        Self::MAX_RESPONSE_DEFAULT
    }

    /// The ports, said or by the scheme.
    #[must_use]
    pub fn ports(&self) -> &[u16] {
        match (&self.ports, self.tls) {
            (Some(ports), _) => ports,
            (None, true) => &[443],
            (None, false) => &[80],
        }
    }

    /// What is wrong with the grant, one sentence per key; nothing if it can hold.
    #[must_use]
    pub fn objections(&self) -> Vec<(&'static str, String)> {
        let mut objections = Vec::new();
        if self.methods.is_empty() {
            objections.push(("methods", "must name at least one".to_owned()));
        }
        for method in &self.methods {
            if let Err(why) = check_method(method) {
                objections.push(("methods", format!("has \"{}\", {why}", crate::escape_and_cut(method, 64))));
            }
        }
        if self.ports.as_ref().is_some_and(Vec::is_empty) {
            objections
                .push(("ports", "must name at least one; without the key it is the scheme's own".to_owned()));
        }
        if self.ports().contains(&0) {
            objections.push(("ports", "must be from 1 to 65535".to_owned()));
        }
        if self.addresses.iter().any(AddressRange::is_everything) {
            objections
                .push(("addresses", "must not be all there are; name the range that is meant".to_owned()));
        }
        if self.max_response == 0 || self.max_response > Self::MAX_RESPONSE_MAX {
            let most = format_bytes(Self::MAX_RESPONSE_MAX);
            objections.push(("max_response", format!("must be from 1 byte to {most}")));
        }
        objections
    }

    /// Whether a connection may go to this address of the host.
    #[must_use]
    pub fn permits_address(&self, address: IpAddr) -> bool {
        forbidden_address(address).is_none()
            || self.host == HostPattern::Host(HttpHost::Address(address))
            || self.addresses.iter().any(|range| range.contains(address))
    }
}

/// The first of the grants that allows a request.
///
/// # Errors
/// None does; the denial is of the grant that came closest.
pub fn permit<'a>(grants: &'a [HttpGrant], target: &HttpTarget) -> Result<&'a HttpGrant, HttpDenial> {
    let mut closest = Missing::Host;
    for grant in grants.iter().filter(|grant| grant.host.covers(&target.host)) {
        let missing = if grant.tls != target.tls {
            Missing::Scheme
        } else if !grant.ports().contains(&target.port) {
            Missing::Port
        } else if !grant.methods.contains(&target.method) {
            Missing::Method
        } else {
            return Ok(grant);
        };
        if rank(missing) > rank(closest) {
            closest = missing;
        }
    }
    Err(HttpDenial::Target { target: target.clone(), missing: closest })
}

/// How close to being allowed a request is that lacks this.
fn rank(missing: Missing) -> u8 {
    match missing {
        Missing::Host => 0,
        Missing::Scheme => 1,
        Missing::Port => 2,
        Missing::Method => 3,
        Missing::Address { .. } => 4,
    }
}

fn check_method(method: &str) -> Result<(), &'static str> {
    let token = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
    if !(1..=METHOD_MAX_BYTES).contains(&method.len()) || !method.bytes().all(token) {
        Err("which is no method; write for example \"POST\", in capitals")
    } else if ["CONNECT", "TRACE"].contains(&method) {
        Err("which turns a request into something else and cannot be granted")
    } else {
        Ok(())
    }
}

/// The hosts of a grant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HostPattern {
    /// One host: `api.example.com`, `192.0.2.7`, `[2001:db8::7]`.
    Host(HttpHost),
    /// All names below one, without itself: `*.example.com`.
    Below(String),
    /// Every name, `*`. Hosts that are addresses are not names.
    AnyName,
}

impl HostPattern {
    /// Whether a host is one of them.
    #[must_use]
    pub fn covers(&self, host: &HttpHost) -> bool {
        match (self, host) {
            (Self::Host(granted), host) => granted == host,
            (Self::Below(parent), HttpHost::Name(name)) => {
                name.strip_suffix(parent.as_str()).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1)
            }
            (Self::AnyName, HttpHost::Name(_)) => true,
            (Self::Below(_) | Self::AnyName, HttpHost::Address(_)) => false,
        }
    }

    /// Whether any host is one of both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let is_below = |name: &str, parent: &str| {
            name.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        match (self, other) {
            (Self::Host(host), pattern) | (pattern, Self::Host(host)) => pattern.covers(host),
            (Self::AnyName, _) | (_, Self::AnyName) => true,
            (Self::Below(one), Self::Below(two)) => is_below(one, two) || is_below(two, one),
        }
    }
}

impl FromStr for HostPattern {
    type Err = HttpHostError;

    fn from_str(text: &str) -> Result<Self, HttpHostError> {
        if text == "*" {
            return Ok(Self::AnyName);
        }
        let Some(parent) = text.strip_prefix("*.") else { return text.parse().map(Self::Host) };
        match parent.parse()? {
            HttpHost::Name(parent) if is_name(&parent) && parent.contains('.') => Ok(Self::Below(parent)),
            _ => Err(HttpHostError::new(text, "after `*.` stands a name of at least two labels")),
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = HttpHostError;

    fn try_from(text: String) -> Result<Self, HttpHostError> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> String {
        pattern.to_string()
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => write!(f, "{host}"),
            Self::Below(parent) => write!(f, "*.{parent}"),
            Self::AnyName => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(host: &str) -> HttpGrant {
        HttpGrant::new(host.parse().unwrap())
    }

    fn target(tls: bool, host: &str, port: u16, method: &str) -> HttpTarget {
        HttpTarget { tls, host: host.parse().unwrap(), port, method: method.to_owned() }
    }

    #[test]
    fn patterns_overlap_if_a_host_is_one_of_both() {
        let overlap = |one: &str, two: &str| {
            let [one, two] = [one, two].map(|text| text.parse::<HostPattern>().unwrap());
            assert_eq!(one.overlaps(&two), two.overlaps(&one));
            one.overlaps(&two)
        };
        for (one, two) in [
            ("a.example.com", "a.example.com"),
            ("a.example.com", "*.example.com"),
            ("*", "a.example.com"),
            ("*", "*.example.com"),
            ("*.example.com", "*.a.example.com"),
            ("*.example.com", "*.example.com"),
        ] {
            assert!(overlap(one, two), "{one} {two}");
        }
        for (one, two) in [
            ("a.example.com", "b.example.com"),
            ("example.com", "*.example.com"),
            ("*.example.com", "*.myexample.com"),
            ("*", "192.0.2.7"),
        ] {
            assert!(!overlap(one, two), "{one} {two}");
        }
    }

    fn missing(grants: &[HttpGrant], target: &HttpTarget) -> Option<Missing> {
        match permit(grants, target) {
            Ok(_) => None,
            Err(HttpDenial::Target { missing, .. }) => Some(missing),
            Err(HttpDenial::Host(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn a_grant_is_read_as_it_stands_in_a_tenants_file() {
        let read = |text: &str| serde_json::from_str::<HttpGrant>(text);
        let written = read(r#"{"host": "api.example.com", "methods": ["POST"], "ports": [443]}"#).unwrap();
        assert_eq!((written.tls, written.ports(), written.max_response), (true, [443].as_slice(), 16 << 20));
        assert_eq!(read(&serde_json::to_string(&written).unwrap()).unwrap(), written);
        assert_eq!(read(r#"{"host": "api.example.com"}"#).unwrap(), grant("api.example.com"));
        assert!(read(r#"{"host": "api.example.com", "addresses": ["here"]}"#).is_err());
        assert!(read(r#"{"host": "127.1"}"#).is_err());
    }

    #[test]
    fn without_a_grant_nothing_is_allowed() {
        assert_eq!(missing(&[], &target(true, "api.example.com", 443, "GET")), Some(Missing::Host));
    }

    #[test]
    fn a_grant_allows_its_host_scheme_ports_and_methods_only() {
        let grants = [grant("api.example.com")];
        let missing = |tls, host, port, method| missing(&grants, &target(tls, host, port, method));
        assert_eq!(missing(true, "api.example.com", 443, "GET"), None);
        assert_eq!(missing(true, "API.EXAMPLE.COM.", 443, "HEAD"), None);
        assert_eq!(missing(true, "example.com", 443, "GET"), Some(Missing::Host));
        assert_eq!(missing(true, "x.api.example.com", 443, "GET"), Some(Missing::Host));
        assert_eq!(missing(false, "api.example.com", 80, "GET"), Some(Missing::Scheme));
        assert_eq!(missing(true, "api.example.com", 8443, "GET"), Some(Missing::Port));
        assert_eq!(missing(true, "api.example.com", 443, "POST"), Some(Missing::Method));
        assert_eq!(missing(true, "api.example.com", 443, "get"), Some(Missing::Method));
    }

    #[test]
    fn of_several_grants_the_one_that_came_closest_says_what_is_missing() {
        let open = HttpGrant { tls: false, ..grant("*.example.com") };
        let grants = [open, grant("api.example.com")];
        assert_eq!(missing(&grants, &target(true, "api.example.com", 443, "PUT")), Some(Missing::Method));
        assert_eq!(missing(&grants, &target(false, "api.example.com", 80, "GET")), None);
    }

    #[test]
    fn a_star_stands_for_the_names_below_and_never_for_an_address() {
        let covers = |pattern: &str, host: &str| grant(pattern).host.covers(&host.parse().unwrap());
        assert!(covers("*.example.com", "a.example.com") && covers("*.example.com", "a.b.example.com"));
        assert!(!covers("*.example.com", "example.com") && !covers("*.example.com", "badexample.com"));
        assert!(covers("*", "example.com") && !covers("*", "127.0.0.1") && !covers("*", "[::1]"));
        for bad in ["*.com", "*.", "**", "a.*", "*.127.0.0.1", "*example.com"] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_that_is_not_public_has_to_be_named() {
        let named = HttpGrant { addresses: vec!["10.1.2.0/24".parse().unwrap()], ..grant("api.example.com") };
        assert!(named.permits_address([10, 1, 2, 3].into()) && !named.permits_address([10, 1, 3, 3].into()));
        assert!(named.permits_address([93, 184, 215, 14].into()));
        assert!(!grant("*").permits_address([127, 0, 0, 1].into()));
        assert!(grant("127.0.0.1").permits_address([127, 0, 0, 1].into()));
        assert!(!grant("127.0.0.1").permits_address([127, 0, 0, 2].into()));
    }

    #[test]
    fn a_grant_that_cannot_hold_is_objected_to_by_key() {
        let keys = |grant: HttpGrant| grant.objections().into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        let base = grant("a.example");
        assert!(base.objections().is_empty());
        let methods = |methods: &[&str]| HttpGrant {
            methods: methods.iter().map(|method| (*method).to_owned()).collect(),
            ..base.clone()
        };
        assert_eq!(keys(methods(&[])), ["methods"]);
        assert_eq!(keys(methods(&["post", "CONNECT", "TRACE", "G ET"])), ["methods"; 4]);
        assert_eq!(keys(HttpGrant { ports: Some(vec![]), ..base.clone() }), ["ports"]);
        assert_eq!(keys(HttpGrant { ports: Some(vec![0]), ..base.clone() }), ["ports"]);
        let everything = vec!["::/0".parse().unwrap()];
        assert_eq!(keys(HttpGrant { addresses: everything, ..base.clone() }), ["addresses"]);
        assert_eq!(keys(HttpGrant { max_response: 0, ..base.clone() }), ["max_response"]);
        assert_eq!(keys(HttpGrant { max_response: u64::MAX, ..base }), ["max_response"]);
    }
}

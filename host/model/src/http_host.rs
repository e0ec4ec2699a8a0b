//! The host of a URL, in the one spelling that names are compared in.
//!
//! Resolvers, browsers and libraries disagree about `0x7f.1`, `127.1` and full-width digits; whoever checks one meaning
//! and connects to another has checked nothing. So there is one spelling of everything: lower case, no trailing dot,
//! addresses as four decimal numbers or in brackets. Whatever else looks like an address is no host at all.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::escape_and_cut;

/// Longest name in bytes, as in DNS.
const NAME_MAX_BYTES: usize = 253;

/// Longest part of a name in bytes, as in DNS.
const LABEL_MAX_BYTES: usize = 63;

/// How much of an offending text an error repeats.
const SHOWN_BYTES: usize = 256;

/// A host: a name to be looked up, or an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HttpHost {
    /// A name: lower case, labels of letters, digits, `-` and `_`, without a trailing dot.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// A text that is no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no host: {rule}")]
pub struct HttpHostError {
    /// The text, escaped and cut to 256 bytes.
    pub given: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

impl HttpHostError {
    pub(crate) fn new(given: &str, rule: &'static str) -> Self {
        Self { given: escape_and_cut(given, SHOWN_BYTES), rule }
    }
}

impl FromStr for HttpHost {
    type Err = HttpHostError;

    fn from_str(text: &str) -> Result<Self, HttpHostError> {
        if let Some(inside) = text.strip_prefix('[') {
            let address = inside.strip_suffix(']').and_then(|inside| inside.parse::<Ipv6Addr>().ok());
            let rule = "in brackets stands an IPv6 address without a zone";
            return address.map(|v6| Self::Address(v6.into())).ok_or(HttpHostError::new(text, rule));
        }
        // A name with a trailing dot is the same name.
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if !is_name(&name) {
            let rule = "use labels of a-z, 0-9, `-` and `_` with dots between them, names of other scripts in Punycode";
            return Err(HttpHostError::new(text, rule));
        }
        if !ends_in_a_number(&name) {
            return Ok(Self::Name(name));
        }
        // The standard library reads decimal numbers without leading zeros, and nothing else.
        match name.parse::<Ipv4Addr>() {
            Ok(v4) if !text.ends_with('.') => Ok(Self::Address(v4.into())),
            _ => Err(HttpHostError::new(text, "an IPv4 address is four decimal numbers, each up to 255")),
        }
    }
}

impl TryFrom<String> for HttpHost {
    type Error = HttpHostError;

    fn try_from(text: String) -> Result<Self, HttpHostError> {
        text.parse()
    }
}

impl From<HttpHost> for String {
    fn from(host: HttpHost) -> String {
        host.to_string()
    }
}

impl fmt::Display for HttpHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Whether a text is a name in the one spelling.
pub(crate) fn is_name(name: &str) -> bool {
    let inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    let is_label = |label: &str| {
        (1..=LABEL_MAX_BYTES).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= NAME_MAX_BYTES && name.split('.').all(is_label)
}

/// Whether a reader of URLs may take a name for an address: its last label is a number, decimal, octal or hexadecimal.
fn ends_in_a_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let hexadecimal =
        last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Result<HttpHost, HttpHostError> {
        text.parse()
    }

    #[test]
    fn a_name_has_one_spelling() {
        for spelling in ["api.example.com", "API.Example.COM", "api.example.com."] {
            assert_eq!(host(spelling).unwrap(), HttpHost::Name("api.example.com".to_owned()));
        }
        assert_eq!(host("_dmarc.xn--bcher-kva.example").unwrap().to_string(), "_dmarc.xn--bcher-kva.example");
    }

    #[test]
    fn an_address_has_one_spelling() {
        assert_eq!(host("192.0.2.7").unwrap(), HttpHost::Address([192, 0, 2, 7].into()));
        assert_eq!(host("[2001:DB8::7]").unwrap().to_string(), "[2001:db8::7]");
        for odd in [
            "2130706433",
            "127.1",
            "0x7f.1",
            "0177.0.0.1",
            "127.0.0.01",
            "127.0.0.1.",
            "1.2.3.4.5",
            "256.1.1.1",
            "0x",
            "::1",
            "[::1",
            "[::1%lo]",
            "[127.0.0.1]",
            "127.0.0.0x1",
            "example.1",
        ] {
            assert!(host(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused_and_shown_harmlessly() {
        let long = "a".repeat(64);
        for bad in
            ["", ".", "a..b", "a.b..", "-a", "a-", "a b", "a%41", "bücher.example", "ａ.example", "*", &long]
        {
            assert!(host(bad).is_err(), "{bad}");
        }
        assert!(host("a\u{1b}[2J").unwrap_err().to_string().contains("\\u{1b}"));
    }
}

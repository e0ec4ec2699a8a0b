//! Why a request is not sent: what it lacks, and the key that would allow it.
//!
//! The text is for the tenant as well, who asks the operator for what it names. It says nothing about the network: not
//! which address a name has, nor what kind of address that is.

use std::fmt;
use std::net::IpAddr;

use crate::{HttpHost, HttpHostError};

/// Where a request wants to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTarget {
    /// Whether it is `https`.
    pub tls: bool,
    /// The host.
    pub host: HttpHost,
    /// The port, given or by the scheme.
    pub port: u16,
    /// The method.
    pub method: String,
}

impl fmt::Display for HttpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tls, host, port, method } = self;
        let (scheme, usual) = if *tls { ("https", 443) } else { ("http", 80) };
        write!(f, "{method} {scheme}://{host}")?;
        if *port == usual { Ok(()) } else { write!(f, ":{port}") }
    }
}

/// A request that is not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpDenial {
    /// The grants allow no such request.
    Target {
        /// The request.
        target: HttpTarget,
        /// What it lacks.
        missing: Missing,
    },
    /// What stands for a host is none, or not in the one spelling that grants are compared with.
    Host(HttpHostError),
}

/// What a request lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// No grant is for the host.
    Host,
    /// The host's grants are for the other scheme.
    Scheme,
    /// The host's grants are for other ports.
    Port,
    /// The host's grants are for other methods.
    Method,
    /// The host has an address that a grant has to name.
    Address {
        /// The address. It is the operator's to know.
        address: IpAddr,
        /// What it is, for example `loopback`.
        is: &'static str,
    },
}

impl HttpDenial {
    /// What was denied, in few words, with what only the operator may know.
    #[must_use]
    pub fn for_the_operator(&self) -> String {
        match self {
            Self::Target { target, missing: Missing::Address { address, is } } => {
                format!("{target} at {address}, {is}")
            }
            Self::Target { target, .. } => target.to_string(),
            Self::Host(error) => error.to_string(),
        }
    }
}

impl fmt::Display for HttpDenial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (target, missing) = match self {
            Self::Host(error) => return write!(f, "denied: {error}; no grant can allow it"),
            Self::Target { target, missing } => (target, missing),
        };
        let HttpTarget { tls, host, port, method } = target;
        write!(f, "denied: {target}; ")?;
        match missing {
            Missing::Host => {
                write!(f, "the queue has no grant `http` for {host}; an operator gives it by `http = [")?;
                write!(f, "{{ host = \"{host}\", methods = [\"{method}\"], ports = [{port}]")?;
                if !tls {
                    f.write_str(", tls = false")?;
                }
                f.write_str(" }]` under [queue.grants]")
            }
            Missing::Scheme if *tls => {
                write!(f, "the grants `http` for {host} are for `tls = false`; https takes one without that")
            }
            Missing::Scheme => {
                write!(f, "the grants `http` for {host} are for TLS; http takes one with `tls = false`")
            }
            Missing::Port => write!(f, "the grant `http` for {host} lacks {port} in its `ports`"),
            Missing::Method => write!(f, "the grant `http` for {host} lacks \"{method}\" in its `methods`"),
            Missing::Address { .. } => write!(
                f,
                "{host} has an address that is not public; the grant `http` for it has to name that in `addresses`"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(tls: bool, port: u16, missing: Missing) -> String {
        let host = "api.example.com".parse().unwrap();
        let target = HttpTarget { tls, host, port, method: "POST".to_owned() };
        HttpDenial::Target { target, missing }.to_string()
    }

    #[test]
    fn a_denial_says_which_key_to_ask_for() {
        assert_eq!(
            denial(true, 443, Missing::Host),
            "denied: POST https://api.example.com; the queue has no grant `http` for api.example.com; an operator \
             gives it by `http = [{ host = \"api.example.com\", methods = [\"POST\"], ports = [443] }]` under \
             [queue.grants]"
        );
        assert!(denial(false, 80, Missing::Host).contains("ports = [80], tls = false }]"));
        assert!(denial(true, 443, Missing::Scheme).contains("`tls = false`"));
        assert!(
            denial(true, 8443, Missing::Port).contains("https://api.example.com:8443; the grant `http` for")
        );
        assert!(denial(true, 8443, Missing::Port).contains("lacks 8443 in its `ports`"));
        assert!(denial(true, 443, Missing::Method).contains("lacks \"POST\" in its `methods`"));
    }

    #[test]
    fn a_denial_says_nothing_about_the_network() {
        let missing = Missing::Address { address: [10, 1, 2, 3].into(), is: "private" };
        let text = denial(true, 443, missing);
        assert!(text.contains("name that in `addresses`"), "{text}");
        assert!(!text.contains("10.1.2.3") && !text.contains("private"), "{text}");
        let host = "a.example".parse().unwrap();
        let target = HttpTarget { tls: false, host, port: 80, method: "GET".to_owned() };
        let denial = HttpDenial::Target { target, missing };
        assert_eq!(denial.for_the_operator(), "GET http://a.example at 10.1.2.3, private");
    }
}

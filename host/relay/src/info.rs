//! What a server says about itself, and what the client is told of it: nothing by which it would go round the relay.

use serde_json::Value;

/// A server's word about itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Info {
    /// The line that the client gets.
    pub(crate) line: Vec<u8>,
    /// Other servers of its cluster, as `host:port`.
    pub(crate) others: Vec<String>,
    /// Nothing is said to it before a handshake.
    pub(crate) wants_tls: bool,
    /// It is about to go away.
    pub(crate) leaves: bool,
}

impl Info {
    /// Reads what follows `INFO `.
    pub(crate) fn read(json: &[u8]) -> Option<Self> {
        let Value::Object(mut said) = serde_json::from_slice(json).ok()? else { return None };
        let is_set = |name| said.get(name).and_then(Value::as_bool).unwrap_or(false);
        let (wants_tls, leaves) = (is_set("tls_required"), is_set("ldm"));
        let others = said.remove("connect_urls").and_then(|others| serde_json::from_value(others).ok());
        // The relay does the handshake, and knows the other servers.
        for name in ["tls_required", "tls_verify", "tls_available", "ws_connect_urls"] {
            said.remove(name);
        }
        let line = format!("INFO {}\r\n", Value::Object(said)).into_bytes();
        Some(Self { line, others: others.unwrap_or_default(), wants_tls, leaves })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_hears_of_no_other_server_and_of_no_handshake() {
        let info = Info::read(
            br#" {"version":"2.15.1","client_id":9007199254740993,"nonce":"n","tls_required":true,"connect_urls":["a:1","b:2"],"ldm":true}"#,
        )
        .unwrap();
        assert_eq!(
            (info.others, info.wants_tls, info.leaves),
            (vec!["a:1".to_owned(), "b:2".to_owned()], true, true)
        );
        let line = String::from_utf8(info.line).unwrap();
        assert_eq!(
            line,
            "INFO {\"client_id\":9007199254740993,\"ldm\":true,\"nonce\":\"n\",\"version\":\"2.15.1\"}\r\n"
        );
    }

    #[test]
    fn what_is_no_object_is_nothing() {
        assert!(Info::read(b"[]").is_none() && Info::read(b"{").is_none());
        let info = Info::read(b"{\"connect_urls\":7}").unwrap();
        assert_eq!((info.others, info.wants_tls, info.leaves), (vec![], false, false));
    }
}

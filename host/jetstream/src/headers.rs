//! Building the headers of a message from text that a stranger wrote.
//!
//! The client library panics on a line break in a value and on an odd byte in a name. Here a value is escaped, and
//! a name that cannot be a header's is refused.

use async_nats::{HeaderMap, HeaderName, HeaderValue};

/// Headers under construction.
#[derive(Debug, Default)]
pub(crate) struct Headers(HeaderMap);

impl Headers {
    pub(crate) fn new() -> Self {
        Self(HeaderMap::new())
    }

    /// Sets a header of ours.
    pub(crate) fn set(&mut self, name: &'static str, value: String) {
        self.0.insert(HeaderName::from_static(name), header_value(value));
    }

    /// Sets a header that tells JetStream a number.
    pub(crate) fn set_number(&mut self, name: HeaderName, value: u64) {
        self.0.insert(name, HeaderValue::from(value));
    }

    /// Sets a header that tells JetStream a text.
    pub(crate) fn set_name(&mut self, name: HeaderName, value: String) {
        self.0.insert(name, header_value(value));
    }

    /// Adds a header of someone else's; the answer says whether `name` can be a header's.
    pub(crate) fn append(&mut self, name: &str, value: &str) -> bool {
        match name.parse::<HeaderName>() {
            Ok(parsed) if !name.is_empty() => {
                self.0.append(parsed, header_value(value.to_owned()));
                true
            }
            _ => false,
        }
    }

    pub(crate) fn into_map(self) -> HeaderMap {
        self.0
    }
}

/// The bytes that headers take on the wire.
pub(crate) fn wire_bytes(headers: &HeaderMap) -> usize {
    const AROUND: usize = "NATS/1.0\r\n\r\n".len();
    const BETWEEN: usize = ": \r\n".len();
    AROUND + pairs(headers).map(|(name, value)| name.len() + value.len() + BETWEEN).sum::<usize>()
}

/// All headers as pairs; those of one name in the order they were published, the names in no order.
pub(crate) fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name.as_ref(), value.as_str())))
}

fn header_value(text: String) -> HeaderValue {
    let plain = text.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
    HeaderValue::from(if plain { text } else { saggar_model::escape(&text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_in_a_value_is_escaped() {
        let mut headers = Headers::new();
        headers.set("Saggar-Reason", "a\r\nNats-Rollup: all".to_owned());
        assert!(headers.append("X-A", "b\rc\0"));
        let map = headers.into_map();
        let mut all: Vec<_> = pairs(&map).collect();
        all.sort_unstable();
        assert_eq!(all, [("Saggar-Reason", "a\\r\\nNats-Rollup: all"), ("X-A", "b\\rc\\u{0}")]);
    }

    #[test]
    fn a_name_that_cannot_be_a_headers_is_refused() {
        let mut headers = Headers::new();
        for name in ["", "a:b", "a\r\nb", "ä", "a\0"] {
            assert!(!headers.append(name, "x"), "{name:?}");
        }
        assert!(headers.into_map().is_empty());
    }

    #[test]
    fn the_size_counts_what_goes_over_the_wire() {
        let mut headers = Headers::new();
        headers.append("A", "1");
        headers.append("A", "22");
        assert_eq!(wire_bytes(&headers.into_map()), "NATS/1.0\r\nA: 1\r\nA: 22\r\n\r\n".len());
    }
}

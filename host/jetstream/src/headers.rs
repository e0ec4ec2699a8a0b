//! Building the headers of a message from text that a stranger wrote.
//!
//! The client library panics on a line break in a value and on an odd byte in a name. Here a value is escaped, and
//! a name that cannot be a header's is refused.

use std::fmt::{self, Write as _};

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as NotTaken;

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
    HeaderValue::from(if is_plain(&text) { text } else { saggar_model::escape(&text) })
}

/// Whether a value needs no escaping.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}

/// The headers of a message that is sent by the thousand, written down as they go over the wire.
///
/// The library keeps headers in a hash map of vectors, which for the thirteen of a result costs as much as everything
/// else that happens to it on its way to the socket. But what it writes for a header is its name, its value and a line
/// break, so that a value of many lines makes many headers. It takes such a value through serde only; should it ever
/// refuse, the headers are set one by one.
#[derive(Debug, Default)]
pub(crate) struct HeaderBlock {
    first: &'static str,
    /// The value of the first, and then a line for each of the others.
    lines: String,
}

impl HeaderBlock {
    const ENOUGH: usize = 512;
    const BREAK: &str = "\r\n";
    const BETWEEN: &str = ": ";

    /// Adds a header. Its value is escaped if it must be.
    pub(crate) fn push(&mut self, name: &'static str, value: fmt::Arguments<'_>) {
        if self.first.is_empty() {
            self.first = name;
            self.lines.reserve(Self::ENOUGH);
        } else {
            self.lines.extend([Self::BREAK, name, Self::BETWEEN]);
        }
        let begin = self.lines.len();
        self.lines.write_fmt(value).expect("writing to a string cannot fail");
        if !is_plain(&self.lines[begin..]) {
            let escaped = saggar_model::escape(&self.lines[begin..]);
            self.lines.truncate(begin);
            self.lines.push_str(&escaped);
        }
    }

    pub(crate) fn into_map(self) -> HeaderMap {
        match HeaderValue::deserialize(self.lines.as_str().into_deserializer()) {
            Ok::<_, NotTaken>(lines) => [(HeaderName::from_static(self.first), lines)].into_iter().collect(),
            Err(_) => self.one_by_one(),
        }
    }

    fn one_by_one(self) -> HeaderMap {
        let lines = self.lines.split(Self::BREAK).enumerate();
        let headers = lines.filter_map(|(at, line)| {
            let (name, value) = if at == 0 { (self.first, line) } else { line.split_once(Self::BETWEEN)? };
            Some((name.parse().ok()?, value.parse().ok()?))
        });
        headers.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_relay_says_of_a_message_is_what_the_model_reads() {
        assert_eq!(saggar_relay::MALFORMED, saggar_model::header_name::MALFORMED);
    }

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
    fn a_block_takes_on_the_wire_what_its_headers_take_one_by_one() {
        let block = || {
            let mut block = HeaderBlock::default();
            block.push("Saggar-Status", format_args!("succeeded"));
            block.push("Content-Type", format_args!("{}: {}", "a", 1));
            block.push("Saggar-Host", format_args!(""));
            block
        };
        let (map, expected) = (block().into_map(), block().one_by_one());
        assert_eq!(map.len(), 1, "the library takes a block as it is");
        assert_eq!(expected.len(), 3);
        assert_eq!(wire_bytes(&map), wire_bytes(&expected));
        let (name, value) = pairs(&map).next().unwrap();
        assert_eq!(
            format!("{name}: {value}"),
            "Saggar-Status: succeeded\r\nContent-Type: a: 1\r\nSaggar-Host: "
        );
    }

    #[test]
    fn nothing_in_a_value_makes_another_header_of_a_block() {
        let mut block = HeaderBlock::default();
        block.push("Content-Type", format_args!("a\r\nNats-Rollup: all"));
        block.push("Saggar-Host", format_args!("b\nX: c\r\r\n\r\n\0"));
        let map = block.into_map();
        let (_, value) = pairs(&map).next().unwrap();
        assert_eq!(value, "a\\r\\nNats-Rollup: all\r\nSaggar-Host: b\\nX: c\\r\\r\\n\\r\\n\\u{0}");
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

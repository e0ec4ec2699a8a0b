//! What is wrong with a message, in words that are safe to show: they end as the reason of a dead letter.

use std::fmt;

/// How much of an offending text is repeated.
const SHOWN_BYTES: usize = 64;

/// The first thing found that the client library could not read, or must not believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The block does not begin with its version.
    NoVersion,
    /// A status, which only the server may give.
    Status(String),
    /// A line that names no header.
    NoColon(String),
    /// The name of a header holds something else than visible ASCII, or nothing.
    Name(String),
    /// The value of the header of this name is not UTF-8.
    NotUtf8(String),
    /// The value of the header of this name holds a carriage return.
    CarriageReturn(String),
    /// The subject of the message, or that of its answer, is none.
    Subject,
}

impl Flaw {
    pub(crate) fn status(line: &[u8]) -> Self {
        Self::Status(shown(line))
    }

    pub(crate) fn no_colon(line: &[u8]) -> Self {
        Self::NoColon(shown(line))
    }

    pub(crate) fn name(name: &[u8]) -> Self {
        Self::Name(shown(name))
    }

    /// What of a value is wrong.
    pub(crate) fn value(name: &[u8], value: &[u8]) -> Self {
        if std::str::from_utf8(value).is_err() {
            Self::NotUtf8(shown(name))
        } else {
            Self::CarriageReturn(shown(name))
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVersion => f.write_str("the headers do not begin with NATS/1.0"),
            Self::Status(status) => {
                write!(f, "the headers hold the status `{status}`, which only a server may give")
            }
            Self::NoColon(line) => write!(f, "the header line `{line}` holds no colon"),
            Self::Name(name) => write!(f, "`{name}` cannot be the name of a header"),
            Self::NotUtf8(name) => write!(f, "the value of header {name} is not UTF-8"),
            Self::CarriageReturn(name) => write!(f, "the value of header {name} holds a carriage return"),
            Self::Subject => f.write_str("the subject is not UTF-8 or holds white space"),
        }
    }
}

/// Bytes of a stranger's as ASCII that can be printed, cut.
fn shown(bytes: &[u8]) -> String {
    bytes
        .trim_ascii()
        .iter()
        .copied()
        .flat_map(std::ascii::escape_default)
        .take(SHOWN_BYTES)
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_strangers_bytes_is_short_and_printable() {
        let flaw = Flaw::name(&[0xff, 0x1b, b'\n', b'x'].repeat(100)).to_string();
        assert!(flaw.len() < 128 && flaw.bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{flaw}");
        assert!(flaw.contains("`\\xff\\x1b\\nx"), "{flaw}");
    }

    #[test]
    fn a_value_is_told_by_what_is_wrong_with_it() {
        assert_eq!(Flaw::value(b"X-A", b"a\rb"), Flaw::CarriageReturn("X-A".to_owned()));
        assert_eq!(Flaw::value(b"X-A", b"a\r\xff"), Flaw::NotUtf8("X-A".to_owned()));
    }
}

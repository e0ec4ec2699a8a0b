//! The headers of a message as they go over the wire: whether the client library can read them, and what is made of
//! those that it cannot.
//!
//! Accepted is nothing that the library refuses, and hardly less than it accepts: a carriage return that ends no line
//! and a header without a name are found wrong also where the library would bear them.

use std::str;

use memchr::memmem;

use crate::flaw::Flaw;

/// The header that says of a message that it was not published as it is read here, and why.
pub const MALFORMED: &str = "Saggar-Malformed";

const VERSION: &[u8] = b"NATS/1.0";

/// What stands in for bytes that cannot be passed on.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// A header that the server adds to each stored message it is asked for, behind all others, and to nothing that it says
/// itself.
const STORED: &[u8] = b"\nNats-Sequence:";

/// Whether a block is as the library can read it, and holds no status that is not the server's.
///
/// `server_speaks` says whether the message came where only the server speaks.
pub(crate) fn is_fine(block: &[u8], server_speaks: bool) -> bool {
    match has_status(block) {
        Some(false) => true,
        Some(true) => server_speaks && !was_stored(block),
        None => false,
    }
}

/// A block that says what can be read of `block`, and what is wrong with it.
pub(crate) fn put_right(block: &[u8], server_speaks: bool, flaw: Option<Flaw>) -> Vec<u8> {
    let mut right = Rewritten { bytes: Vec::with_capacity(block.len() + 256), flaw };
    right.rewrite(block, server_speaks && !was_stored(block));
    let Rewritten { mut bytes, flaw } = right;
    let what = flaw.map(|flaw| flaw.to_string()).unwrap_or_default();
    let end = format!("{MALFORMED}: {what}\r\n\r\n");
    bytes.extend_from_slice(end.as_bytes());
    if has_status(&bytes).is_some() {
        return bytes;
    }
    // It cannot happen; if it does, nothing of the stranger's is passed on.
    [VERSION, b"\r\n", end.as_bytes()].concat()
}

/// Text without what the library cannot bear: each byte that is not UTF-8, and each character that `odd` names, is replaced.
pub(crate) fn cleaned(bytes: &[u8], odd: fn(char) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.extend(chunk.valid().chars().map(|c| if odd(c) { REPLACEMENT } else { c }));
        if !chunk.invalid().is_empty() {
            text.push(REPLACEMENT);
        }
    }
    text
}

fn was_stored(block: &[u8]) -> bool {
    memmem::find(block, STORED).is_some()
}

/// Whether a block that the library can read holds a status; nothing if it cannot read it.
fn has_status(block: &[u8]) -> Option<bool> {
    let text = str::from_utf8(block).ok()?;
    let mut lines = Lines(text.as_bytes());
    let version = lines.next()?;
    let status = version.strip_prefix(VERSION)?;
    if memchr::memchr(b'\r', status).is_some() || !(is_blank(status) || is_status(status)) {
        return None;
    }
    let mut after_header = false;
    for line in lines {
        if memchr::memchr(b'\r', line).is_some() {
            return None;
        }
        if line.is_empty() {
            after_header = false;
        } else if !(after_header && begins_with_white_space(line)) {
            let colon = memchr::memchr(b':', line)?;
            if !is_name(&line[..colon]) {
                return None;
            }
            after_header = true;
        }
    }
    Some(!is_blank(status))
}

/// Lines as the library finds them: a line feed ends one, and takes one carriage return with it.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let Some(end) = memchr::memchr(b'\n', self.0) else {
            return Some(std::mem::take(&mut self.0));
        };
        let (line, rest) = (&self.0[..end], &self.0[end + 1..]);
        self.0 = rest;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

fn is_blank(text: &[u8]) -> bool {
    str::from_utf8(text).is_ok_and(|text| text.trim().is_empty())
}

/// Three digits, the first of them no zero, and perhaps a description.
fn is_status(text: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(text) else { return false };
    let text = text.trim();
    let status = text.split_once(' ').map_or(text, |(status, _)| status.trim()).as_bytes();
    status.len() == 3 && status[0] != b'0' && status.iter().all(u8::is_ascii_digit)
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

fn begins_with_white_space(line: &[u8]) -> bool {
    match line.first() {
        Some(first) if first.is_ascii() => char::from(*first).is_whitespace(),
        Some(_) => {
            line.utf8_chunks().next().is_some_and(|chunk| chunk.valid().starts_with(char::is_whitespace))
        }
        None => false,
    }
}

/// A block under construction.
struct Rewritten {
    bytes: Vec<u8>,
    /// The first that was found.
    flaw: Option<Flaw>,
}

impl Rewritten {
    fn rewrite(&mut self, block: &[u8], server_speaks: bool) {
        let mut lines = Lines(block).peekable();
        self.bytes.extend_from_slice(VERSION);
        match lines.peek().and_then(|line| line.strip_prefix(VERSION)) {
            Some(status) => {
                if server_speaks && is_status(status) && !status.contains(&b'\r') {
                    self.bytes.extend_from_slice(status);
                } else if !is_blank(status) || status.contains(&b'\r') {
                    self.found(|| Flaw::status(status));
                }
                lines.next();
            }
            None => self.found(|| Flaw::NoVersion),
        }
        self.bytes.extend_from_slice(b"\r\n");
        while let Some(line) = lines.next() {
            let Some(colon) = memchr::memchr(b':', line) else {
                if !line.is_empty() {
                    self.found(|| Flaw::no_colon(line));
                }
                continue;
            };
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            if !is_name(name) {
                self.found(|| Flaw::name(name));
                continue;
            }
            // A value over several lines is read as one.
            let mut value = value.to_vec();
            while let Some(more) = lines.next_if(|line| begins_with_white_space(line)) {
                value.extend_from_slice(more);
            }
            self.header(name, &value);
        }
    }

    fn header(&mut self, name: &[u8], value: &[u8]) {
        if str::from_utf8(value).is_err() || value.contains(&b'\r') {
            self.found(|| Flaw::value(name, value));
        }
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        self.bytes.extend_from_slice(cleaned(value.trim_ascii(), |c| c == '\r').as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn found(&mut self, flaw: impl FnOnce() -> Flaw) {
        self.flaw.get_or_insert_with(flaw);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn right(block: &[u8]) -> String {
        assert!(!is_fine(block, false), "{block:?}");
        String::from_utf8(put_right(block, false, None)).unwrap()
    }

    #[test]
    fn what_ordinary_clients_and_the_server_write_is_fine() {
        for block in [
            "NATS/1.0\r\n\r\n",
            "NATS/1.0\r\nA: b\r\n\r\n",
            "NATS/1.0\r\nA:b\r\nA: c\r\n d\r\n\u{a0}e\r\nÄ-less: ä: \u{1}\r\n\r\n".replace('Ä', "A").as_str(),
            "NATS/1.0\nA: b\n",
            "NATS/1.0",
            "NATS/1.0 \r\n\r\nA:\r\n",
        ] {
            assert!(is_fine(block.as_bytes(), false), "{block:?}");
        }
    }

    #[test]
    fn each_flaw_is_named_and_the_other_headers_stay() {
        for (line, kept, what) in [
            ("X-Bad: a\rb", "X-Bad: a\u{fffd}b\r\n", "the value of header X-Bad holds a carriage return"),
            ("no colon", "", "the header line `no colon` holds no colon"),
            ("X Bad: a", "", "`X Bad` cannot be the name of a header"),
            (": a", "", "`` cannot be the name of a header"),
            ("X-Bäd: a", "", "`X-B\\xc3\\xa4d` cannot be the name of a header"),
        ] {
            let right = right(format!("NATS/1.0\r\nX-A: 1\r\n{line}\r\nX-B: 2\r\n\r\n").as_bytes());
            let wanted = format!("NATS/1.0\r\nX-A: 1\r\n{kept}X-B: 2\r\n{MALFORMED}: {what}\r\n\r\n");
            assert_eq!(right, wanted);
        }
        assert_eq!(
            right(b"NATS/1.0\r\nX-Bad: \xff\xfea\r\n b\r\r\n\r\n"),
            format!(
                "NATS/1.0\r\nX-Bad: \u{fffd}\u{fffd}a b\r\n{MALFORMED}: the value of header X-Bad is not UTF-8\r\n\r\n"
            )
        );
    }

    #[test]
    fn a_block_that_is_none_says_only_that() {
        for block in [&b""[..], b"\r\n", b"garbage", b"\xff\xff\xff", b"NATS/2.0\r\n\r\n"] {
            let right = right(block);
            assert_eq!(
                right,
                format!("NATS/1.0\r\n{MALFORMED}: the headers do not begin with NATS/1.0\r\n\r\n")
            );
        }
    }

    #[test]
    fn a_status_is_believed_only_where_the_server_speaks_and_of_nothing_that_was_stored() {
        let word = b"NATS/1.0 409 Consumer Deleted\r\nNats-Pending-Messages: 1\r\n\r\n";
        assert!(is_fine(word, true));
        assert!(right(word).starts_with(
            "NATS/1.0\r\nNats-Pending-Messages: 1\r\nSaggar-Malformed: the headers hold the status"
        ));
        let stored = b"NATS/1.0 503\r\nNats-Stream: S\r\nNats-Sequence: 7\r\n\r\n";
        assert!(!is_fine(stored, true));
        let right = String::from_utf8(put_right(stored, true, None)).unwrap();
        assert!(right.starts_with("NATS/1.0\r\nNats-Stream: S\r\nNats-Sequence: 7\r\nSaggar"), "{right}");
        for none in ["NATS/1.0 99\r\n\r\n", "NATS/1.0 x\r\n\r\n", "NATS/1.0x\r\n\r\n", "NATS/1.0 012\r\n\r\n"]
        {
            assert!(!is_fine(none.as_bytes(), true), "{none:?}");
        }
    }

    #[test]
    fn what_the_server_added_is_kept_whatever_stands_before_it() {
        let block = b"NATS/1.0\r\nX: \xffNats-Stream: S\r\nNats-Subject: a.\xff\r\nNats-Sequence: 7\r\n\r\n";
        let right = String::from_utf8(put_right(block, true, None)).unwrap();
        assert!(right.contains("\r\nNats-Subject: a.\u{fffd}\r\nNats-Sequence: 7\r\n"), "{right}");
    }

    /// Bytes of which odd blocks are made more often than of any bytes.
    fn odd_block() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            Just(b"NATS/1.0".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"\n".to_vec()),
            Just(b" ".to_vec()),
            Just(b": ".to_vec()),
            Just(b"X-Name".to_vec()),
            Just(b" 503 Gone".to_vec()),
            Just("\u{a0}ä".as_bytes().to_vec()),
            Just(b"\xff".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..4),
        ];
        (any::<bool>(), proptest::collection::vec(part, 0..24)).prop_map(|(versioned, parts)| {
            let version = if versioned { VERSION } else { b"" };
            [version, &parts.concat()].concat()
        })
    }

    proptest! {
        #[test]
        fn what_was_put_right_is_fine(block in odd_block(), server_speaks: bool) {
            let right = put_right(&block, server_speaks, Some(Flaw::Subject));
            prop_assert!(is_fine(&right, server_speaks), "{:?}", String::from_utf8_lossy(&right));
            prop_assert!(right.len() <= 3 * block.len() + 256);
            if !is_fine(&block, server_speaks) {
                let right = String::from_utf8(put_right(&block, server_speaks, None)).unwrap();
                let what = right.rsplit_once("Saggar-Malformed: ").unwrap().1.trim();
                prop_assert!(!what.is_empty(), "nothing was found wrong with {:?}", block);
            }
        }
    }
}

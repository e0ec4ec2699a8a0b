//! Keeps secrets out of everything that leaves the sandbox for people to read: the value itself, in base64 at each
//! of its three alignments, in hexadecimal, percent-encoded and as a JSON string.
//!
//! This is against accidents. A guest that reads a secret can always spell it in a way that nobody looks for; one
//! that must not have it gets a secret that only the host can send.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use saggar_model::{NewChild, SecretValue};

/// What stands in the place of a secret. No longer than the shortest secret, so that nothing outgrows its limit.
const REPLACEMENT: &[u8] = b"***";

/// A line of a longer secret that is looked for by itself: keys are logged line by line.
const LINE_MIN_BYTES: usize = 16;

/// Replaces secrets by asterisks. Cheap to clone; without secrets it does nothing at all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Redactor(Option<Arc<Spellings>>);

#[derive(Debug)]
struct Spellings {
    automaton: AhoCorasick,
    patterns: Vec<Vec<u8>>,
    longest: usize,
}

impl Redactor {
    /// Looks for these values from now on.
    pub(crate) fn new<'a>(values: impl Iterator<Item = &'a SecretValue>) -> Self {
        let patterns: BTreeSet<Vec<u8>> = values.flat_map(|value| spellings(value.reveal())).collect();
        let patterns: Vec<_> = patterns.into_iter().collect();
        let Some(longest) = patterns.iter().map(Vec::len).max() else { return Self(None) };
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&patterns)
            .expect("a few dozen patterns of some kilobytes make no automaton too large");
        Self(Some(Arc::new(Spellings { automaton, patterns, longest })))
    }

    /// The text without secrets.
    pub(crate) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.replaced(text.as_bytes()) {
            None => Cow::Borrowed(text),
            // Patterns of UTF-8 are found in UTF-8 at the borders of characters, and asterisks are UTF-8.
            Some(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// A child without the secrets of its parent: its payload and its headers are kept where others read them.
    pub(crate) fn child(&self, new: NewChild) -> NewChild {
        let headers = new.headers.into_iter().map(|(name, value)| (name, self.text(&value).into_owned()));
        NewChild { headers: headers.collect(), payload: self.bytes(new.payload), ..new }
    }

    /// The bytes without secrets.
    pub(crate) fn bytes(&self, bytes: Bytes) -> Bytes {
        self.replaced(&bytes).map_or(bytes, Bytes::from)
    }

    fn replaced(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let automaton = &self.0.as_deref()?.automaton;
        automaton.is_match(bytes).then(|| {
            let mut clean = Vec::with_capacity(bytes.len());
            automaton.replace_all_with_bytes(bytes, &mut clean, |_, _, clean| {
                clean.extend_from_slice(REPLACEMENT);
                true
            });
            clean
        })
    }
}

/// A stream of bytes that secrets are kept out of, however it is cut into pieces.
#[derive(Debug, Default)]
pub(crate) struct RedactedStream {
    redactor: Redactor,
    /// The beginning of what may become a secret.
    held: Vec<u8>,
}

impl RedactedStream {
    pub(crate) fn new(redactor: Redactor) -> Self {
        Self { redactor, held: Vec::new() }
    }

    /// Takes a piece and gives what can be told of the stream by now.
    pub(crate) fn push<'a>(&mut self, piece: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(spellings) = self.redactor.0.as_deref() else { return Cow::Borrowed(piece) };
        self.held.extend_from_slice(piece);
        let (clean, rest) = spellings.settled(&self.held);
        self.held = rest;
        Cow::Owned(clean)
    }

    /// What was held back, now that nothing follows.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        self.redactor.replaced(&held).unwrap_or(held)
    }

    /// The most that a write makes the host compare, in bytes on top of its own.
    pub(crate) fn window(&self) -> usize {
        self.redactor.0.as_deref().map_or(0, |spellings| spellings.longest)
    }
}

impl Spellings {
    /// What will not change whatever follows, without secrets, and the rest as it is.
    fn settled(&self, bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut begun = self.begun(bytes, 0);
        let mut clean = Vec::with_capacity(bytes.len());
        let mut at = 0;
        for found in self.automaton.find_iter(bytes) {
            if found.start() >= begun {
                break;
            }
            clean.extend_from_slice(&bytes[at..found.start()]);
            clean.extend_from_slice(REPLACEMENT);
            at = found.end();
            if at > begun {
                begun = self.begun(bytes, at);
            }
        }
        clean.extend_from_slice(&bytes[at..begun]);
        (clean, bytes[begun..].to_vec())
    }

    /// Where, at `from` or later, something begins that is the beginning of a pattern and goes on to the end.
    fn begun(&self, bytes: &[u8], from: usize) -> usize {
        let earliest = bytes.len().saturating_sub(self.longest - 1).max(from);
        let begins = |&at: &usize| {
            let end = &bytes[at..];
            self.patterns.iter().any(|pattern| pattern.len() > end.len() && pattern.starts_with(end))
        };
        (earliest..bytes.len()).find(begins).unwrap_or(bytes.len())
    }
}

/// All the spellings of a secret that are looked for.
fn spellings(secret: &str) -> Vec<Vec<u8>> {
    let mut spellings = Vec::new();
    let lines = secret.lines().filter(|line| line.len() >= LINE_MIN_BYTES && *line != secret);
    for text in std::iter::once(secret).chain(lines) {
        let json = serde_json::to_string(text).expect("a text can be written as JSON");
        spellings.push(text.as_bytes().to_vec());
        spellings.push(json.as_bytes()[1..json.len() - 1].to_vec());
        spellings.push(hex::encode(text).into_bytes());
        spellings.push(hex::encode_upper(text).into_bytes());
        spellings.push(percent_encoding::utf8_percent_encode(text, UNRESERVED).to_string().into_bytes());
        for before in 0..3 {
            spellings.push(aligned(&STANDARD_NO_PAD, text, before));
            spellings.push(aligned(&URL_SAFE_NO_PAD, text, before));
        }
    }
    spellings
}

/// Everything but letters, digits and `-._~` is encoded.
const UNRESERVED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The characters of base64 that depend on the secret alone when so many bytes stand before it.
fn aligned(alphabet: &impl base64::Engine, secret: &str, before: usize) -> Vec<u8> {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(secret.as_bytes());
    let (first_bit, bits) = (before * 8, bytes.len() * 8);
    let encoded = alphabet.encode(bytes);
    encoded.as_bytes()[first_bit.div_ceil(6)..bits / 6].to_vec()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    const SECRET: &str = "s3cr3t/töken+\"1\"";

    #[test]
    fn a_child_gets_no_secret_of_its_parent() {
        let new = NewChild {
            payload: Bytes::from_static(b"the token is open-sesame"),
            headers: vec![("X-Token".into(), "open-sesame".into())],
            ..NewChild::default()
        };
        let child = redactor("open-sesame").child(new);
        assert_eq!(child.payload, "the token is ***");
        assert_eq!(child.headers, [("X-Token".to_owned(), "***".to_owned())]);
    }

    fn redactor(secret: &str) -> Redactor {
        Redactor::new([SecretValue::from_file(secret.as_bytes()).unwrap()].iter())
    }

    #[test]
    fn a_secret_is_replaced_in_every_spelling() {
        let redactor = redactor(SECRET);
        for prefix in ["", "a", "ab", "abc"] {
            let with = format!("{prefix}{SECRET}xyz");
            for text in [
                with.clone(),
                STANDARD_NO_PAD.encode(&with),
                URL_SAFE_NO_PAD.encode(&with),
                hex::encode(&with),
                hex::encode_upper(&with),
                serde_json::to_string(&with).unwrap(),
                format!("https://x/?t={}", percent_encoding::utf8_percent_encode(&with, UNRESERVED)),
            ] {
                let clean = redactor.text(&text);
                assert!(clean.contains("***"), "{text} became {clean}");
                assert!(!clean.contains("s3cr3t"), "{clean}");
                assert!(clean.len() <= text.len());
            }
        }
    }

    #[test]
    fn what_holds_no_secret_is_left_alone() {
        let text = "nothing to see, s3cr3t/tö and so on";
        assert!(matches!(redactor(SECRET).text(text), Cow::Borrowed(_)));
        assert!(matches!(Redactor::default().text(text), Cow::Borrowed(_)));
        let bytes = Bytes::from_static(&[0, 255, 1]);
        assert_eq!(redactor(SECRET).bytes(bytes.clone()), bytes);
    }

    #[test]
    fn a_stream_may_be_cut_anywhere() {
        let text = format!("a{SECRET}b{SECRET}{SECRET}c{}", hex::encode(SECRET));
        for size in 1..text.len() {
            let mut stream = RedactedStream::new(redactor(SECRET));
            let mut clean = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                clean.extend_from_slice(&stream.push(piece));
            }
            clean.extend_from_slice(&stream.finish());
            assert_eq!(String::from_utf8(clean).unwrap(), "a***b******c***", "in pieces of {size}");
        }
    }

    #[test]
    fn a_stream_holds_back_only_what_may_become_a_secret() {
        let mut stream = RedactedStream::new(redactor("password-1"));
        assert_eq!(&*stream.push(b"the pass"), b"the ");
        assert_eq!(&*stream.push(b"age\n"), b"passage\n");
        assert_eq!(&*stream.push(b"passw"), b"");
        assert_eq!(stream.finish(), b"passw");
    }

    #[test]
    fn a_secret_that_begins_another_does_not_let_its_end_pass() {
        let values = ["token-1", "token-1-long"].map(|text| SecretValue::from_file(text.as_bytes()).unwrap());
        let mut stream = RedactedStream::new(Redactor::new(values.iter()));
        let mut clean = stream.push(b"x token-1").into_owned();
        clean.extend_from_slice(&stream.push(b"-long y"));
        clean.extend_from_slice(&stream.finish());
        assert_eq!(clean, b"x *** y");
    }

    #[test]
    fn the_lines_of_a_long_secret_are_secret_too() {
        let key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nshort\n-----END KEY-----";
        let clean = redactor(key).text("info MIIEvQIBADANBgkqhkiG9w0BAQEFAASC, short").into_owned();
        assert_eq!(clean, "info ***, short");
    }
}

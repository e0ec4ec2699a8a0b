//! The lines with which the server announces a message: `MSG` and `HMSG`, with subjects that a stranger may have written.

use std::fmt::Write as _;
use std::str;

use crate::header_block::cleaned;

/// `MSG` has at most four words, `HMSG` five.
const WORDS_MAX: usize = 5;

/// More than the largest message that a server takes; what claims to be more is no message.
const BYTES_MAX: usize = 128 << 20;

/// A message that is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announced<'a> {
    pub(crate) subject: &'a [u8],
    sid: &'a [u8],
    pub(crate) reply: Option<&'a [u8]>,
    /// The bytes of its headers; nothing if it has none.
    pub(crate) headers: Option<usize>,
    /// All its bytes, headers included.
    pub(crate) total: usize,
}

impl<'a> Announced<'a> {
    /// Reads what follows `MSG `.
    pub(crate) fn message(line: &'a [u8]) -> Option<Self> {
        let (words, count) = words(line)?;
        let (reply, total) = match count {
            3 => (None, words[2]),
            4 => (Some(words[2]), words[3]),
            _ => return None,
        };
        Some(Self { subject: words[0], sid: sid(words[1])?, reply, headers: None, total: number(total)? })
    }

    /// Reads what follows `HMSG `.
    pub(crate) fn with_headers(line: &'a [u8]) -> Option<Self> {
        let (words, count) = words(line)?;
        let (reply, headers, total) = match count {
            4 => (None, words[2], words[3]),
            5 => (Some(words[2]), words[3], words[4]),
            _ => return None,
        };
        let (headers, total) = (number(headers)?, number(total)?);
        let sid = sid(words[1])?;
        (headers <= total).then_some(Self { subject: words[0], sid, reply, headers: Some(headers), total })
    }

    /// Whether the client library can read the subjects. It takes a message without headers apart at blanks, and one
    /// with headers at whatever Unicode calls white space.
    pub(crate) fn is_fine(&self) -> bool {
        let with_headers = self.headers.is_some();
        let fine = |subject: &[u8]| match str::from_utf8(subject) {
            Ok(text) => !with_headers || !text.contains(char::is_whitespace),
            Err(_) => false,
        };
        fine(self.subject) && self.reply.is_none_or(fine)
    }

    /// The line that announces it with subjects that can be read, and with headers of `headers` bytes.
    pub(crate) fn put_right(&self, headers: Option<usize>) -> String {
        let clean = |subject| cleaned(subject, char::is_whitespace);
        let verb = if headers.is_some() { "HMSG" } else { "MSG" };
        let mut line = format!("{verb} {} {}", clean(self.subject), String::from_utf8_lossy(self.sid));
        if let Some(reply) = self.reply {
            line.extend([" ", &clean(reply)]);
        }
        let total = self.total - self.headers.unwrap_or(0) + headers.unwrap_or(0);
        if let Some(headers) = headers {
            write!(line, " {headers}").expect("writing to a string cannot fail");
        }
        write!(line, " {total}\r\n").expect("writing to a string cannot fail");
        line
    }
}

fn words(line: &[u8]) -> Option<([&[u8]; WORDS_MAX], usize)> {
    let (mut words, mut count): ([&[u8]; WORDS_MAX], usize) = ([&[]; WORDS_MAX], 0);
    let mut start = 0;
    for end in memchr::memchr_iter(b' ', line).chain([line.len()]) {
        if end > start {
            *words.get_mut(count)? = &line[start..end];
            count += 1;
        }
        start = end + 1;
    }
    Some((words, count))
}

/// A number that the client gave a subscription.
fn sid(word: &[u8]) -> Option<&[u8]> {
    (word.len() < 20 && word.iter().all(u8::is_ascii_digit)).then_some(word)
}

fn number(word: &[u8]) -> Option<usize> {
    if word.len() >= 10 || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = word.iter().fold(0, |number, digit| 10 * number + usize::from(digit - b'0'));
    (number <= BYTES_MAX).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_and_without_reply_and_headers() {
        let read = Announced::message(b"a.b 7 12").unwrap();
        assert_eq!((read.subject, read.reply, read.headers, read.total), (&b"a.b"[..], None, None, 12));
        let read = Announced::with_headers(b"a.b 7 r 12 30").unwrap();
        assert_eq!((read.reply, read.headers, read.total), (Some(&b"r"[..]), Some(12), 30));
        assert!(read.is_fine());
    }

    #[test]
    fn what_announces_no_message_is_nothing() {
        for line in ["", "a 7", "a x 1", "a 7 r 1 2", "a 7 -1", "a 7 99999999999999999999", "a 7 999999999"] {
            assert_eq!(Announced::message(line.as_bytes()), None, "{line}");
        }
        for line in ["a 7 1", "a 7 2 1", "a 7 r x 1 2"] {
            assert_eq!(Announced::with_headers(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn white_space_in_a_subject_matters_with_headers_only() {
        let subject = "a.\u{a0}b 7 2 3".as_bytes();
        assert!(Announced::message(&subject[..subject.len() - 2]).unwrap().is_fine());
        let read = Announced::with_headers(subject).unwrap();
        assert!(!read.is_fine());
        assert_eq!(read.put_right(Some(12)), "HMSG a.\u{fffd}b 7 12 13\r\n");
    }

    #[test]
    fn a_subject_that_is_not_utf_8_is_replaced_byte_by_byte() {
        let read = Announced::message(b"a.\xff\xfe 7 r.\xc3 3").unwrap();
        assert!(!read.is_fine());
        assert_eq!(read.put_right(None), "MSG a.\u{fffd}\u{fffd} 7 r.\u{fffd} 3\r\n");
    }
}

//! The way from server to client: a state machine that says of the bytes in front of it which go through, and what
//! takes the place of others.
//!
//! It holds no bytes. How they are cut into pieces on the way makes no difference.

use std::str;

use crate::control_line::Announced;
use crate::flaw::Flaw;
use crate::header_block;
use crate::info::Info;

/// A line of the protocol that is longer is none. The longest are about a cluster of many servers; those that strangers
/// write a part of are bounded by the server, at 4 KiB unless it was told otherwise.
pub(crate) const LINE_MAX: usize = 1 << 20;

const LINE_BREAK: usize = "\r\n".len();

/// What a delivery is acknowledged to. A publisher cannot have a message come with such a reply.
const ACKNOWLEDGED: &[u8] = b"$JS.ACK.";

/// Watches a connection's way from server to client.
#[derive(Debug)]
pub(crate) struct Filter {
    /// What the subjects begin with on which only the server speaks.
    inboxes: Vec<u8>,
    /// Bytes that go through unseen: the rest of a message.
    through: usize,
}

/// What becomes of the next bytes.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// So many go through.
    Pass(usize),
    /// So many are left out, for these.
    Replace(usize, Vec<u8>),
    /// So many are the server's word about itself.
    Info(usize, Info),
    /// So many must be there before anything can be said.
    More(usize),
}

/// What came is not what a NATS server says.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server does not speak the protocol of NATS: {0}")]
pub(crate) struct Unspoken(&'static str);

impl Filter {
    /// `inboxes` is what the subjects begin with that the client has made up for answers.
    pub(crate) fn new(inboxes: &str) -> Self {
        Self { inboxes: format!("{inboxes}.").into_bytes(), through: 0 }
    }

    /// Says what becomes of the first bytes of `input`. What was said of is not to be shown again.
    pub(crate) fn step(&mut self, input: &[u8]) -> Result<Step, Unspoken> {
        if self.through > 0 {
            let bytes = self.through.min(input.len());
            self.through -= bytes;
            return Ok(if bytes == 0 { Step::More(1) } else { Step::Pass(bytes) });
        }
        let Some(end) = line_end(input) else {
            return if input.len() > LINE_MAX {
                Err(Unspoken("a line does not end"))
            } else {
                Ok(Step::More(input.len() + 1))
            };
        };
        let (line, whole) = (&input[..end], end + LINE_BREAK);
        if let Some(rest) = line.strip_prefix(b"MSG ") {
            self.message(rest, whole)
        } else if let Some(rest) = line.strip_prefix(b"HMSG ") {
            self.message_with_headers(rest, whole, input)
        } else if let Some(json) = line.strip_prefix(b"INFO ") {
            Info::read(json).map(|info| Step::Info(whole, info)).ok_or(Unspoken("INFO is not JSON"))
        } else if line.starts_with(b"-ERR") {
            Ok(complaint(line, whole))
        } else if [&b"PING"[..], b"PONG", b"+OK"].iter().any(|word| line.starts_with(word)) {
            Ok(Step::Pass(whole))
        } else {
            Err(Unspoken("it said something else"))
        }
    }

    fn message(&mut self, line: &[u8], whole: usize) -> Result<Step, Unspoken> {
        let message = Announced::message(line).ok_or(Unspoken("MSG announces no message"))?;
        self.through = message.total + LINE_BREAK;
        if message.is_fine() {
            return Ok(Step::Pass(whole));
        }
        Ok(Step::Replace(whole, message.put_right(None).into_bytes()))
    }

    fn message_with_headers(&mut self, line: &[u8], whole: usize, input: &[u8]) -> Result<Step, Unspoken> {
        let message = Announced::with_headers(line).ok_or(Unspoken("HMSG announces no message"))?;
        let headers = message.headers.unwrap_or(0);
        let taken = whole + headers;
        let Some(block) = input.get(whole..taken) else { return Ok(Step::More(taken)) };
        self.through = message.total - headers + LINE_BREAK;
        let is_delivery = message.reply.is_some_and(|reply| reply.starts_with(ACKNOWLEDGED));
        let server_speaks = message.subject.starts_with(&self.inboxes) && !is_delivery;
        let has_subject = message.is_fine();
        if has_subject && header_block::is_fine(block, server_speaks) {
            return Ok(Step::Pass(taken));
        }
        let block = header_block::put_right(block, server_speaks, (!has_subject).then_some(Flaw::Subject));
        let mut with = message.put_right(Some(block.len())).into_bytes();
        with.extend_from_slice(&block);
        Ok(Step::Replace(taken, with))
    }
}

/// The library takes a complaint apart after its fifth byte, and wants it in UTF-8.
fn complaint(line: &[u8], whole: usize) -> Step {
    if line.len() > b"-ERR".len() && str::from_utf8(line).is_ok() {
        return Step::Pass(whole);
    }
    let words = header_block::cleaned(line.get(b"-ERR ".len()..).unwrap_or_default(), |_| false);
    Step::Replace(whole, format!("-ERR {words}\r\n").into_bytes())
}

pub(crate) fn line_end(input: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', input).find_map(|end| end.checked_sub(1).filter(|end| input[*end] == b'\r'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What comes out if the input comes in these pieces.
    fn filtered<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, Unspoken> {
        let (mut filter, mut waiting, mut out) = (Filter::new("_INBOX.me"), Vec::new(), Vec::new());
        for piece in pieces {
            waiting.extend_from_slice(piece);
            loop {
                let taken = match filter.step(&waiting)? {
                    Step::Pass(bytes) => {
                        out.extend_from_slice(&waiting[..bytes]);
                        bytes
                    }
                    Step::Replace(taken, with) => {
                        out.extend_from_slice(&with);
                        taken
                    }
                    Step::Info(taken, info) => {
                        out.extend_from_slice(&info.line);
                        taken
                    }
                    Step::More(needed) => {
                        assert!(needed > waiting.len(), "it waits for what is there");
                        break;
                    }
                };
                waiting.drain(..taken);
            }
        }
        Ok(out)
    }

    fn message(headers: &[u8], payload: &[u8]) -> Vec<u8> {
        let line = format!("HMSG a.b 1 $JS.ACK.x {} {}\r\n", headers.len(), headers.len() + payload.len());
        [line.as_bytes(), headers, payload, b"\r\n"].concat()
    }

    #[test]
    fn a_healthy_stream_goes_through_byte_for_byte() {
        let stream = [
            &b"PING\r\nPONG\r\n+OK\r\n-ERR 'Stale Connection'\r\nMSG a 1 0\r\n\r\nMSG a.\xc3\xa4 1 r 4\r\n\r\n\r\n\r\n"[..],
            b"HMSG _INBOX.me.7 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n",
            &message(b"NATS/1.0\r\nA: b\r\n\r\n", b"MSG a 1 99\r\n"),
        ]
        .concat();
        assert_eq!(filtered([&stream[..]]).unwrap(), stream);
    }

    #[test]
    fn a_status_is_the_servers_only_in_an_inbox_and_without_an_acknowledgement() {
        for line in [
            "HMSG saggar.x.task.q 1 16 16",
            "HMSG _INBOX.me.7 1 $JS.ACK.s.c.1 16 16",
            "HMSG _INBOX.mean 1 16 16",
        ] {
            let stream = format!("{line}\r\nNATS/1.0 503\r\n\r\n\r\n");
            let out = String::from_utf8(filtered([stream.as_bytes()]).unwrap()).unwrap();
            assert!(
                out.contains("\r\nNATS/1.0\r\nSaggar-Malformed: the headers hold the status `503`"),
                "{out}"
            );
        }
    }

    #[test]
    fn what_was_put_right_is_announced_with_its_own_length_and_what_follows_it_stays() {
        let stream = [&message(b"NATS/1.0\r\nA: \r\rb\r\n\r\n", b"payload")[..], b"PING\r\n"].concat();
        let out = filtered([&stream[..]]).unwrap();
        let block =
            "NATS/1.0\r\nA: b\r\nSaggar-Malformed: the value of header A holds a carriage return\r\n\r\n";
        let (headers, total) = (block.len(), block.len() + "payload".len());
        let wanted = format!("HMSG a.b 1 $JS.ACK.x {headers} {total}\r\n{block}payload\r\nPING\r\n");
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }

    #[test]
    fn a_complaint_is_made_readable() {
        let out = filtered([&b"-ERR\r\n-ERR 'Permissions Violation for \"a.\xff\"'\r\n"[..]]).unwrap();
        assert_eq!(out, "-ERR \r\n-ERR 'Permissions Violation for \"a.\u{fffd}\"'\r\n".as_bytes());
    }

    #[test]
    fn what_no_server_says_ends_the_connection() {
        for words in ["HTTP/1.1 400 Bad Request\r\n", "MSG a\r\n", "HMSG a 1 9 3\r\n", "INFO x\r\n", "\r\n"] {
            assert!(filtered([words.as_bytes()]).is_err(), "{words}");
        }
        assert!(filtered([&vec![b'x'; LINE_MAX + 1][..]]).is_err());
    }

    fn operation() -> impl Strategy<Value = Vec<u8>> {
        let bytes = |max| proptest::collection::vec(any::<u8>(), 0..max);
        let token = proptest::collection::vec(
            any::<u8>().prop_filter("no blank", |byte| !b" \t\r\n".contains(byte)),
            1..6,
        );
        prop_oneof![
            Just(b"PING\r\n".to_vec()),
            (token.clone(), bytes(40)).prop_map(|(token, payload)| {
                let line = format!(" 1 {}\r\n", payload.len());
                [b"MSG a.", &token[..], line.as_bytes(), &payload, b"\r\n"].concat()
            }),
            (token, bytes(40), bytes(40), any::<bool>()).prop_map(|(token, headers, payload, versioned)| {
                let version: &[u8] = if versioned { b"NATS/1.0\r\n" } else { b"" };
                let headers = [version, &headers].concat();
                let line = format!(" 1 r {} {}\r\n", headers.len(), headers.len() + payload.len());
                [b"HMSG a.", &token[..], line.as_bytes(), &headers, &payload, b"\r\n"].concat()
            }),
        ]
    }

    proptest! {
        #[test]
        fn however_the_stream_is_cut_the_same_comes_out(
            operations in proptest::collection::vec(operation(), 0..12),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        ) {
            let stream = operations.concat();
            let whole = filtered([&stream[..]]).unwrap();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            at.extend([0, stream.len()]);
            at.sort_unstable();
            let cut = filtered(at.windows(2).map(|ends| &stream[ends[0]..ends[1]])).unwrap();
            prop_assert_eq!(&cut, &whole);
            let bytewise = filtered(stream.chunks(1)).unwrap();
            prop_assert_eq!(&bytewise, &whole);
            prop_assert_eq!(&filtered([&whole[..]]).unwrap(), &whole, "what came out is healthy");
        }
    }
}

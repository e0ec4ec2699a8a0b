//! What a guest writes for people: log messages, standard output and standard error, under one limit.
//!
//! Lines go to the host's services as they come; nothing is kept but the beginning of an unfinished line and the
//! last 4 KiB of standard error, which explain a crash even when the log limit is long spent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::redact::{RedactedStream, Redactor};
use crate::services::{LogLevel, LogLine, LogSource, Services};

/// What a line costs on top of its bytes, so that a million empty lines are not free.
const LINE_OVERHEAD: u64 = 64;

/// A longer line is passed on in pieces of this size.
const LINE_MAX_BYTES: usize = 4096;

/// The part of a plugin that speaks has a name, not a text.
const CONTEXT_MAX_BYTES: usize = 256;

/// The end of standard error that is kept for the failure's description.
const TAIL_BYTES: usize = 4096;

/// A journal shared by the streams and the logging interface of one attempt.
#[derive(Clone)]
pub(crate) struct SharedJournal(Arc<Mutex<Journal>>);

impl SharedJournal {
    pub(crate) fn new(limit: u64, services: Arc<dyn Services>, redactor: Redactor) -> Self {
        Self(Arc::new(Mutex::new(Journal {
            services,
            limit,
            kept: 0,
            written: 0,
            unpaid: 0,
            cut: false,
            stdout: Text::new(&redactor),
            stderr: Text::new(&redactor),
            tail: VecDeque::new(),
            redactor,
        })))
    }

    /// The journal itself. Never held across an await: all its functions return at once.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Journal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The journal of one attempt.
pub(crate) struct Journal {
    services: Arc<dyn Services>,
    limit: u64,
    kept: u64,
    written: u64,
    /// Bytes that were written since the guest was last charged for them.
    unpaid: usize,
    cut: bool,
    stdout: Text,
    stderr: Text,
    tail: VecDeque<u8>,
    redactor: Redactor,
}

/// What a standard stream has said and not ended yet.
struct Text {
    redacted: RedactedStream,
    line: Vec<u8>,
}

impl Text {
    fn new(redactor: &Redactor) -> Self {
        Self { redacted: RedactedStream::new(redactor.clone()), line: Vec::new() }
    }
}

/// One of the two standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Journal {
    /// A message of the logging interface.
    pub(crate) fn log(&mut self, level: LogLevel, context: &str, message: &str) {
        self.count(context.len() + message.len());
        // Before anything is cut: a half of a secret would not be found.
        let redactor = self.redactor.clone();
        let (context, message) = (&*redactor.text(context), &*redactor.text(message));
        let context = &context[..context.floor_char_boundary(CONTEXT_MAX_BYTES)];
        let mut rest = message;
        loop {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(LINE_MAX_BYTES));
            self.pass_on(LogSource::Log(level), context, piece);
            rest = after;
            if rest.is_empty() || self.cut {
                return;
            }
        }
    }

    /// Bytes of a standard stream.
    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let written = bytes.len();
        let redacted = &mut self.text(stream).redacted;
        let (compared, bytes) = (redacted.window(), redacted.push(bytes));
        self.count(written);
        // What is compared for the sake of a secret is work, and no text.
        self.unpaid = self.unpaid.saturating_add(compared);
        self.take_in(stream, &bytes);
    }

    fn take_in(&mut self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Stderr {
            let end = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
            self.tail.extend(end);
            let excess = self.tail.len().saturating_sub(TAIL_BYTES);
            self.tail.drain(..excess);
        }
        if self.cut {
            return;
        }
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            for piece in piece.chunks(LINE_MAX_BYTES) {
                self.extend_line(stream, piece);
            }
        }
    }

    /// Another stream of the guest's handled so many bytes, to be paid for with the next call.
    pub(crate) fn owe(&mut self, bytes: usize) {
        self.unpaid = self.unpaid.saturating_add(bytes);
    }

    fn count(&mut self, bytes: usize) {
        self.written = self.written.saturating_add(bytes as u64);
        self.charge(bytes);
    }

    /// The guest is to pay for bytes that it read or wrote elsewhere: its input, its output.
    pub(crate) fn charge(&mut self, bytes: usize) {
        self.unpaid = self.unpaid.saturating_add(bytes);
    }

    fn extend_line(&mut self, stream: Stream, piece: &[u8]) {
        let line = &mut self.text(stream).line;
        line.extend_from_slice(piece);
        if line.ends_with(b"\n") {
            self.end_line(stream);
        } else if line.len() >= LINE_MAX_BYTES {
            // A character that is cut in two waits for its other half.
            let begun = line.split_off(line.len() - begun_character(line));
            self.end_line(stream);
            self.text(stream).line = begun;
        }
    }

    fn text(&mut self, stream: Stream) -> &mut Text {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    fn end_line(&mut self, stream: Stream) {
        let line = std::mem::take(&mut self.text(stream).line);
        let text = String::from_utf8_lossy(&line);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let source = match stream {
            Stream::Stdout => LogSource::Stdout,
            Stream::Stderr => LogSource::Stderr,
        };
        self.pass_on(source, "", text.strip_suffix('\r').unwrap_or(text));
    }

    /// Passes on what is left of unfinished lines.
    pub(crate) fn finish(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let held = self.text(stream).redacted.finish();
            self.take_in(stream, &held);
            if !self.text(stream).line.is_empty() {
                self.end_line(stream);
            }
        }
    }

    fn pass_on(&mut self, source: LogSource, context: &str, message: &str) {
        if self.cut {
            return;
        }
        let cost = LINE_OVERHEAD + (context.len() + message.len()) as u64;
        if self.kept.saturating_add(cost) > self.limit {
            self.cut = true;
            self.stdout.line = Vec::new();
            self.stderr.line = Vec::new();
            let marker = format!("[the log limit of {} bytes is spent; the rest is not kept]", self.limit);
            self.services.log(LogLine {
                source: LogSource::Log(LogLevel::Warn),
                context: "saggar",
                message: &marker,
            });
            return;
        }
        self.kept += cost;
        self.services.log(LogLine { source, context, message });
    }

    /// Bytes that the guest wrote, kept or not.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Bytes that were written since this was last asked.
    pub(crate) fn take_unpaid(&mut self) -> usize {
        std::mem::take(&mut self.unpaid)
    }

    /// The end of standard error.
    pub(crate) fn stderr_tail(&self) -> String {
        let (a, b) = self.tail.as_slices();
        String::from_utf8_lossy(&[a, b].concat()).into_owned()
    }
}

/// Bytes at the end of `line` that begin a character of UTF-8 and do not end it.
fn begun_character(line: &[u8]) -> usize {
    let begins = |&n: &usize| {
        let end = line.len().checked_sub(n).map(|from| std::str::from_utf8(&line[from..]));
        end.is_some_and(|text| {
            text.is_err_and(|error| error.error_len().is_none() && error.valid_up_to() == 0)
        })
    };
    (1..4).find(begins).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Recorder(Mutex<Vec<String>>);

    impl Services for Recorder {
        fn progress(&self, _: Option<f64>, _: &str) {}

        fn log(&self, line: LogLine<'_>) {
            self.0.lock().unwrap().push(line.message.to_owned());
        }

        fn cancelled(&self) -> bool {
            false
        }

        fn denied(&self, _: saggar_model::Capability, _: &str) {}
    }

    fn journal(limit: u64) -> (SharedJournal, Arc<Recorder>) {
        let recorder = Arc::new(Recorder::default());
        (SharedJournal::new(limit, recorder.clone(), Redactor::default()), recorder)
    }

    fn lines(recorder: &Recorder) -> Vec<String> {
        recorder.0.lock().unwrap().clone()
    }

    #[test]
    fn a_line_is_passed_on_when_it_is_whole() {
        let (journal, recorder) = journal(1000);
        journal.lock().write(Stream::Stderr, b"one\r\ntw");
        assert_eq!(lines(&recorder), ["one"]);
        journal.lock().write(Stream::Stderr, b"o\nthree");
        journal.lock().finish();
        assert_eq!(lines(&recorder), ["one", "two", "three"]);
    }

    #[test]
    fn a_log_over_its_limit_ends_with_a_marker_and_costs_nothing_more() {
        let (journal, recorder) = journal(3 * LINE_OVERHEAD);
        for _ in 0..1_000_000 {
            journal.lock().log(LogLevel::Info, "", "");
        }
        let lines = lines(&recorder);
        assert_eq!(lines.len(), 4);
        assert!(lines[3].contains("is spent"));
    }

    #[test]
    fn a_line_without_an_end_is_passed_on_in_pieces() {
        let (journal, recorder) = journal(1 << 20);
        journal.lock().write(Stream::Stdout, &vec![b'x'; 3 * LINE_MAX_BYTES + 1]);
        journal.lock().finish();
        assert_eq!(
            lines(&recorder).iter().map(String::len).collect::<Vec<_>>(),
            [LINE_MAX_BYTES, LINE_MAX_BYTES, LINE_MAX_BYTES, 1]
        );
    }

    #[test]
    fn a_message_or_line_that_is_too_long_is_split_between_characters() {
        let text = "x".to_owned() + &"漢".repeat(LINE_MAX_BYTES);
        let (logged, recorder) = journal(1 << 20);
        logged.lock().log(LogLevel::Info, "", &text);
        let (written, written_to) = journal(1 << 20);
        for byte in text.as_bytes() {
            written.lock().write(Stream::Stdout, &[*byte]);
        }
        written.lock().write(Stream::Stdout, b"\xe6\xbc");
        written.lock().finish();
        for (recorder, end) in [(recorder, ""), (written_to, "\u{fffd}")] {
            let lines = lines(&recorder);
            assert!(lines.iter().all(|line| line.len() <= LINE_MAX_BYTES + 3), "pieces of about 4 KiB");
            assert_eq!(lines.concat(), text.clone() + end);
        }
    }

    #[test]
    fn the_end_of_standard_error_survives_a_spent_limit() {
        let (journal, _) = journal(1);
        for n in 0..10_000 {
            journal.lock().write(Stream::Stderr, format!("line {n}\n").as_bytes());
        }
        journal.lock().write(Stream::Stderr, b"panicked at last");
        let tail = journal.lock().stderr_tail();
        assert!(tail.ends_with("panicked at last") && tail.len() == TAIL_BYTES, "{}", tail.len());
        assert!(journal.lock().written() > 80_000);
    }
}

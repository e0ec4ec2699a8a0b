//! Decides how an attempt ended: one pure function from what was observed.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use saggar_model::{Ending, Failure, Limits, Outcome, Output, escape_and_cut, format_bytes, format_duration};

use crate::StopReason;
use crate::crash::{Crash, CrashKind};
use crate::redact::Redactor;

/// A plugin's own short name for a failure is cut here.
const CODE_MAX_BYTES: usize = 64;

/// A media type is shorter than this, or none.
const CONTENT_TYPE_MAX_BYTES: usize = 256;

/// What a payload is when nobody says.
const CONTENT_TYPE_DEFAULT: &str = "application/octet-stream";

/// Exit codes by which a program says that its input can never succeed, and that another attempt may: `EX_DATAERR` and
/// `EX_TEMPFAIL` of sysexits.h.
const EXIT_REJECTED: i32 = 65;
const EXIT_RETRIED: i32 = 75;

/// The longest wait a plugin can ask for. Beyond a year nobody waits.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(8784);

/// How the call into the guest came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    /// The handler returned a value.
    Returned(Output),
    /// The handler returned an error.
    Refused(GuestError),
    /// A program ended with this exit code, and had written this to standard output.
    Exited { code: i32, stdout: Bytes },
    /// An error ended the call.
    Crashed(Crash),
    /// What the component exports has the right name and the wrong shape.
    Misshapen(String),
    /// The wall limit passed.
    TimedOut,
    /// The host ended it.
    Stopped(StopReason),
}

impl Call {
    /// The call without secrets in what it says of a failure.
    pub(crate) fn redacted(self, redactor: &Redactor) -> Self {
        let clean = |text: String| match redactor.text(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(clean) => clean,
        };
        match self {
            Self::Refused(GuestError { permanent, reason, after, code }) => {
                Self::Refused(GuestError { permanent, reason: clean(reason), after, code: code.map(clean) })
            }
            Self::Crashed(Crash { kind, message, backtrace }) => {
                let backtrace = backtrace.into_iter().map(clean).collect();
                Self::Crashed(Crash { kind, message: clean(message), backtrace })
            }
            // What a program wrote is looked at as any output.
            other @ (Self::Returned(_)
            | Self::Exited { .. }
            | Self::Misshapen(_)
            | Self::TimedOut
            | Self::Stopped(_)) => other,
        }
    }
}

/// An error as the handler returned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GuestError {
    /// Whether the input can never succeed.
    pub(crate) permanent: bool,
    pub(crate) reason: String,
    pub(crate) after: Option<Duration>,
    pub(crate) code: Option<String>,
}

/// What else was observed.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    /// The limits the attempt ran under.
    pub(crate) limits: Limits,
    /// Whether the last growth of memory the guest asked for was denied.
    pub(crate) growth_denied: bool,
    /// The end of what the guest wrote to standard error.
    pub(crate) stderr: String,
}

/// The ending of an attempt whose call came back so.
pub(crate) fn verdict(call: Call, observed: &Observed) -> Ending {
    let failure = match call {
        Call::Returned(output) => match succeeded(output, &observed.limits) {
            Ok(output) => return Ending::Succeeded(output),
            Err(failure) => failure,
        },
        // A program has no way to name the media type of what it writes, and guessing would be wrong at times.
        Call::Exited { code: 0, stdout } => {
            let output = Output { content_type: CONTENT_TYPE_DEFAULT.to_owned(), payload: stdout };
            match succeeded(output, &observed.limits) {
                Ok(output) => return Ending::Succeeded(output),
                Err(failure) => failure,
            }
        }
        Call::Exited { code: code @ (EXIT_REJECTED | EXIT_RETRIED), .. } => refused(GuestError {
            permanent: code == EXIT_REJECTED,
            reason: end_of(&observed.stderr).unwrap_or_else(|| format!("exited with code {code}")),
            after: None,
            code: Some(format!("exit-{code}")),
        }),
        Call::Exited { code, .. } => crashed(
            Crash { kind: CrashKind::Exit(code), message: String::new(), backtrace: Vec::new() },
            observed,
        ),
        Call::Misshapen(reason) => Failure::new(
            Outcome::Invalid,
            &format!("the component exports the interface of its world in another shape: {reason}"),
        ),
        Call::Refused(error) => refused(error),
        Call::Crashed(crash) => crashed(crash, observed),
        Call::TimedOut => {
            let limit = format_duration(observed.limits.timeout);
            Failure::new(Outcome::TimedOut, &format!("still running after its wall limit of {limit}"))
        }
        Call::Stopped(StopReason::Cancelled) => Failure::new(Outcome::Cancelled, "cancelled while running"),
        Call::Stopped(StopReason::Interrupted) => {
            Failure::new(Outcome::Interrupted, "the host stopped before the attempt was over")
        }
    };
    Ending::Failed(Failure { stderr: escaped_lines(&observed.stderr), ..failure })
}

fn succeeded(output: Output, limits: &Limits) -> Result<Output, Failure> {
    let bytes = output.payload.len() as u64;
    if bytes > limits.output {
        Err(too_large(&format!("returned {bytes} bytes,"), limits))
    } else {
        Ok(cleaned(output))
    }
}

fn too_large(what: &str, limits: &Limits) -> Failure {
    let limit = format!("{} ({} bytes)", format_bytes(limits.output), limits.output);
    Failure::new(Outcome::OutputTooLarge, &format!("{what} more than the output limit of {limit}"))
}

fn cleaned(mut output: Output) -> Output {
    let visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    let fits = (1..=CONTENT_TYPE_MAX_BYTES).contains(&output.content_type.len());
    if !fits || !output.content_type.bytes().all(visible) {
        CONTENT_TYPE_DEFAULT.clone_into(&mut output.content_type);
    }
    output
}

fn refused(error: GuestError) -> Failure {
    let outcome = if error.permanent { Outcome::Rejected } else { Outcome::Retried };
    Failure {
        code: error.code.map(|code| escape_and_cut(&code, CODE_MAX_BYTES)).filter(|code| !code.is_empty()),
        retry_after: error.after.filter(|_| !error.permanent).map(|after| after.min(RETRY_AFTER_MAX)),
        ..Failure::new(outcome, &error.reason)
    }
}

fn crashed(crash: Crash, observed: &Observed) -> Failure {
    let limits = &observed.limits;
    let failure = match crash.kind {
        CrashKind::OutOfFuel => {
            Failure::new(Outcome::OutOfFuel, &format!("spent its fuel limit of {}", limits.fuel))
        }
        CrashKind::Guest | CrashKind::Exit(_) | CrashKind::Host if observed.growth_denied => Failure::new(
            Outcome::OutOfMemory,
            &format!("needed more than its memory limit of {}", format_bytes(limits.memory)),
        ),
        CrashKind::Exit(code) => {
            Failure::new(Outcome::Trapped, &told(&format!("exited with code {code} and no result"), observed))
        }
        CrashKind::WroteTooMuch => too_large("wrote", limits),
        CrashKind::ReturnedTooMuch => too_large("returned more than may cross the wall,", limits),
        CrashKind::Guest => Failure::new(Outcome::Trapped, &told(&crash.message, observed)),
        CrashKind::Host => Failure::new(Outcome::HostError, &crash.message),
    };
    Failure { backtrace: crash.backtrace, ..failure }
}

/// The crash in the guest's own words, where it left some: a language runtime says on standard error why it gives
/// up, and traps with `unreachable`, which says nothing.
fn told(crash: &str, observed: &Observed) -> String {
    match last_words(&observed.stderr) {
        Some(words) => format!("{words} ({crash})"),
        None => crash.to_owned(),
    }
}

/// A Rust panic with its place and message, or the last line of any other language.
fn last_words(stderr: &str) -> Option<String> {
    const PANIC: &str = "panicked at ";
    const ADVICE: &str = "note: run with";
    if let Some(at) = stderr.rfind(PANIC) {
        let panic = &stderr[at..];
        let end = panic.find(ADVICE).unwrap_or(panic.len());
        return Some(panic[..end].split_whitespace().collect::<Vec<_>>().join(" "));
    }
    stderr.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

/// All lines of the end of standard error, on one.
fn end_of(stderr: &str) -> Option<String> {
    let lines: Vec<_> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { None } else { Some(lines.join(" ")) }
}

fn escaped_lines(text: &str) -> String {
    text.lines().map(saggar_model::escape).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed() -> Observed {
        let limits = Limits { fuel: 1000, memory: 1 << 20, output: 3, ..Limits::default() };
        Observed { limits, growth_denied: false, stderr: String::new() }
    }

    fn crash(kind: CrashKind) -> Call {
        Call::Crashed(Crash { kind, message: "wasm trap".to_owned(), backtrace: vec!["f".to_owned()] })
    }

    fn returned(bytes: &'static [u8]) -> Call {
        Call::Returned(Output { content_type: "a/b".to_owned(), payload: Bytes::from_static(bytes) })
    }

    fn exited(code: i32) -> Call {
        Call::Exited { code, stdout: Bytes::from_static(b"abc") }
    }

    fn error(permanent: bool) -> Call {
        Call::Refused(GuestError {
            permanent,
            reason: "because".to_owned(),
            after: Some(Duration::MAX),
            code: Some(String::new()),
        })
    }

    fn failure(call: Call, observed: &Observed) -> Failure {
        match verdict(call, observed) {
            Ending::Failed(failure) => failure,
            Ending::Succeeded(output) => panic!("succeeded with {output:?}"),
        }
    }

    #[test]
    fn every_ending_has_its_outcome() {
        let denied = Observed { growth_denied: true, ..observed() };
        let plain = observed();
        let table = [
            (returned(b"abc"), &plain, Outcome::Succeeded),
            (returned(b"abc"), &denied, Outcome::Succeeded),
            (returned(b"abcd"), &plain, Outcome::OutputTooLarge),
            (error(true), &plain, Outcome::Rejected),
            (error(false), &plain, Outcome::Retried),
            (error(false), &denied, Outcome::Retried),
            (crash(CrashKind::OutOfFuel), &plain, Outcome::OutOfFuel),
            (crash(CrashKind::OutOfFuel), &denied, Outcome::OutOfFuel),
            (crash(CrashKind::Guest), &plain, Outcome::Trapped),
            (crash(CrashKind::Guest), &denied, Outcome::OutOfMemory),
            (crash(CrashKind::Exit(0)), &plain, Outcome::Trapped),
            (crash(CrashKind::Exit(1)), &plain, Outcome::Trapped),
            (crash(CrashKind::Exit(1)), &denied, Outcome::OutOfMemory),
            (crash(CrashKind::ReturnedTooMuch), &plain, Outcome::OutputTooLarge),
            (crash(CrashKind::ReturnedTooMuch), &denied, Outcome::OutputTooLarge),
            (crash(CrashKind::WroteTooMuch), &plain, Outcome::OutputTooLarge),
            (crash(CrashKind::WroteTooMuch), &denied, Outcome::OutputTooLarge),
            (exited(0), &plain, Outcome::Succeeded),
            (exited(0), &denied, Outcome::Succeeded),
            (exited(65), &plain, Outcome::Rejected),
            (exited(65), &denied, Outcome::Rejected),
            (exited(75), &plain, Outcome::Retried),
            (exited(75), &denied, Outcome::Retried),
            (exited(1), &plain, Outcome::Trapped),
            (exited(255), &plain, Outcome::Trapped),
            (exited(-1), &plain, Outcome::Trapped),
            (exited(1), &denied, Outcome::OutOfMemory),
            (Call::Misshapen(String::new()), &plain, Outcome::Invalid),
            (crash(CrashKind::Host), &plain, Outcome::HostError),
            (crash(CrashKind::Host), &denied, Outcome::OutOfMemory),
            (Call::TimedOut, &plain, Outcome::TimedOut),
            (Call::TimedOut, &denied, Outcome::TimedOut),
            (Call::Stopped(StopReason::Cancelled), &plain, Outcome::Cancelled),
            (Call::Stopped(StopReason::Interrupted), &denied, Outcome::Interrupted),
        ];
        for (call, observed, outcome) in table {
            let shown = format!("{call:?}, growth denied: {}", observed.growth_denied);
            assert_eq!(verdict(call, observed).outcome(), outcome, "{shown}");
        }
    }

    #[test]
    fn a_panic_is_told_with_its_place_and_message() {
        let stderr = "starting\n\nthread '<unnamed>' (1) panicked at src/lib.rs:7:5:\nno such\u{1b}[31m page\n\
                      note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        let failure = failure(crash(CrashKind::Guest), &Observed { stderr: stderr.to_owned(), ..observed() });
        assert_eq!(failure.reason, "panicked at src/lib.rs:7:5: no such\\u{1b}[31m page (wasm trap)");
        assert_eq!(failure.backtrace, ["f"]);
        assert!(failure.stderr.starts_with("starting\n") && !failure.stderr.contains('\u{1b}'));
    }

    #[test]
    fn other_languages_are_told_by_their_last_line() {
        let stderr = "Traceback (most recent call last):\n  File \"app.py\"\nValueError: bad page\n\n";
        let failure =
            failure(crash(CrashKind::Exit(1)), &Observed { stderr: stderr.to_owned(), ..observed() });
        assert_eq!(failure.reason, "ValueError: bad page (exited with code 1 and no result)");
    }

    #[test]
    fn a_program_says_why_on_standard_error() {
        let said = Observed { stderr: "reading\n\n  page 7 is no page\n".to_owned(), ..observed() };
        let rejected = failure(exited(65), &said);
        assert_eq!(
            (rejected.reason.as_str(), rejected.code.as_deref()),
            ("reading page 7 is no page", Some("exit-65"))
        );
        assert_eq!(failure(exited(75), &observed()).reason, "exited with code 75");
        assert_eq!(failure(exited(3), &said).reason, "page 7 is no page (exited with code 3 and no result)");
    }

    #[test]
    fn what_a_program_wrote_is_its_output_up_to_the_limit() {
        let Ending::Succeeded(output) = verdict(exited(0), &observed()) else { panic!("it succeeded") };
        assert_eq!((output.content_type.as_str(), &output.payload[..]), (CONTENT_TYPE_DEFAULT, &b"abc"[..]));
        let more = Call::Exited { code: 0, stdout: Bytes::from_static(b"abcd") };
        assert_eq!(failure(more, &observed()).outcome, Outcome::OutputTooLarge);
    }

    #[test]
    fn what_a_guest_says_is_bounded_and_harmless() {
        let long = GuestError {
            permanent: true,
            reason: "\r\n".repeat(100_000),
            after: Some(Duration::MAX),
            code: Some("c".repeat(1000)),
        };
        let failure = failure(Call::Refused(long), &observed());
        assert!(failure.reason.len() <= Failure::REASON_MAX_BYTES);
        assert!(failure.code.unwrap().len() <= CODE_MAX_BYTES + '…'.len_utf8());
        assert_eq!(failure.retry_after, None, "a rejection is not retried");
        let Ending::Failed(retried) = verdict(error(false), &observed()) else { panic!("it failed") };
        assert_eq!((retried.retry_after, retried.code), (Some(RETRY_AFTER_MAX), None));
    }

    #[test]
    fn a_media_type_that_is_none_is_replaced() {
        for bad in ["", "text/plain\r\nX: y", "größe", &"x".repeat(300)] {
            let output = Output { content_type: bad.to_owned(), payload: Bytes::new() };
            let Ending::Succeeded(output) = verdict(Call::Returned(output), &observed()) else {
                panic!("{bad}")
            };
            assert_eq!(output.content_type, CONTENT_TYPE_DEFAULT);
        }
    }
}

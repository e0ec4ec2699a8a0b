//! What a response means for its task: a pure function, time passed in.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, StatusCode};
use saggar_model::{Failure, Output};

use crate::crash::{Crash, CrashKind};
use crate::verdict::{Call, GuestError};

/// How a server answered its task.
#[derive(Debug)]
pub(crate) enum Answer {
    /// With a response.
    Given { status: StatusCode, headers: HeaderMap, body: Bytes },
    /// With an error in place of a response.
    Error(String),
    /// With a body over the output limit.
    TooLarge,
    /// With a body that never came to its end, or was shorter or longer than announced.
    Unfinished,
    /// Not at all.
    Absent,
}

/// How the call ended whose answer this was.
pub(crate) fn judge(answer: Answer, now: SystemTime) -> Call {
    match answer {
        Answer::Given { status, headers, body } => given(status, &headers, body, now),
        Answer::Error(code) => refused(false, format!("answered with the error {code}"), None, None),
        Answer::TooLarge => Call::Crashed(crash(CrashKind::WroteTooMuch, "")),
        Answer::Unfinished => Call::Crashed(crash(CrashKind::Guest, "the body of its response has no end")),
        Answer::Absent => Call::Crashed(crash(CrashKind::Guest, "it returned without a response")),
    }
}

fn given(status: StatusCode, headers: &HeaderMap, body: Bytes, now: SystemTime) -> Call {
    let number = status.as_u16();
    let code = Some(format!("http-{number}"));
    let retry_after = || text(headers, RETRY_AFTER).and_then(|value| delay(value, now));
    match number {
        // These announce another response, and none came.
        ..200 => {
            Call::Crashed(crash(CrashKind::Guest, &format!("answered with {number}, which ends no request")))
        }
        200..300 => {
            let content_type = text(headers, CONTENT_TYPE).unwrap_or_default().to_owned();
            Call::Returned(Output { content_type, payload: body })
        }
        // Nobody follows it, and another attempt would be sent the same way.
        300..400 => {
            let to = text(headers, LOCATION).unwrap_or("nowhere");
            refused(
                true,
                format!("answered with {number}, a redirection to {to}, which nobody follows"),
                None,
                code,
            )
        }
        429 => refused(false, said(number, &body), retry_after(), code),
        400..500 => refused(true, said(number, &body), None, code),
        // Numbers beyond 599 mean nothing, and are to be treated as 500.
        500.. => refused(false, said(number, &body), retry_after(), code),
    }
}

fn refused(permanent: bool, reason: String, after: Option<Duration>, code: Option<String>) -> Call {
    Call::Refused(GuestError { permanent, reason, after, code })
}

fn crash(kind: CrashKind, message: &str) -> Crash {
    Crash { kind, message: message.to_owned(), backtrace: Vec::new() }
}

/// The status, and what the body says about it.
fn said(number: u16, body: &Bytes) -> String {
    let beginning = &body[..body.len().min(Failure::REASON_MAX_BYTES)];
    let text = String::from_utf8_lossy(beginning);
    match text.trim() {
        "" => format!("answered with {number}"),
        text => format!("answered with {number}: {text}"),
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// A delay as HTTP writes it: seconds, or a date. Anything else says nothing.
fn delay(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has are a long time.
        return Some(value.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    // A date that has passed means now.
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1994-11-06 08:49:37 UTC.
    const NOW: Duration = Duration::from_secs(784_111_777);

    fn answered(status: u16, headers: &[(HeaderName, &str)], body: &'static str) -> Call {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        let answer =
            Answer::Given { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into() };
        judge(answer, SystemTime::UNIX_EPOCH + NOW)
    }

    fn error(call: Call) -> GuestError {
        match call {
            Call::Refused(error) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_status_has_its_ending() {
        for status in 100..1000 {
            match (status, answered(status, &[], "")) {
                (200..300, Call::Returned(_)) => {}
                (429 | 500.., Call::Refused(error)) => assert!(!error.permanent, "{status}"),
                (300..500, Call::Refused(error)) => assert!(error.permanent, "{status}"),
                (100..200, Call::Crashed(Crash { kind: CrashKind::Guest, .. })) => {}
                (_, other) => panic!("{status}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_success_has_the_body_and_its_media_type() {
        let Call::Returned(output) = answered(201, &[(CONTENT_TYPE, "text/plain")], "clay") else { panic!() };
        assert_eq!((output.content_type.as_str(), &output.payload[..]), ("text/plain", &b"clay"[..]));
        let Call::Returned(empty) = answered(204, &[], "") else { panic!() };
        assert_eq!((empty.content_type.as_str(), empty.payload.len()), ("", 0));
    }

    #[test]
    fn a_failure_says_its_status_and_what_the_body_said() {
        let failure = error(answered(422, &[], " no such page\n"));
        assert_eq!(failure.reason, "answered with 422: no such page");
        assert_eq!(failure.code.as_deref(), Some("http-422"));
        assert_eq!(error(answered(500, &[], "")).reason, "answered with 500");
        let moved = error(answered(302, &[(LOCATION, "http://127.0.0.1/")], "gone"));
        assert!(moved.reason.contains("http://127.0.0.1/"), "{}", moved.reason);
    }

    #[test]
    fn a_wait_is_told_in_seconds_or_by_a_date() {
        let after = |status, value| error(answered(status, &[(RETRY_AFTER, value)], "")).after;
        assert_eq!(after(429, "7"), Some(Duration::from_secs(7)));
        assert_eq!(after(503, " 0 "), Some(Duration::ZERO));
        assert_eq!(after(503, "Sun, 06 Nov 1994 08:49:40 GMT"), Some(Duration::from_secs(3)));
        assert_eq!(after(503, "Sun, 06 Nov 1994 08:49:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after(503, "99999999999999999999999999"), Some(Duration::MAX));
        assert_eq!(after(422, "7"), None, "what is rejected is not tried again");
        for nothing in ["", "-1", "+1", "1.5", "soon", "Sun, 06 Nov", "1 s"] {
            assert_eq!(after(503, nothing), None, "{nothing}");
        }
    }

    #[test]
    fn no_answer_is_a_crash_and_an_error_is_tried_again() {
        let now = SystemTime::UNIX_EPOCH;
        let kind = |answer| match judge(answer, now) {
            Call::Crashed(crash) => crash.kind,
            other => panic!("{other:?}"),
        };
        assert_eq!(kind(Answer::Absent), CrashKind::Guest);
        assert_eq!(kind(Answer::Unfinished), CrashKind::Guest);
        assert_eq!(kind(Answer::TooLarge), CrashKind::WroteTooMuch);
        assert!(!error(judge(Answer::Error("ConnectionRefused".to_owned()), now)).permanent);
    }
}

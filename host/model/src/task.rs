//! A task as its publisher sent it, checked.
//!
//! Whatever is wrong with it becomes an [`Invalid`], never an error of the host: a malformed task ends in the dead
//! letters and is not delivered again.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::header::{HEADERS_MAX_BYTES, belongs_to_nats, belongs_to_saggar, is_hosts, name};
use crate::{PayloadName, QueueName, Subjects, TaskId, TaskRef, TenantName, escape_and_cut, parse_duration};

/// How much of an offending text the reason repeats.
const SHOWN_BYTES: usize = 256;

/// Why a task cannot be run at all. The text is safe to show and to store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

/// One unit of work, ready to run.
#[derive(Debug, Clone)]
pub struct Task {
    /// Who owns it.
    pub tenant: TenantName,
    /// The queue it was published to.
    pub queue: QueueName,
    /// What it is called.
    pub id: TaskId,
    /// The plugin's input.
    pub payload: Bytes,
    /// What its publisher asked for.
    pub headers: TaskHeaders,
}

/// The headers of a task, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskHeaders {
    /// Media type of the payload.
    pub content_type: Option<String>,
    /// Wall limit asked for.
    pub timeout: Option<Duration>,
    /// Not to be started after this.
    pub deadline: Option<SystemTime>,
    /// Also send the result there; inside the tenant's reply subjects.
    pub reply_to: Option<String>,
    /// Where the payload lies, if it is too large for the message.
    pub payload: Option<PayloadName>,
    /// Trace context, copied to the result.
    pub traceparent: Option<String>,
    /// Not to be run again while its result is kept.
    pub once: bool,
    /// The task that submitted it.
    pub parent: Option<TaskRef>,
    /// How deep it is. Only what hosts submit is deeper than 0, unless a publisher restricts itself.
    pub depth: u32,
    /// The task that waits for it.
    pub group: Option<TaskRef>,
    /// For how many others it waited.
    pub joins: Option<u32>,
    /// What the guest may see: all but the message system's and Saggar's, and its parent.
    pub visible: Vec<(String, String)>,
}

impl TaskHeaders {
    /// Reads the headers of a task of the tenant whose `subjects` are given.
    ///
    /// # Errors
    /// A header that Saggar reads cannot be understood, or all of them together are over 16 KiB. The error names
    /// the header and repeats its value, escaped and cut.
    pub fn read<'a>(
        subjects: &Subjects,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Invalid> {
        let mut read = Self::default();
        let mut wrong = None;
        let mut bytes = 0;
        for (header, value) in headers {
            // Whatever else is wrong with it may come of that.
            if header.eq_ignore_ascii_case(name::MALFORMED) {
                let what = escape_and_cut(value, SHOWN_BYTES);
                return Err(Invalid(format!("the message cannot be read as it was published: {what}")));
            }
            // What a timer adds must not make a task too large that was not.
            if !is_hosts(header) {
                bytes += header.len() + value.len();
            }
            if bytes > HEADERS_MAX_BYTES {
                return Err(Invalid(format!(
                    "the headers are larger than {HEADERS_MAX_BYTES} bytes together"
                )));
            }
            if let Err(invalid) = read.take(subjects, header, value) {
                wrong.get_or_insert(invalid);
            }
        }
        wrong.map_or(Ok(read), Err)
    }

    fn take(&mut self, subjects: &Subjects, header: &str, value: &str) -> Result<(), Invalid> {
        let is = |known: &str| header.eq_ignore_ascii_case(known);
        if belongs_to_saggar(header) {
            if is(name::TIMEOUT) {
                self.timeout = Some(read_timeout(value)?);
            } else if is(name::DEADLINE) {
                self.deadline = Some(read_deadline(value)?);
            } else if is(name::REPLY_TO) {
                if !subjects.is_reply(value) {
                    return Err(unusable(
                        header,
                        value,
                        "is not a subject inside the tenant's `reply` subjects",
                    ));
                }
                self.reply_to = Some(value.to_owned());
            } else if is(name::ONCE) {
                self.once =
                    value.parse().map_err(|_| unusable(header, value, "is neither `true` nor `false`"))?;
            } else if is(name::PARENT) {
                self.parent = Some(read_task(header, value)?);
                self.visible.push((name::PARENT.to_owned(), value.to_owned()));
            } else if is(name::GROUP) {
                self.group = Some(read_task(header, value)?);
            } else if is(name::DEPTH) {
                self.depth = read_number(header, value)?;
            } else if is(name::JOINS) {
                self.joins = Some(read_number(header, value)?);
                self.visible.push((name::JOINS.to_owned(), value.to_owned()));
            } else if is(name::PAYLOAD) {
                let named = read_payload(value)?;
                if self.payload.is_some_and(|other| other != named) {
                    return Err(unusable(header, value, "is the second payload that the task names"));
                }
                self.payload = Some(named);
            }
            return Ok(());
        }
        if belongs_to_nats(header) {
            return Ok(());
        }
        if is(name::CONTENT_TYPE) && self.content_type.is_none() {
            self.content_type = Some(value.to_owned());
        } else if is(name::TRACEPARENT) && self.traceparent.is_none() {
            self.traceparent = Some(value.to_owned());
        }
        self.visible.push((header.to_owned(), value.to_owned()));
        Ok(())
    }

    /// Whether the task may no longer be started at `now`.
    #[must_use]
    pub fn has_expired(&self, now: SystemTime) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

fn unusable(header: &str, value: &str, why: &str) -> Invalid {
    let header = escape_and_cut(header, SHOWN_BYTES);
    Invalid(format!("header {header}: `{}` {why}", escape_and_cut(value, SHOWN_BYTES)))
}

fn read_task(header: &str, value: &str) -> Result<TaskRef, Invalid> {
    value.parse().map_err(|_| unusable(header, value, "is not the name of a task, QUEUE/ID"))
}

fn read_number(header: &str, value: &str) -> Result<u32, Invalid> {
    value.parse().map_err(|_| unusable(header, value, "is not a number"))
}

fn read_payload(value: &str) -> Result<PayloadName, Invalid> {
    match PayloadName::from_header(value) {
        Ok(name) if name.is_input() => Ok(name),
        // The object goes with the end of the task that names it, and this one belongs to a result.
        Ok(_) => {
            Err(unusable(name::PAYLOAD, value, "is the output of another task; put its bytes once more"))
        }
        Err(error) => Err(unusable(name::PAYLOAD, value, &format!("names no payload: {}", error.rule))),
    }
}

fn read_timeout(value: &str) -> Result<Duration, Invalid> {
    let timeout = parse_duration(value).map_err(|why| unusable(name::TIMEOUT, value, &why))?;
    if timeout.is_zero() {
        return Err(unusable(name::TIMEOUT, value, "leaves no time at all"));
    }
    Ok(timeout)
}

fn read_deadline(value: &str) -> Result<SystemTime, Invalid> {
    value.parse::<jiff::Timestamp>().map(SystemTime::from).map_err(|_| {
        unusable(name::DEADLINE, value, "is not a time as in RFC 3339, such as 2030-01-31T12:00:00Z")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&str, &str)]) -> Result<TaskHeaders, Invalid> {
        TaskHeaders::read(&Subjects::of(&"acme".parse().unwrap()), headers.iter().copied())
    }

    #[test]
    fn headers_are_read_whatever_their_case() {
        let headers = read(&[
            ("content-TYPE", "image/png"),
            ("saggar-timeout", "90s"),
            ("SAGGAR-DEADLINE", "2030-01-31T12:00:00+01:00"),
            ("Saggar-Reply-To", "saggar.acme.reply.a"),
            ("Saggar-payload", "object:in-00000000000000000000000000000007"),
            ("TraceParent", "00-1-2-01"),
        ])
        .unwrap();
        assert_eq!(headers.content_type.as_deref(), Some("image/png"));
        assert_eq!(headers.timeout, Some(Duration::from_secs(90)));
        assert_eq!(headers.deadline, Some("2030-01-31T11:00:00Z".parse::<jiff::Timestamp>().unwrap().into()));
        assert_eq!(headers.reply_to.as_deref(), Some("saggar.acme.reply.a"));
        assert_eq!(headers.payload, Some(PayloadName::input(7)));
        assert_eq!(headers.traceparent.as_deref(), Some("00-1-2-01"));
    }

    #[test]
    fn the_guest_sees_neither_the_message_systems_headers_nor_ours() {
        let headers = read(&[
            ("Nats-Msg-Id", "x"),
            ("nats-rollup", "all"),
            ("Saggar-Fuel", "99"),
            ("X-Customer", "7"),
            ("ce-type", "a"),
        ])
        .unwrap();
        assert_eq!(headers.visible, [("X-Customer".into(), "7".into()), ("ce-type".into(), "a".into())]);
    }

    #[test]
    fn of_the_headers_of_a_child_the_guest_sees_its_parent() {
        let headers =
            read(&[("saggar-parent", "split/a"), ("Saggar-Depth", "2"), ("Saggar-Once", "true")]).unwrap();
        assert_eq!(headers.visible, [("Saggar-Parent".into(), "split/a".into())]);
        assert_eq!((headers.parent, headers.depth, headers.once), ("split/a".parse().ok(), 2, true));
    }

    #[test]
    fn a_header_that_cannot_be_understood_is_named_with_its_value_escaped() {
        for (header, value) in [
            ("Saggar-Timeout", "soon"),
            ("Saggar-Timeout", "0s"),
            ("Saggar-Deadline", "tomorrow"),
            ("Saggar-Reply-To", "saggar.other.reply.a"),
            ("Saggar-Payload", "object:x"),
            ("Saggar-Once", "yes"),
            ("Saggar-Parent", "order-17"),
            ("Saggar-Group", "a.>/b"),
            ("Saggar-Depth", "-1"),
            ("Saggar-Joins", "many"),
            ("Saggar-Payload", "in-00000000000000000000000000000007"),
            ("Saggar-Payload", "object:out-00000000000000000000000000000007"),
        ] {
            let Invalid(reason) = read(&[(header, value)]).unwrap_err();
            assert!(reason.contains(header) && reason.contains(value), "{reason}");
        }
        let Invalid(reason) = read(&[("Saggar-Timeout", &"\u{1b}".repeat(5000))]).unwrap_err();
        assert!(reason.len() < 512 && !reason.contains('\u{1b}'), "{reason}");
    }

    #[test]
    fn a_message_that_was_put_right_on_its_way_is_invalid_whatever_else_is_wrong_with_it() {
        for headers in [
            [("saggar-malformed", "no \u{1b}colon"), ("Saggar-Timeout", "soon")],
            [("Saggar-Timeout", "soon"), ("Saggar-Malformed", "no \u{1b}colon")],
        ] {
            let Invalid(reason) = read(&headers).unwrap_err();
            assert_eq!(reason, "the message cannot be read as it was published: no \\u{1b}colon");
        }
    }

    #[test]
    fn a_task_names_one_payload() {
        let [one, other] = [7, 8].map(|number| PayloadName::input(number).header());
        assert!(read(&[("Saggar-Payload", &one), ("saggar-payload", &one)]).is_ok());
        assert!(read(&[("Saggar-Payload", &one), ("saggar-payload", &other)]).is_err());
    }

    #[test]
    fn headers_over_16_kib_are_too_many() {
        assert!(read(&[("A", &"x".repeat(HEADERS_MAX_BYTES - 1))]).is_ok());
        assert!(read(&[("A", &"x".repeat(HEADERS_MAX_BYTES))]).is_err());
    }

    #[test]
    fn a_deadline_is_over_at_its_own_instant() {
        let deadline = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let headers = TaskHeaders { deadline: Some(deadline), ..TaskHeaders::default() };
        assert!(!headers.has_expired(deadline - Duration::from_nanos(1)));
        assert!(headers.has_expired(deadline));
        assert!(!TaskHeaders::default().has_expired(deadline));
        assert!(read(&[("Saggar-Deadline", "9999-12-30T00:00:00Z")]).is_ok());
    }
}

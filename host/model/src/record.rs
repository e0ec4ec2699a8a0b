//! The terminal records of a task, as messages: its result, and the dead letter that a failure leaves.
//!
//! Everything stands in headers that any client can read; the payload of a result is the output itself.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use crate::header::{belongs_to_nats, belongs_to_saggar, is_publishers, name};
use crate::{BookId, Earlier, Ending, Failure, Outcome, PayloadName, PluginRef, Receipt, TaskRef};

/// Place of a task in its stream.
pub type Sequence = u64;

/// Media type of the payload of a failed result.
const PROBLEM: &str = "application/problem+json";

/// How much of a reason stands in a header; the whole of it is in the result's payload.
const REASON_HEADER_BYTES: usize = 4096;

/// A result that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("header {header} is missing or cannot be read")]
pub struct RecordError {
    /// The header.
    pub header: &'static str,
}

/// The result of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskResult {
    /// Which task.
    pub task: TaskRef,
    /// Which message it was.
    pub sequence: Sequence,
    /// How its last attempt ended.
    pub outcome: Outcome,
    /// Media type of the payload.
    pub content_type: String,
    /// The output; of a failure, its description.
    pub payload: Bytes,
    /// Where the output lies that is too large for the message; its payload is empty then.
    pub object: Option<PayloadName>,
    /// What the last attempt cost.
    pub receipt: Receipt,
    /// What the attempts before it cost.
    pub earlier: Earlier,
    /// The book that it is counted in.
    pub book: Option<BookId>,
    /// The trace context of the task.
    pub traceparent: Option<String>,
    /// The task that submitted it.
    pub parent: Option<TaskRef>,
}

impl TaskResult {
    /// The result of a task whose last attempt ended so.
    #[must_use]
    pub fn new(
        task: TaskRef,
        sequence: Sequence,
        ending: Ending,
        receipt: Receipt,
        traceparent: Option<String>,
    ) -> Self {
        let outcome = ending.outcome();
        let (content_type, payload) = match ending {
            Ending::Succeeded(output) => (output.content_type, output.payload),
            Ending::Failed(failure) => (PROBLEM.to_owned(), problem(&task, &failure)),
        };
        Self {
            task,
            sequence,
            outcome,
            content_type,
            payload,
            object: None,
            receipt,
            earlier: Earlier::default(),
            book: None,
            traceparent,
            parent: None,
        }
    }

    /// The result of a task that `parent` submitted.
    #[must_use]
    pub fn with_parent(self, parent: Option<TaskRef>) -> Self {
        Self { parent, ..self }
    }

    /// The result of a task that had these attempts before its last.
    #[must_use]
    pub fn with_earlier(self, earlier: Earlier) -> Self {
        Self { earlier, ..self }
    }

    /// Gives the headers of the message that carries the result to `set`, as name and value.
    pub fn headers(&self, mut set: impl FnMut(&'static str, fmt::Arguments<'_>)) {
        set(name::CONTENT_TYPE, format_args!("{}", self.content_type));
        set(name::TASK, format_args!("{}", self.task));
        receipt_headers(&mut set, self.outcome, self.sequence, &self.receipt);
        if !self.earlier.is_none() {
            set(name::EARLIER, format_args!("{}", self.earlier));
        }
        if let Some(book) = &self.book {
            set(name::BOOK, format_args!("{book}"));
        }
        if let Some(object) = &self.object {
            set(name::PAYLOAD, format_args!("{}", object.header()));
        }
        if let Some(traceparent) = &self.traceparent {
            set(name::TRACEPARENT, format_args!("{traceparent}"));
        }
        if let Some(parent) = &self.parent {
            set(name::PARENT, format_args!("{parent}"));
        }
    }

    /// Reads a result from the headers and the payload of its message.
    ///
    /// # Errors
    /// A header that every result has is missing or unreadable.
    pub fn read<'a>(
        header: impl Fn(&'static str) -> Option<&'a str>,
        payload: Bytes,
    ) -> Result<Self, RecordError> {
        fn wanted<T: std::str::FromStr>(text: Option<&str>, header: &'static str) -> Result<T, RecordError> {
            text.and_then(|text| text.parse().ok()).ok_or(RecordError { header })
        }
        let get = |name| header(name);
        let millis = |name| -> Result<Duration, RecordError> {
            let millis: f64 = wanted(get(name), name)?;
            Duration::try_from_secs_f64(millis / 1e3).map_err(|_| RecordError { header: name })
        };
        let mut receipt = Receipt {
            fuel: wanted(get(name::FUEL), name::FUEL)?,
            peak_memory: wanted(get(name::PEAK_MEMORY), name::PEAK_MEMORY)?,
            duration: millis(name::DURATION)?,
            // Hosts of earlier versions did not measure it.
            cpu: if get(name::CPU).is_some() { millis(name::CPU)? } else { Duration::ZERO },
            queued: millis(name::QUEUED)?,
            attempt: wanted(get(name::ATTEMPT), name::ATTEMPT)?,
            plugin: get(name::PLUGIN).and_then(read_plugin),
            digest: get(name::DIGEST).and_then(|digest| digest.parse().ok()),
            host: get(name::HOST).unwrap_or_default().to_owned(),
            ..Receipt::default()
        };
        read_usage(&mut receipt, get(name::USAGE).unwrap_or_default());
        Ok(Self {
            task: wanted(get(name::TASK), name::TASK)?,
            sequence: wanted(get(name::SEQ), name::SEQ)?,
            outcome: wanted(get(name::STATUS), name::STATUS)?,
            content_type: get(name::CONTENT_TYPE).unwrap_or_default().to_owned(),
            payload,
            object: get(name::PAYLOAD).and_then(|value| PayloadName::from_header(value).ok()),
            receipt,
            earlier: get(name::EARLIER).and_then(|text| text.parse().ok()).unwrap_or_default(),
            book: get(name::BOOK).and_then(|book| book.parse().ok()),
            traceparent: get(name::TRACEPARENT).map(str::to_owned),
            parent: get(name::PARENT).and_then(|parent| parent.parse().ok()),
        })
    }

    /// Why the task failed, read from the payload; nothing for a task that did not.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Problem {
            detail: String,
        }
        if self.outcome == Outcome::Succeeded {
            return None;
        }
        serde_json::from_slice::<Problem>(&self.payload).ok().map(|problem| problem.detail)
    }
}

/// The description of a failure as RFC 9457 has it.
fn problem(task: &TaskRef, failure: &Failure) -> Bytes {
    let mut problem = serde_json::json!({
        "type": format!("urn:saggar:outcome:{}", failure.outcome),
        "title": failure.outcome.explanation(),
        "detail": failure.reason,
        "instance": task.to_string(),
        "outcome": failure.outcome,
    });
    if let Some(code) = &failure.code {
        problem["code"] = code.as_str().into();
    }
    if !failure.backtrace.is_empty() {
        problem["backtrace"] = failure.backtrace.clone().into();
    }
    if !failure.stderr.is_empty() {
        problem["stderr"] = failure.stderr.as_str().into();
    }
    Bytes::from(problem.to_string())
}

fn receipt_headers(
    set: &mut impl FnMut(&'static str, fmt::Arguments<'_>),
    outcome: Outcome,
    sequence: Sequence,
    receipt: &Receipt,
) {
    set(name::STATUS, format_args!("{}", outcome.as_str()));
    set(name::SEQ, format_args!("{sequence}"));
    set(name::ATTEMPT, format_args!("{}", receipt.attempt));
    set(name::FUEL, format_args!("{}", receipt.fuel));
    set(name::PEAK_MEMORY, format_args!("{}", receipt.peak_memory));
    let times =
        [(name::DURATION, receipt.duration), (name::CPU, receipt.cpu), (name::QUEUED, receipt.queued)];
    for (name, duration) in times {
        let micros = duration.as_micros();
        set(name, format_args!("{}.{:03}", micros / 1000, micros % 1000));
    }
    if let Some(plugin) = &receipt.plugin {
        set(name::PLUGIN, format_args!("{plugin}"));
    }
    if let Some(digest) = &receipt.digest {
        set(name::DIGEST, format_args!("{digest}"));
    }
    set(name::HOST, format_args!("{}", receipt.host));
    let Receipt { bytes_in, bytes_out, log_bytes, host_calls, .. } = receipt;
    set(name::USAGE, format_args!("in={bytes_in} out={bytes_out} log={log_bytes} calls={host_calls}"));
}

fn read_usage(receipt: &mut Receipt, usage: &str) {
    for (key, value) in usage.split(' ').filter_map(|pair| pair.split_once('=')) {
        let value = value.parse().unwrap_or_default();
        match key {
            "in" => receipt.bytes_in = value,
            "out" => receipt.bytes_out = value,
            "log" => receipt.log_bytes = value,
            "calls" => receipt.host_calls = value,
            // A newer host may count more than this one knows.
            _ => {}
        }
    }
}

fn read_plugin(text: &str) -> Option<crate::PluginId> {
    if let Ok(PluginRef::Version(name, version)) = text.parse() {
        return Some(crate::PluginId { name, version: Some(version) });
    }
    Some(crate::PluginId { name: text.parse().ok()?, version: None })
}

/// A task that will not be retried, as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// The original payload.
    pub payload: Bytes,
    /// The original headers that may be kept, then the reason and the receipt.
    pub headers: Vec<(String, String)>,
}

impl DeadLetter {
    /// The dead letter of a task with these headers, whose last attempt ended with this failure.
    #[must_use]
    pub fn new<'a>(
        task: &TaskRef,
        sequence: Sequence,
        payload: Bytes,
        original: impl IntoIterator<Item = (&'a str, &'a str)>,
        failure: &Failure,
        receipt: &Receipt,
    ) -> Self {
        let mut headers = Self::publishers(original);
        let mut set =
            |name: &str, value: fmt::Arguments<'_>| headers.push((name.to_owned(), value.to_string()));
        let reason = crate::escape_and_cut(&failure.reason, REASON_HEADER_BYTES - '…'.len_utf8());
        set(name::TASK, format_args!("{task}"));
        set(name::REASON, format_args!("{reason}"));
        receipt_headers(&mut set, failure.outcome, sequence, receipt);
        Self { payload, headers }
    }

    /// Of the headers of a task or a dead letter, those that its publisher set and that may be published again:
    /// none of the message system's, and no receipt.
    #[must_use]
    pub fn publishers<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
        headers
            .into_iter()
            .filter(|(name, _)| !belongs_to_nats(name) && (!belongs_to_saggar(name) || is_publishers(name)))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, Output, PluginId};

    fn task() -> TaskRef {
        "thumbnail/order-17".parse().unwrap()
    }

    fn receipt() -> Receipt {
        Receipt {
            fuel: 123_456,
            peak_memory: 1 << 20,
            duration: Duration::from_micros(1234),
            cpu: Duration::from_micros(234),
            queued: Duration::from_millis(7),
            attempt: 2,
            plugin: Some(PluginId { name: "thumbnail".parse().unwrap(), version: "1.2.0".parse().ok() }),
            digest: Some(Digest::of(b"x")),
            host: "host-1".into(),
            bytes_in: 256,
            bytes_out: 3,
            log_bytes: 9,
            host_calls: 4,
        }
    }

    fn header<'a>(headers: &'a [(&'static str, String)], wanted: &str) -> Option<&'a str> {
        headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_result_reads_back_from_its_message() {
        let output = Output { content_type: "image/png".into(), payload: Bytes::from_static(b"png") };
        let result =
            TaskResult::new(task(), 17, Ending::Succeeded(output), receipt(), Some("00-1-2-01".to_owned()))
                .with_parent("split/order-17".parse().ok());
        let mut earlier = Earlier::default();
        earlier.add(&receipt());
        let book = "00000000000000ff-1".parse().ok();
        let result =
            TaskResult { object: Some(PayloadName::output(7)), book, ..result.with_earlier(earlier) };
        let mut headers = Vec::new();
        result.headers(|name, value| headers.push((name, value.to_string())));
        assert_eq!(header(&headers, "Saggar-Status"), Some("succeeded"));
        assert_eq!(header(&headers, "Saggar-Duration"), Some("1.234"));
        assert_eq!(header(&headers, "Saggar-Cpu"), Some("0.234"));
        assert_eq!(header(&headers, "Saggar-Plugin"), Some("thumbnail@1.2.0"));
        let object = header(&headers, "Saggar-Payload");
        assert_eq!(object, Some("object:out-00000000000000000000000000000007"));
        let read = TaskResult::read(|name| header(&headers, name), result.payload.clone());
        assert_eq!(read, Ok(result));
    }

    #[test]
    fn a_failed_result_says_why_in_its_payload() {
        let failure = Failure {
            code: Some("broken-image".into()),
            backtrace: vec!["thumbnail::decode".into()],
            ..Failure::new(Outcome::Rejected, "the JPEG ends early")
        };
        let result = TaskResult::new(task(), 17, Ending::Failed(failure), receipt(), None);
        assert_eq!(result.content_type, "application/problem+json");
        assert_eq!(result.reason().as_deref(), Some("the JPEG ends early"));
        let problem: serde_json::Value = serde_json::from_slice(&result.payload).unwrap();
        assert_eq!(problem["outcome"], "rejected");
        assert_eq!(problem["code"], "broken-image");
        assert_eq!(problem["backtrace"][0], "thumbnail::decode");
    }

    #[test]
    fn a_message_without_its_headers_is_no_result() {
        assert_eq!(TaskResult::read(|_| None, Bytes::new()), Err(RecordError { header: "Saggar-Fuel" }));
    }

    #[test]
    fn a_dead_letter_keeps_the_publishers_headers_and_no_forged_receipt() {
        let original = [
            ("X-Customer", "7"),
            ("Saggar-Timeout", "5s"),
            ("Saggar-Status", "succeeded"),
            ("saggar-reason", "forged"),
            ("Nats-Rollup", "all"),
            ("nats-msg-id", "1"),
        ];
        let failure = Failure::new(Outcome::Trapped, "panicked\r\nNats-Rollup: all");
        let dead = DeadLetter::new(&task(), 17, Bytes::from_static(b"in"), original, &failure, &receipt());
        let value = |wanted: &str| -> Vec<&str> {
            let named = dead.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            named.map(|(_, value)| value.as_str()).collect()
        };
        assert_eq!(value("X-Customer"), ["7"]);
        assert_eq!(value("Saggar-Timeout"), ["5s"]);
        assert_eq!(value("Saggar-Status"), ["trapped"]);
        assert_eq!(value("Saggar-Reason"), ["panicked\\r\\nNats-Rollup: all"]);
        assert!(!dead.headers.iter().any(|(name, _)| name.to_lowercase().starts_with("nats-")));
        let again =
            DeadLetter::publishers(dead.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        assert_eq!(again.len(), 2, "what a redrive publishes: {again:?}");
    }
}

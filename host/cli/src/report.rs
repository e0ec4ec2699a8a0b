//! What became of a task: the one shape that `run`, `task get`, `task wait` and `task submit --wait` share.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use owo_colors::{OwoColorize, Style};
use saggar_model::{Outcome, Receipt, TaskResult, TenantName, escape, format_bytes, format_duration};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::console::Console;
use crate::failure::{Exit, Failure};

/// Digits of a digest that people compare.
const DIGEST_SHOWN: usize = "sha256:".len() + 12;

/// A finished task, for programs.
#[derive(Debug, Serialize)]
pub struct Report {
    task: String,
    tenant: String,
    queue: String,
    outcome: Outcome,
    content_type: String,
    output: String,
    output_encoding: Encoding,
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    receipt: ReceiptReport,
}

/// How bytes stand in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Encoding {
    /// As text.
    #[serde(rename = "utf-8")]
    Utf8,
    /// As base64.
    #[serde(rename = "base64")]
    Base64,
}

/// What an attempt cost, for programs.
#[derive(Debug, Serialize)]
pub struct ReceiptReport {
    fuel: u64,
    peak_memory: u64,
    duration_ms: f64,
    cpu_ms: f64,
    queued_ms: f64,
    attempt: u32,
    plugin: Option<String>,
    digest: Option<String>,
    host: String,
    bytes_in: u64,
    bytes_out: u64,
    log_bytes: u64,
    host_calls: u64,
}

/// Bytes as JSON can hold them.
#[must_use]
pub fn encode(bytes: &[u8]) -> (String, Encoding) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), Encoding::Utf8),
        Err(_) => (STANDARD.encode(bytes), Encoding::Base64),
    }
}

impl Report {
    /// The report of a result.
    #[must_use]
    pub fn new(tenant: &TenantName, result: &TaskResult) -> Self {
        let (output, output_encoding) = encode(&result.payload);
        Self {
            task: result.task.to_string(),
            tenant: tenant.to_string(),
            queue: result.task.queue.to_string(),
            outcome: result.outcome,
            content_type: result.content_type.clone(),
            output,
            output_encoding,
            reason: result.reason(),
            parent: result.parent.as_ref().map(ToString::to_string),
            receipt: ReceiptReport::new(&result.receipt),
        }
    }
}

impl ReceiptReport {
    /// The account of an attempt, for programs.
    #[must_use]
    pub fn new(receipt: &Receipt) -> Self {
        Self {
            fuel: receipt.fuel,
            peak_memory: receipt.peak_memory,
            duration_ms: millis(receipt.duration),
            cpu_ms: millis(receipt.cpu),
            queued_ms: millis(receipt.queued),
            attempt: receipt.attempt,
            plugin: receipt.plugin.as_ref().map(ToString::to_string),
            digest: receipt.digest.as_ref().map(ToString::to_string),
            host: receipt.host.clone(),
            bytes_in: receipt.bytes_in,
            bytes_out: receipt.bytes_out,
            log_bytes: receipt.log_bytes,
            host_calls: receipt.host_calls,
        }
    }
}

/// Whether a person has seen what a guest wrote to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stderr {
    /// It was shown while the guest ran.
    Seen,
    /// The end of it is to be shown.
    Unseen,
}

/// Writes what became of a task: its output to standard output, the rest to standard error.
///
/// # Errors
/// Standard output cannot be written.
pub fn write(
    console: Console,
    tenant: &TenantName,
    result: &TaskResult,
    stderr: Stderr,
) -> Result<Exit, Failure> {
    console.object(Report::new(tenant, result), &json!({}))?;
    if result.outcome == Outcome::Succeeded {
        console.payload(&result.content_type, &result.payload)?;
    }
    console.note(summary(result, stderr));
    Ok(exit(result.outcome))
}

/// How a command ends whose task ended so.
#[must_use]
pub fn exit(outcome: Outcome) -> Exit {
    if outcome == Outcome::Succeeded { Exit::Success } else { Exit::TaskFailed }
}

/// Milliseconds, to the microsecond: as fine as a result's headers go.
#[must_use]
pub fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// How an outcome looks.
#[must_use]
pub fn style(outcome: Outcome) -> Style {
    match outcome {
        Outcome::Succeeded => Style::new().green().bold(),
        Outcome::Cancelled | Outcome::Interrupted | Outcome::Expired => Style::new().yellow().bold(),
        Outcome::Rejected
        | Outcome::Retried
        | Outcome::Trapped
        | Outcome::OutOfFuel
        | Outcome::OutOfMemory
        | Outcome::TimedOut
        | Outcome::OutputTooLarge
        | Outcome::Invalid
        | Outcome::HostError => Style::new().red().bold(),
    }
}

/// Whole numbers with their thousands apart: `5,000,000`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// The beginning of a digest, enough to tell it from another.
#[must_use]
pub fn short_digest(digest: &saggar_model::Digest) -> String {
    digest.to_string()[..DIGEST_SHOWN].to_owned()
}

/// What else a failed result's payload tells.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Details {
    code: Option<String>,
    backtrace: Vec<String>,
    stderr: String,
}

/// Outcome, reason and receipt, for a person.
#[must_use]
pub fn summary(result: &TaskResult, stderr: Stderr) -> String {
    let dim = Style::new().dimmed();
    let receipt = &result.receipt;
    let mut lines = Vec::new();
    let duration = format_duration(receipt.duration);
    lines.push(format!(
        "{} {}",
        result.outcome.style(style(result.outcome)),
        format!("in {duration}").style(dim)
    ));
    if let Some(reason) = result.reason() {
        let details: Details = serde_json::from_slice(&result.payload).unwrap_or_default();
        let code = details.code.map(|code| format!(" ({})", escape(&code))).unwrap_or_default();
        lines.push(format!("  {}{code}", escape(&reason)));
        lines.extend(frames(&details.backtrace));
        if stderr == Stderr::Unseen && !details.stderr.is_empty() {
            lines.push(format!("  {}", "the end of its standard error:".style(dim)));
            let tail = details.stderr.lines().map(|line| format!("    {}", escape(line).style(dim)));
            lines.extend(tail);
        }
    }
    lines.push(format!("  {}", facts(receipt).join(" · ").style(dim)));
    lines.join("\n")
}

/// A backtrace, with a function that called itself shown once.
fn frames(backtrace: &[String]) -> impl Iterator<Item = String> {
    backtrace.chunk_by(|a, b| a == b).map(|same| {
        let times = if same.len() > 1 { format!(" ({} times)", same.len()) } else { String::new() };
        format!("    at {}{times}", escape(&same[0]))
    })
}

/// What an attempt cost and where it ran, one fact each.
#[must_use]
pub fn facts(receipt: &Receipt) -> Vec<String> {
    let mut facts = vec![
        format!("fuel {}", count(receipt.fuel)),
        format!("peak memory {}", format_bytes(receipt.peak_memory)),
        format!("in {}", format_bytes(receipt.bytes_in)),
        format!("out {}", format_bytes(receipt.bytes_out)),
    ];
    if receipt.log_bytes > 0 {
        facts.push(format!("logged {}", format_bytes(receipt.log_bytes)));
    }
    if !receipt.queued.is_zero() {
        facts.push(format!("queued {}", format_duration(receipt.queued)));
    }
    facts.push(format!("attempt {}", receipt.attempt));
    let digest = receipt.digest.as_ref().map(short_digest).unwrap_or_default();
    match &receipt.plugin {
        Some(plugin) => facts.push(format!("{plugin} {digest}").trim_end().to_owned()),
        None if !digest.is_empty() => facts.push(digest),
        None => {}
    }
    facts.push(format!("host {}", escape(&receipt.host)));
    facts
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use saggar_model::{Ending, Failure as TaskFailure, Output};
    use serde_json::Value;

    use super::*;

    fn result(ending: Ending) -> TaskResult {
        let receipt = Receipt {
            fuel: 5_000_123,
            duration: Duration::from_nanos(1_234_567),
            attempt: 2,
            host: "local".into(),
            ..Receipt::default()
        };
        TaskResult::new("thumbnail/order-17".parse().unwrap(), 1, ending, receipt, None)
    }

    fn json(ending: Ending) -> Value {
        serde_json::to_value(Report::new(&"acme".parse().unwrap(), &result(ending))).unwrap()
    }

    fn output(bytes: &'static [u8]) -> Ending {
        Ending::Succeeded(Output { content_type: "a/b".into(), payload: Bytes::from_static(bytes) })
    }

    #[test]
    fn a_report_has_the_shape_of_the_documentation() {
        let report = json(output(b"text"));
        let keys: Vec<_> = report.as_object().unwrap().keys().cloned().collect();
        let mut wanted = [
            "task",
            "tenant",
            "queue",
            "outcome",
            "content_type",
            "output",
            "output_encoding",
            "reason",
            "receipt",
        ];
        wanted.sort_unstable();
        assert_eq!(keys, wanted);
        let receipt: Vec<_> = report["receipt"].as_object().unwrap().keys().cloned().collect();
        let mut wanted = [
            "fuel",
            "peak_memory",
            "duration_ms",
            "cpu_ms",
            "queued_ms",
            "attempt",
            "plugin",
            "digest",
            "host",
            "bytes_in",
            "bytes_out",
            "log_bytes",
            "host_calls",
        ];
        wanted.sort_unstable();
        assert_eq!(receipt, wanted);
        assert_eq!(report["task"], "thumbnail/order-17");
        assert_eq!(report["receipt"]["duration_ms"], 1.235);
        assert_eq!(report["reason"], Value::Null);
    }

    #[test]
    fn output_that_is_no_text_is_base64() {
        assert_eq!(json(output(b"text"))["output_encoding"], "utf-8");
        let report = json(output(b"\xff\xd8"));
        assert_eq!(
            (report["output"].as_str(), report["output_encoding"].as_str()),
            (Some("/9g="), Some("base64"))
        );
    }

    #[test]
    fn a_failure_has_its_reason_and_its_problem_document() {
        let report = json(Ending::Failed(TaskFailure::new(Outcome::Rejected, "the JPEG ends early")));
        assert_eq!(report["outcome"], "rejected");
        assert_eq!(report["reason"], "the JPEG ends early");
        assert_eq!(report["content_type"], "application/problem+json");
        assert!(report["output"].as_str().unwrap().contains("the JPEG ends early"));
        assert_eq!((exit(Outcome::Rejected), exit(Outcome::Succeeded)), (Exit::TaskFailed, Exit::Success));
    }

    #[test]
    fn a_summary_tells_a_person_what_happened_and_what_it_cost() {
        let failure = TaskFailure {
            backtrace: vec!["thumbnail::decode".into(), "f".into(), "f".into()],
            stderr: "one\ntwo".into(),
            code: Some("broken".into()),
            ..TaskFailure::new(Outcome::Trapped, "panicked")
        };
        let failed = result(Ending::Failed(failure));
        let shown = |stderr| anstream::adapter::strip_str(&summary(&failed, stderr)).to_string();
        let whole = shown(Stderr::Unseen);
        for part in [
            "trapped in 1.2ms",
            "panicked (broken)",
            "at thumbnail::decode\n",
            "at f (2 times)",
            "    two",
            "fuel 5,000,123",
        ] {
            assert!(whole.contains(part), "{part} in {whole}");
        }
        assert!(!shown(Stderr::Seen).contains("two"));
    }

    #[test]
    fn counts_have_their_thousands_apart() {
        for (number, shown) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(count(number), shown);
        }
    }
}

//! `saggar dead show`: one dead letter, whole for programs, harmless and short for people.

use std::time::SystemTime;

use bytes::Bytes;
use owo_colors::{OwoColorize, Style};
use saggar_jetstream::StoredDead;
use saggar_model::{DeadLetter, TaskResult, TenantName, escape, format_bytes, header_name};
use serde_json::{Value, json};

use crate::console::Console;
use crate::failure::Failure;
use crate::moment::{ago, rfc3339};
use crate::report::{ReceiptReport, encode, facts, style};

/// How much of a payload is shown to a person.
const PAYLOAD_BYTES: usize = 4096;

/// Writes a dead letter.
///
/// # Errors
/// Standard output cannot be written.
pub fn write(console: Console, tenant: &TenantName, task: &str, dead: &StoredDead) -> Result<(), Failure> {
    console.object(object(tenant, task, dead), &json!({}))?;
    console.line(shown(task, dead))
}

/// The headers that the publisher set.
fn publishers(dead: &StoredDead) -> Vec<(String, String)> {
    DeadLetter::publishers(dead.letter.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// What the headers tell of the last attempt; nothing if they are not ours.
fn last_attempt(dead: &StoredDead) -> Option<TaskResult> {
    TaskResult::read(|name| dead.header(name), Bytes::new()).ok()
}

fn object(tenant: &TenantName, task: &str, dead: &StoredDead) -> Value {
    let headers = publishers(dead).into_iter().map(|(name, value)| json!({ "name": name, "value": value }));
    let (payload, payload_encoding) = encode(&dead.letter.payload);
    let attempt = last_attempt(dead);
    json!({
        "task": task,
        "tenant": tenant,
        "queue": dead.queue,
        "outcome": attempt.as_ref().map(|attempt| attempt.outcome),
        "reason": dead.header(header_name::REASON),
        "receipt": attempt.as_ref().map(|attempt| ReceiptReport::new(&attempt.receipt)),
        "headers": headers.collect::<Vec<_>>(),
        "payload": payload,
        "payload_encoding": payload_encoding,
        "stored_at": rfc3339(dead.stored_at),
    })
}

fn shown(task: &str, dead: &StoredDead) -> String {
    let dim = Style::new().dimmed();
    let since = ago(dead.stored_at, SystemTime::now());
    let attempt = last_attempt(dead);
    let outcome = attempt.as_ref().map(|attempt| attempt.outcome.style(style(attempt.outcome)).to_string());
    let outcome = outcome.unwrap_or_else(|| "an ending that cannot be read".to_owned());
    let mut lines = vec![format!("{} {outcome} {}", escape(task).bold(), since.style(dim))];
    if let Some(reason) = dead.header(header_name::REASON) {
        lines.push(format!("  {}", escape(reason)));
    }
    if let Some(attempt) = attempt {
        lines.push(format!("  {}", facts(&attempt.receipt).join(" · ").style(dim)));
    }
    let headers = publishers(dead);
    if !headers.is_empty() {
        lines.push("headers".bold().to_string());
        lines.extend(headers.iter().map(|(name, value)| format!("  {}: {}", escape(name), escape(value))));
    }
    let payload = &dead.letter.payload;
    let size = format_bytes(payload.len() as u64);
    lines.push(format!("{} {}", "payload".bold(), size.style(dim)));
    match std::str::from_utf8(payload) {
        Ok("") => {}
        Ok(text) => lines.extend(cut(text).map(|line| format!("  {}", escape(line)))),
        Err(_) => lines.push(format!("  {}", "no text; `--output json` has it as base64".style(dim))),
    }
    lines.join("\n")
}

/// The beginning of a text, line by line.
fn cut(text: &str) -> impl Iterator<Item = &str> {
    let mut left = PAYLOAD_BYTES;
    text.lines().map_while(move |line| {
        if left == 0 {
            return None;
        }
        if line.len() < left {
            left -= line.len();
            return Some(line);
        }
        let end = line.floor_char_boundary(left);
        left = 0;
        Some(&line[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_payload_is_cut_between_characters() {
        let long = "ä".repeat(PAYLOAD_BYTES);
        assert_eq!(cut(&long).next().unwrap().len(), PAYLOAD_BYTES);
        assert_eq!(cut("a\nb").collect::<Vec<_>>(), ["a", "b"]);
        let lines = "x\n".repeat(2 * PAYLOAD_BYTES);
        assert!(cut(&lines).count() <= PAYLOAD_BYTES);
    }
}

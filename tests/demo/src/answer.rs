//! A result as a plain NATS client sees it: a payload, and headers with everything that is known about the run.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;

/// The result of one task.
#[derive(Debug, Clone)]
pub struct Answer {
    /// How the task ended.
    pub status: String,
    /// The output; of a failure, its description in JSON.
    pub payload: Bytes,
    /// How long the last attempt ran.
    pub duration: Duration,
    /// How long the task waited for it.
    pub queued: Duration,
    /// What it spent.
    pub fuel: u64,
    /// The most memory it held, in bytes.
    pub peak_memory: u64,
    /// Which attempt it was.
    pub attempt: u32,
    /// When the result was seen here.
    pub seen: Instant,
}

impl Answer {
    /// Reads a message of a `result` subject.
    pub fn read(message: &async_nats::Message) -> anyhow::Result<Self> {
        let text = |name: &str| {
            let value = message.headers.as_ref().and_then(|headers| headers.get(name));
            value
                .map(async_nats::HeaderValue::as_str)
                .with_context(|| format!("{} has no {name}", message.subject))
        };
        let number = |name: &str| -> anyhow::Result<u64> { Ok(text(name)?.parse()?) };
        let millis = |name: &str| -> anyhow::Result<Duration> {
            Ok(Duration::try_from_secs_f64(text(name)?.parse::<f64>()? / 1e3)?)
        };
        Ok(Self {
            status: text("Saggar-Status")?.to_owned(),
            payload: message.payload.clone(),
            duration: millis("Saggar-Duration")?,
            queued: millis("Saggar-Queued")?,
            fuel: number("Saggar-Fuel")?,
            peak_memory: number("Saggar-Peak-Memory")?,
            attempt: u32::try_from(number("Saggar-Attempt")?)?,
            seen: Instant::now(),
        })
    }

    /// Why the task failed; of one that did not, nothing.
    pub fn reason(&self) -> Option<String> {
        let problem: serde_json::Value = serde_json::from_slice(&self.payload).ok()?;
        Some(problem.get("detail")?.as_str()?.to_owned())
    }
}

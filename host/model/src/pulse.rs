//! What a host says of itself when it is asked: what it holds, and what its queues have done since it started.
//!
//! Counts only grow, so that whoever asks twice knows what happened in between, and a lost answer loses nothing. A
//! queue that has done nothing since the last answer need not be in the next.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{QueueName, TenantName};

/// Asks all hosts at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PulseRequest {
    /// How long ago the last answer came, in milliseconds: queues that did nothing since are left out. Absent: all that
    /// ever did anything are wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
}

impl PulseRequest {
    /// Where it is published. No tenant has this: theirs all begin with `saggar.`.
    pub const SUBJECT: &'static str = "saggar-hosts.pulse";

    /// How long ago the last answer came.
    #[must_use]
    pub fn since(&self) -> Option<Duration> {
        self.since_ms.map(Duration::from_millis)
    }
}

/// A part of a host's answer. Parts differ in their queues only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pulse {
    /// The host's name.
    pub host: String,
    /// Which process it is.
    pub instance: String,
    /// How long it had run when it answered, in microseconds.
    pub age_us: u64,
    /// How many parts the answer has.
    pub parts: u32,
    /// Tasks that it holds: running, next, or with their result on its way.
    pub running: u32,
    /// Guest memory that is given out, in bytes.
    pub memory: u64,
    /// Its processors.
    pub cores: u32,
    /// Its queues.
    pub queues: Vec<QueuePulse>,
}

/// A queue on one host, since the host started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuePulse {
    /// Whose it is.
    pub tenant: TenantName,
    /// What it is called.
    pub queue: QueueName,
    /// What it has done.
    #[serde(flatten)]
    pub work: WorkDone,
}

/// What was done of a queue's tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkDone {
    /// Tasks that ended: recorded, and acknowledged.
    pub ended: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Fuel of attempts that ended.
    pub fuel: u64,
    /// Time for which guests computed, in nanoseconds; of those that run as well.
    pub computed_ns: u64,
}

impl WorkDone {
    /// What was done since `before`. Nothing is ever undone: where less was done, nothing was.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            ended: self.ended.saturating_sub(before.ended),
            failed: self.failed.saturating_sub(before.failed),
            fuel: self.fuel.saturating_sub(before.fuel),
            computed_ns: self.computed_ns.saturating_sub(before.computed_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_an_older_or_newer_release_is_understood_as_far_as_it_goes() {
        let text = r#"{"host":"host-1","parts":1,"more":7,"queues":[{"tenant":"acme","queue":"q","ended":3,"new":1}]}"#;
        let pulse: Pulse = serde_json::from_str(text).unwrap();
        let work = WorkDone { ended: 3, ..WorkDone::default() };
        assert_eq!(
            pulse.queues,
            [QueuePulse { tenant: "acme".parse().unwrap(), queue: "q".parse().unwrap(), work }]
        );
        assert_eq!(serde_json::from_str::<PulseRequest>("{}").unwrap().since(), None);
    }

    #[test]
    fn what_was_done_is_the_difference_and_never_less_than_nothing() {
        let before = WorkDone { ended: 3, failed: 1, fuel: 10, computed_ns: 100 };
        let after = WorkDone { ended: 5, failed: 0, fuel: 25, computed_ns: 100 };
        assert_eq!(after.since(before), WorkDone { ended: 2, failed: 0, fuel: 15, computed_ns: 0 });
    }
}

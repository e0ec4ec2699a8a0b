//! What an attempt leaves behind: an output, or a failure that says why there is none.

use std::time::Duration;

use bytes::Bytes;

use crate::Outcome;

/// The ending of one attempt, with all that is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The handler returned this.
    Succeeded(Output),
    /// Anything else.
    Failed(Failure),
}

impl Ending {
    /// The outcome in one word.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Succeeded(_) => Outcome::Succeeded,
            Self::Failed(failure) => failure.outcome,
        }
    }
}

/// What a handler returned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Media type of the payload.
    pub content_type: String,
    /// The bytes, as the plugin gave them.
    pub payload: Bytes,
}

/// Why there is no output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Any outcome but `succeeded`.
    pub outcome: Outcome,
    /// What happened, in a sentence or two, at most 4 KiB, without control characters.
    pub reason: String,
    /// The plugin's own short name for the failure.
    pub code: Option<String>,
    /// The shortest wait that the plugin asked for before the next attempt.
    pub retry_after: Option<Duration>,
    /// Function names from the innermost outwards, for a trap.
    pub backtrace: Vec<String>,
    /// The end of what the guest wrote to standard error, at most 4 KiB, escaped line by line.
    pub stderr: String,
}

impl Failure {
    /// The longest reason in bytes: a screen full, and small enough for a header.
    pub const REASON_MAX_BYTES: usize = 4096;

    /// A failure with a reason and nothing else. The reason is escaped and cut here.
    #[must_use]
    pub fn new(outcome: Outcome, reason: &str) -> Self {
        debug_assert_ne!(outcome, Outcome::Succeeded, "a success is no failure");
        Self {
            outcome,
            reason: crate::escape_and_cut(reason, Self::REASON_MAX_BYTES - '…'.len_utf8()),
            code: None,
            retry_after: None,
            backtrace: Vec::new(),
            stderr: String::new(),
        }
    }
}

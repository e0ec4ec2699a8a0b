//! How an attempt ended. There is no ending that is not one of these.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The ending of an attempt, as it stands in `Saggar-Status`, in metrics and in commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The handler returned a value.
    Succeeded,
    /// The handler said that the input can never succeed.
    Rejected,
    /// The handler asked for another attempt.
    Retried,
    /// A panic, `unreachable`, a stack overflow or an exit code.
    Trapped,
    /// The fuel limit was spent.
    OutOfFuel,
    /// The guest ended badly right after the memory limit denied it growth.
    OutOfMemory,
    /// The wall limit passed.
    TimedOut,
    /// The output was larger than the output limit.
    OutputTooLarge,
    /// The task or its component cannot be run at all.
    Invalid,
    /// The deadline passed before the task started.
    Expired,
    /// Someone cancelled the task.
    Cancelled,
    /// A drain or a lost host ended the attempt.
    Interrupted,
    /// The host failed, not the task.
    HostError,
}

impl Outcome {
    /// Every outcome, in the order of the documentation.
    pub const ALL: [Self; 13] = [
        Self::Succeeded,
        Self::Rejected,
        Self::Retried,
        Self::Trapped,
        Self::OutOfFuel,
        Self::OutOfMemory,
        Self::TimedOut,
        Self::OutputTooLarge,
        Self::Invalid,
        Self::Expired,
        Self::Cancelled,
        Self::Interrupted,
        Self::HostError,
    ];

    /// The name used in headers, labels and commands.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Rejected => "rejected",
            Self::Retried => "retried",
            Self::Trapped => "trapped",
            Self::OutOfFuel => "out-of-fuel",
            Self::OutOfMemory => "out-of-memory",
            Self::TimedOut => "timed-out",
            Self::OutputTooLarge => "output-too-large",
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
            Self::HostError => "host-error",
        }
    }

    /// One sentence for a person who meets the outcome for the first time.
    #[must_use]
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Succeeded => "The plugin returned a result.",
            Self::Rejected => "The plugin said that this input can never succeed.",
            Self::Retried => "The plugin asked for another attempt, and the retry policy allows no more.",
            Self::Trapped => "The plugin crashed.",
            Self::OutOfFuel => "The plugin spent all its fuel.",
            Self::OutOfMemory => "The plugin needed more memory than it may use.",
            Self::TimedOut => "The plugin ran longer than its wall limit.",
            Self::OutputTooLarge => "The plugin returned more than the output limit.",
            Self::Invalid => "The task or its plugin cannot be run at all.",
            Self::Expired => "The deadline passed before the task started.",
            Self::Cancelled => "The task was cancelled.",
            Self::Interrupted => "The host stopped before the attempt was over.",
            Self::HostError => "The host failed, or was lost.",
        }
    }

    /// Whether a task that ended so leaves a dead letter.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        !matches!(self, Self::Succeeded | Self::Cancelled)
    }

    /// Whether an attempt that ended so has failed, its task's fault or the host's. One that was cut short has not.
    #[must_use]
    pub const fn is_failed_attempt(self) -> bool {
        self.is_failure() && !matches!(self, Self::Interrupted)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an outcome")]
pub struct UnknownOutcome(pub String);

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Self, UnknownOutcome> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
            .ok_or_else(|| UnknownOutcome(crate::escape_and_cut(text, 64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_reads_back_under_its_name() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse(), Ok(outcome));
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
        assert!("Succeeded".parse::<Outcome>().is_err());
    }
}

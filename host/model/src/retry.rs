//! When a task is tried again.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Outcome;

/// A queue's retry policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetryPolicy {
    /// How often a task is run at most, the first time included.
    pub attempts: u32,
    /// The upper end of the first delay, in seconds.
    pub base: f64,
    /// By how much that end grows from one attempt to the next.
    pub factor: f64,
    /// Where it stops growing, in seconds.
    pub cap: f64,
    /// What follows from outcomes that this queue treats in its own way.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub on: BTreeMap<Outcome, Consequence>,
}

/// What follows from a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consequence {
    /// Another attempt, while there are any left.
    Retry,
    /// A dead letter at once.
    DeadLetter,
}

impl Consequence {
    /// The name in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::DeadLetter => "dead-letter",
        }
    }

    /// What follows from an outcome that a queue says nothing about; nothing for one where there is no choice.
    #[must_use]
    pub const fn by_default(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Retried | Outcome::Trapped | Outcome::TimedOut => Some(Self::Retry),
            Outcome::Rejected | Outcome::OutOfFuel | Outcome::OutOfMemory | Outcome::OutputTooLarge => {
                Some(Self::DeadLetter)
            }
            Outcome::Succeeded
            | Outcome::Invalid
            | Outcome::Expired
            | Outcome::Cancelled
            | Outcome::Interrupted
            | Outcome::HostError => None,
        }
    }
}

impl RetryPolicy {
    /// The most attempts that can be asked for: a task that failed a thousand times is not short of tries.
    pub const ATTEMPTS_MAX: u32 = 1000;

    /// How long to wait after the failed attempt number `attempt` (from 1).
    ///
    /// Full jitter: anything from zero to an upper end that grows with each attempt, so that tasks which failed
    /// together do not come back together. `chance` is a random number in [0, 1).
    #[must_use]
    pub fn delay(&self, attempt: u32, chance: f64) -> Duration {
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let upper = (self.base * self.factor.powi(exponent)).min(self.cap);
        Duration::try_from_secs_f64(upper * chance.clamp(0.0, 1.0)).unwrap_or(Duration::ZERO)
    }

    /// How long what the retry budget cannot pay for waits: about as long as the policy lets anything wait, and not all
    /// of it for the same time. `chance` is a random number in [0, 1).
    #[must_use]
    pub fn delay_over_budget(&self, chance: f64) -> Duration {
        let longest = self.cap * (1.0 + chance.clamp(0.0, 1.0)) / 2.0;
        Duration::try_from_secs_f64(longest).unwrap_or(Duration::ZERO)
    }

    /// What follows from a failed attempt; nothing for an outcome where there is no choice.
    #[must_use]
    pub fn consequence(&self, outcome: Outcome) -> Option<Consequence> {
        let usual = Consequence::by_default(outcome)?;
        Some(self.on.get(&outcome).copied().unwrap_or(usual))
    }

    /// What is wrong with the policy, one sentence per key.
    #[must_use]
    pub fn objections(&self) -> Vec<(&'static str, String)> {
        let mut objections = Vec::new();
        if !(1..=Self::ATTEMPTS_MAX).contains(&self.attempts) {
            objections.push(("attempts", format!("must be from 1 to {}", Self::ATTEMPTS_MAX)));
        }
        if !(1.0..=1000.0).contains(&self.factor) {
            objections.push(("factor", "must be from 1 to 1000".to_owned()));
        }
        if self.cap < self.base {
            objections.push(("cap", "is shorter than `base`".to_owned()));
        }
        for outcome in self.on.keys().filter(|outcome| Consequence::by_default(**outcome).is_none()) {
            objections.push(("on", format!("cannot change what follows from `{outcome}`")));
        }
        objections
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 5, base: 1.0, factor: 2.0, cap: 300.0, on: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALMOST_ONE: f64 = 1.0 - f64::EPSILON;

    #[test]
    fn the_upper_end_doubles_until_the_cap() {
        let policy = RetryPolicy::default();
        let upper = |attempt| policy.delay(attempt, ALMOST_ONE).as_secs_f64().round();
        assert_eq!([1, 2, 3, 4].map(upper), [1.0, 2.0, 4.0, 8.0]);
        assert_eq!(upper(20), 300.0);
        assert_eq!(upper(u32::MAX), 300.0);
    }

    #[test]
    fn full_jitter_reaches_down_to_zero() {
        assert_eq!(RetryPolicy::default().delay(3, 0.0), Duration::ZERO);
        assert_eq!(RetryPolicy::default().delay(1, 0.5), Duration::from_millis(500));
    }

    #[test]
    fn what_is_over_the_budget_waits_for_half_the_cap_to_all_of_it() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.delay_over_budget(0.0), Duration::from_secs(150));
        assert_eq!(policy.delay_over_budget(ALMOST_ONE).as_secs_f64().round(), 300.0);
    }

    #[test]
    fn a_queue_can_say_what_follows_where_there_is_a_choice() {
        let on = [(Outcome::Trapped, Consequence::DeadLetter), (Outcome::OutOfMemory, Consequence::Retry)];
        let policy = RetryPolicy { on: on.into(), ..RetryPolicy::default() };
        assert!(policy.objections().is_empty());
        assert_eq!(policy.consequence(Outcome::Trapped), Some(Consequence::DeadLetter));
        assert_eq!(policy.consequence(Outcome::OutOfMemory), Some(Consequence::Retry));
        assert_eq!(policy.consequence(Outcome::TimedOut), Some(Consequence::Retry), "as it always was");
        let on = [(Outcome::HostError, Consequence::Retry)].into();
        assert_eq!(RetryPolicy { on, ..RetryPolicy::default() }.objections()[0].0, "on");
        let text = r#"{"attempts":3,"on":{"trapped":"dead-letter"}}"#;
        assert_eq!(serde_json::from_str::<RetryPolicy>(text).unwrap().on.len(), 1);
    }

    #[test]
    fn policies_that_make_no_sense_are_refused() {
        let keys =
            |policy: RetryPolicy| policy.objections().into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert!(keys(RetryPolicy::default()).is_empty());
        assert_eq!(
            keys(RetryPolicy { attempts: 0, factor: 0.5, cap: 0.5, ..RetryPolicy::default() }),
            ["attempts", "factor", "cap"]
        );
        assert_eq!(keys(RetryPolicy { factor: f64::NAN, ..RetryPolicy::default() }), ["factor"]);
    }
}

//! What is done with a task's message when an attempt has ended: one pure function.

use std::time::Duration;

use crate::{Consequence, History, Outcome, RetryPolicy, Suspicion};

/// After so many failures of hosts in a row a task is set aside: by then it is more likely the cause than the victim.
pub const HOST_ERRORS_IN_A_ROW: u32 = 20;

/// The longest delay that is asked of the message system. A delayed message holds a slot of its queue's
/// concurrency, so longer delays would starve the queue.
pub const NAK_DELAY_MAX: Duration = Duration::from_secs(5);

/// How long a task waits after a failure of the host: long enough for a passing fault to pass.
const HOST_ERROR_DELAY: Duration = Duration::from_secs(2);

/// What to do with the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// Store the result and acknowledge.
    Finish,
    /// Store the dead letter, then the result, and acknowledge.
    DeadLetter,
    /// Run it again after a delay; the attempt counts.
    Retry {
        /// How long to wait.
        after: Duration,
    },
    /// Let another host have it; the attempt does not count.
    GiveBack {
        /// How long to wait.
        after: Duration,
    },
}

/// Decides what follows from `outcome`.
///
/// `before` is the history without this attempt, `asked` the wait that the plugin asked for, `chance` a random
/// number in [0, 1).
#[must_use]
pub fn settle(
    outcome: Outcome,
    asked: Option<Duration>,
    before: &History,
    policy: &RetryPolicy,
    chance: f64,
) -> Settlement {
    match outcome {
        Outcome::Succeeded | Outcome::Cancelled => Settlement::Finish,
        Outcome::Invalid | Outcome::Expired => Settlement::DeadLetter,
        Outcome::Rejected
        | Outcome::OutOfFuel
        | Outcome::OutOfMemory
        | Outcome::OutputTooLarge
        | Outcome::Retried
        | Outcome::Trapped
        | Outcome::TimedOut => {
            let attempt = before.next_attempt();
            if policy.consequence(outcome) != Some(Consequence::Retry) || attempt >= policy.attempts {
                return Settlement::DeadLetter;
            }
            let by_policy = policy.delay(attempt, chance);
            Settlement::Retry { after: asked.map_or(by_policy, |asked| asked.max(by_policy)) }
        }
        Outcome::Interrupted => Settlement::GiveBack { after: Duration::ZERO },
        Outcome::HostError => match before.suspicion() {
            Suspicion::Guilty => Settlement::DeadLetter,
            Suspicion::Clear | Suspicion::Suspect if before.host_errors + 1 >= HOST_ERRORS_IN_A_ROW => {
                Settlement::DeadLetter
            }
            Suspicion::Clear | Suspicion::Suspect => Settlement::GiveBack { after: HOST_ERROR_DELAY },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(outcome: Outcome, before: &History) -> Settlement {
        settle(outcome, None, before, &RetryPolicy::default(), 0.5)
    }

    #[test]
    fn every_outcome_has_its_settlement() {
        let retry = Settlement::Retry { after: Duration::from_millis(500) };
        let table = [
            (Outcome::Succeeded, Settlement::Finish),
            (Outcome::Rejected, Settlement::DeadLetter),
            (Outcome::Retried, retry),
            (Outcome::Trapped, retry),
            (Outcome::OutOfFuel, Settlement::DeadLetter),
            (Outcome::OutOfMemory, Settlement::DeadLetter),
            (Outcome::TimedOut, retry),
            (Outcome::OutputTooLarge, Settlement::DeadLetter),
            (Outcome::Invalid, Settlement::DeadLetter),
            (Outcome::Expired, Settlement::DeadLetter),
            (Outcome::Cancelled, Settlement::Finish),
            (Outcome::Interrupted, Settlement::GiveBack { after: Duration::ZERO }),
            (Outcome::HostError, Settlement::GiveBack { after: HOST_ERROR_DELAY }),
        ];
        assert_eq!(table.map(|(outcome, _)| outcome), Outcome::ALL);
        for (outcome, expected) in table {
            assert_eq!(settled(outcome, &History::default()), expected, "{outcome}");
        }
    }

    #[test]
    fn the_last_attempt_is_not_followed_by_another() {
        let failed = |attempts| History { attempts, ..History::default() };
        for outcome in [Outcome::Retried, Outcome::Trapped, Outcome::TimedOut] {
            assert!(
                matches!(settled(outcome, &failed(3)), Settlement::Retry { .. }),
                "attempt 4 of 5: {outcome}"
            );
            assert_eq!(settled(outcome, &failed(4)), Settlement::DeadLetter, "attempt 5 of 5: {outcome}");
        }
    }

    #[test]
    fn a_plugin_can_ask_for_a_longer_wait_but_not_for_a_shorter_one() {
        let wait =
            |asked| settle(Outcome::Retried, Some(asked), &History::default(), &RetryPolicy::default(), 0.5);
        assert_eq!(wait(Duration::from_mins(1)), Settlement::Retry { after: Duration::from_mins(1) });
        assert_eq!(wait(Duration::ZERO), Settlement::Retry { after: Duration::from_millis(500) });
    }

    #[test]
    fn a_queue_can_retry_what_others_set_aside_and_the_other_way_round() {
        let on = [(Outcome::OutOfMemory, Consequence::Retry), (Outcome::Trapped, Consequence::DeadLetter)];
        let policy = RetryPolicy { on: on.into(), ..RetryPolicy::default() };
        let settled = |outcome, before: &History| settle(outcome, None, before, &policy, 0.5);
        assert!(matches!(settled(Outcome::OutOfMemory, &History::default()), Settlement::Retry { .. }));
        assert_eq!(settled(Outcome::Trapped, &History::default()), Settlement::DeadLetter);
        let failed = History { attempts: 4, ..History::default() };
        assert_eq!(settled(Outcome::OutOfMemory, &failed), Settlement::DeadLetter, "the last attempt");
    }

    #[test]
    fn interruptions_never_use_up_a_task() {
        let history = History { interruptions: 1_000_000, ..History::default() };
        assert_eq!(settled(Outcome::Interrupted, &history), Settlement::GiveBack { after: Duration::ZERO });
        assert!(matches!(settled(Outcome::Trapped, &history), Settlement::Retry { .. }));
    }

    #[test]
    fn twenty_host_errors_in_a_row_set_a_task_aside() {
        let history = |host_errors| History { host_errors, ..History::default() };
        assert!(matches!(settled(Outcome::HostError, &history(18)), Settlement::GiveBack { .. }));
        assert_eq!(settled(Outcome::HostError, &history(19)), Settlement::DeadLetter);
    }

    #[test]
    fn a_task_that_hosts_are_lost_to_is_set_aside_and_one_that_was_only_there_is_not() {
        let lost = |losses, crashes| History { losses, crashes, ..History::default() };
        assert!(matches!(settled(Outcome::HostError, &lost(100, 2)), Settlement::GiveBack { .. }));
        assert_eq!(settled(Outcome::HostError, &lost(3, 3)), Settlement::DeadLetter);
    }
}

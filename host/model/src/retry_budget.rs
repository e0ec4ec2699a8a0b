//! Keeps retries from becoming a storm: while hardly anything succeeds, hardly anything is tried again at once.
//!
//! A dependency that is down fails every task of a queue. If each of them were tried again after a second, two, four, the
//! attempts would be many times the tasks, just when whoever is to recover needs peace. So retries are paid for from a
//! budget that first attempts fill; what it cannot pay for waits about as long as the policy lets anything wait.

use std::time::Duration;

/// Retries that a queue can always afford at first: a few failures are no outage.
const RESERVE: f64 = 10.0;

/// What a first attempt adds.
const SHARE: f64 = 0.1;

/// What time adds, in retries a second: a queue whose tasks all came at once goes on as well.
const PER_SECOND: f64 = 0.1;

/// The budget of one queue on one host.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryBudget {
    retries: f64,
    /// First attempts that were counted into it.
    counted: u64,
    filled_at: Duration,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { retries: RESERVE, counted: 0, filled_at: Duration::ZERO }
    }
}

impl RetryBudget {
    /// Pays for a retry if the budget allows it. `first_attempts` is how many there were so far, `now` the time since
    /// any fixed moment.
    #[must_use]
    pub fn pay(&mut self, first_attempts: u64, now: Duration) -> bool {
        let new = first_attempts.saturating_sub(self.counted);
        let passed = now.saturating_sub(self.filled_at);
        #[expect(
            clippy::cast_precision_loss,
            reason = "of so many attempts a few more or less do not matter"
        )]
        let added = SHARE * new as f64 + PER_SECOND * passed.as_secs_f64();
        // What a quiet hour saved must not feed a storm: as much as the last few hundred tasks earned.
        self.retries = (self.retries + added).min(RESERVE.max(SHARE * 1000.0));
        (self.counted, self.filled_at) = (self.counted.max(first_attempts), self.filled_at.max(now));
        let pays = self.retries >= 1.0;
        if pays {
            self.retries -= 1.0;
        }
        pays
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::ZERO;

    #[test]
    fn a_few_failures_are_tried_again_at_once_whatever_else_happens() {
        let mut budget = RetryBudget::default();
        assert!((0..10).all(|_| budget.pay(0, START)));
        assert!(!budget.pay(0, START));
    }

    #[test]
    fn retries_are_a_tenth_of_the_tasks_when_all_of_them_fail() {
        let mut budget = RetryBudget::default();
        let paid = (1..=500).filter(|tasks| budget.pay(*tasks, START)).count();
        assert!((59..=60).contains(&paid), "ten at first, and a tenth: {paid}");
    }

    #[test]
    fn where_one_in_twenty_fails_all_are_tried_again_at_once() {
        let mut budget = RetryBudget::default();
        assert!((1..10_000).all(|failed| budget.pay(failed * 20, START)));
    }

    #[test]
    fn time_lets_a_queue_without_new_tasks_go_on_and_quiet_hours_are_not_saved_up() {
        let mut budget = RetryBudget::default();
        while budget.pay(0, START) {}
        assert!(budget.pay(0, Duration::from_secs(11)));
        assert!(!budget.pay(0, Duration::from_secs(12)));
        let saved = (0..100_000).take_while(|_| budget.pay(0, Duration::from_hours(48))).count();
        assert_eq!(saved, 100);
    }
}

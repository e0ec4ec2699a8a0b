//! What a queue on this host may try again at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use saggar_model::RetryBudget;

/// The retry budget of one lane. A task that does not fail costs it an addition.
pub(crate) struct Retries {
    first_attempts: AtomicU64,
    budget: Mutex<RetryBudget>,
    since: Instant,
}

impl Default for Retries {
    fn default() -> Self {
        Self { first_attempts: AtomicU64::new(0), budget: Mutex::default(), since: Instant::now() }
    }
}

impl Retries {
    /// Notes that a task is run.
    pub(crate) fn started(&self, attempt: u32) {
        if attempt == 1 {
            self.first_attempts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a task may be tried again as soon as its policy says.
    pub(crate) fn allow_another(&self) -> bool {
        let first_attempts = self.first_attempts.load(Ordering::Relaxed);
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        budget.pay(first_attempts, self.since.elapsed())
    }
}

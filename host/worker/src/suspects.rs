//! The one place on a host for a task that other hosts were lost with.
//!
//! If this host is lost too, at most one suspect is to blame. Whoever finds the place taken does not wait for it:
//! waiting would cost a slot and a guest's memory, which belong to tasks that can run.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Lets one suspect run at a time.
pub(crate) struct Suspects(Arc<Semaphore>);

/// The right to run as the only suspect; dropped, it is free for another.
pub(crate) struct Turn(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Suspects {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// The turn of a suspect, if no other one has it.
    pub(crate) fn turn(&self) -> Option<Turn> {
        self.0.clone().try_acquire_owned().ok().map(Turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_suspect_runs_at_a_time_and_the_next_one_when_it_has_ended() {
        let suspects = Suspects::new();
        let turn = suspects.turn();
        assert!(turn.is_some() && suspects.turn().is_none());
        drop(turn);
        assert!(suspects.turn().is_some());
    }
}

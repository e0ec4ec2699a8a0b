//! The one place on a host for a task that other hosts were lost with.
//!
//! If this host is lost too, at most one suspect is to blame. Most suspects are over in no time, so that a few of those
//! who find the place taken wait for it a moment. Nobody waits for long: that would cost a slot and a guest's memory,
//! which belong to tasks that can run.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many of them wait at once. Enough that there is always a next one; the others come back later.
const WAITING_MAX: usize = 8;

/// How long a suspect waits for those before it: about as long as the first trials of so many last.
const WAIT: Duration = Duration::from_secs(2);

/// Lets one suspect run at a time.
pub(crate) struct Suspects {
    place: Arc<Semaphore>,
    waiting: Semaphore,
}

/// The right to run as the only suspect; dropped, it is free for another.
#[derive(Debug)]
pub(crate) struct Turn(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Suspects {
    pub(crate) fn new() -> Self {
        Self { place: Arc::new(Semaphore::new(1)), waiting: Semaphore::new(WAITING_MAX) }
    }

    /// The turn of a suspect, if it comes soon.
    pub(crate) async fn turn(&self) -> Option<Turn> {
        if let Ok(turn) = self.place.clone().try_acquire_owned() {
            return Some(Turn(turn));
        }
        let _waiting = self.waiting.try_acquire().ok()?;
        let turn = tokio::time::timeout(WAIT, self.place.clone().acquire_owned()).await;
        turn.ok()?.ok().map(Turn)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_suspect_runs_at_a_time_and_the_next_one_when_it_has_ended() {
        let suspects = Suspects::new();
        let turn = suspects.turn().await;
        assert!(turn.is_some());
        assert!(suspects.turn().await.is_none(), "it does not wait for long");
        let mut next = pin!(suspects.turn());
        assert!(next.as_mut().now_or_never().is_none());
        drop(turn);
        assert!(next.now_or_never().flatten().is_some());
    }

    #[tokio::test]
    async fn few_suspects_wait() {
        let suspects = Suspects::new();
        let _turn = suspects.turn().await;
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(suspects.turn())).collect();
        assert!(waiting.iter_mut().all(|turn| turn.as_mut().now_or_never().is_none()));
        assert!(suspects.turn().now_or_never().is_some_and(|turn| turn.is_none()), "and no more of them");
    }
}

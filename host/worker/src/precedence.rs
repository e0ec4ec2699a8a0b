//! Short tasks of lanes that have little to do go before all others: while one of them is under way, other guests leave
//! a processor free.
//!
//! Such a task computes for a moment. What makes it slow are the hands that it passes through, in the host, in the
//! kernel and in the server, and at each it waits for a processor while guests keep all of them busy. One that is free is
//! free for whichever hand is next.
//!
//! Who goes before others, and how often, is the scheduler's to say.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::ready;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

/// Lets tasks go before others. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Precedence(Arc<Shared>);

struct Shared {
    started: Instant,
    /// For how long a task goes before others at most.
    most: Duration,
    /// Up to when others wait for turns, in nanoseconds after `started`; 0 while nobody goes before them.
    until: AtomicU64,
    /// Others that may have a turn at a time.
    turns: Semaphore,
    /// Nobody goes before others any more.
    over: Notify,
    /// Tasks that go before others.
    preceding: Mutex<u32>,
}

/// A task that goes before others, until this is dropped or it has taken too long.
pub(crate) struct Preceding(Arc<Shared>);

impl Precedence {
    /// On a host with so many processors, each task for so long at most.
    pub(crate) fn new(cores: u32, most: Duration) -> Self {
        let turns = usize::try_from(cores.saturating_sub(1).max(1)).unwrap_or(Semaphore::MAX_PERMITS);
        Self(Arc::new(Shared {
            started: Instant::now(),
            most,
            until: AtomicU64::new(0),
            turns: Semaphore::new(turns),
            over: Notify::new(),
            preceding: Mutex::new(0),
        }))
    }

    /// Lets a task go before others.
    pub(crate) fn take(&self) -> Preceding {
        let mut preceding = self.0.preceding();
        *preceding += 1;
        let until = (self.0.started.elapsed() + self.0.most).as_nanos();
        self.0.until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
        Preceding(self.0.clone())
    }

    /// Runs a guest behind those that go before it.
    pub(crate) async fn behind<F: Future>(&self, guest: F) -> F::Output {
        let mut guest = pin!(guest);
        let mut waiting: Option<BoxFuture<'_, _>> = None;
        poll_fn(|context| {
            let mut turn = None;
            if waiting.is_some() || self.0.until.load(Ordering::Relaxed) > 0 {
                let entering = waiting.get_or_insert_with(|| Box::pin(self.0.turn()));
                turn = ready!(entering.as_mut().poll(context));
                waiting = None;
            }
            let polled = guest.as_mut().poll(context);
            drop(turn);
            polled
        })
        .await
    }
}

impl Shared {
    /// Never held across an await.
    fn preceding(&self) -> MutexGuard<'_, u32> {
        self.preceding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn; nothing as soon as none is needed.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let mut over = pin!(self.over.notified());
        over.as_mut().enable();
        let until = Duration::from_nanos(self.until.load(Ordering::Relaxed));
        let left = until.checked_sub(self.started.elapsed())?;
        tokio::select! {
            biased;
            turn = self.turns.acquire() => turn.ok(),
            () = over => None,
            () = tokio::time::sleep(left) => None,
        }
    }
}

impl Drop for Preceding {
    fn drop(&mut self) {
        let mut preceding = self.0.preceding();
        *preceding -= 1;
        if *preceding == 0 {
            self.0.until.store(0, Ordering::Relaxed);
            drop(preceding);
            self.0.over.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::AtomicU32;

    use futures::future::join_all;

    use super::*;

    /// Far longer than a test takes, and longer than anything here may.
    const LONG: Duration = Duration::from_hours(1);
    const BOUND: Duration = Duration::from_secs(20);

    /// Guests that compute, counted while they do.
    #[derive(Default)]
    struct Guests {
        now: AtomicU32,
        most: AtomicU32,
    }

    impl Guests {
        /// Computes in turns of a tenth of a millisecond.
        async fn compute(&self) {
            for _ in 0..10 {
                self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let start = Instant::now();
                while start.elapsed() < Duration::from_micros(100) {
                    std::hint::spin_loop();
                }
                self.now.fetch_sub(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        }
    }

    /// Runs some guests to their end: the most that computed at the same time.
    async fn most_at_once(precedence: &Precedence) -> u32 {
        let counted = Arc::new(Guests::default());
        let running = (0..8).map(|_| {
            let (precedence, counted) = (precedence.clone(), counted.clone());
            tokio::spawn(async move { precedence.behind(counted.compute()).await })
        });
        for ended in tokio::time::timeout(BOUND, join_all(running)).await.expect("they end") {
            ended.expect("it computes");
        }
        counted.most.load(Ordering::SeqCst)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn others_leave_a_processor_free_while_a_task_goes_before_them() {
        let precedence = Precedence::new(3, LONG);
        let preceding = [precedence.take(), precedence.take()];
        for _ in 0..10 {
            assert!(most_at_once(&precedence).await <= 2);
        }
        drop(preceding);
        // Threads of a busy machine do not run beside each other as soon as they could.
        for _ in 0..1_000 {
            if most_at_once(&precedence).await > 2 {
                return;
            }
        }
        panic!("nobody goes before them any more");
    }

    /// Two guests that end only if both have a turn at the same time, on two processors.
    async fn meet(precedence: &Precedence) {
        let barrier = Arc::new(Barrier::new(2));
        let guests = [0, 1].map(|_| {
            let (precedence, barrier) = (precedence.clone(), barrier.clone());
            tokio::spawn(async move { precedence.behind(async { barrier.wait() }).await })
        });
        for ended in tokio::time::timeout(BOUND, join_all(guests)).await.expect("they meet") {
            ended.expect("it ends");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn those_who_wait_go_on_when_it_is_over() {
        let precedence = Precedence::new(2, LONG);
        let preceding = precedence.take();
        let over = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(preceding);
        };
        tokio::join!(meet(&precedence), over);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_task_that_takes_too_long_does_not_keep_others_waiting() {
        let precedence = Precedence::new(2, Duration::from_millis(20));
        let preceding = precedence.take();
        meet(&precedence).await;
        drop(preceding);
    }
}

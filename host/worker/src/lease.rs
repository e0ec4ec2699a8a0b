//! Tells JetStream that tasks are being worked on, and knows for each how long ago that was confirmed.
//!
//! One loop for all tasks of the host, so that a task of a millisecond costs no timer. A task whose last
//! confirmation is older than the server's patience may run elsewhere by now: its result may still be written,
//! because the first one counts, but nothing else may be said about it, and no later sign of life changes that.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream;
use saggar_jetstream::{ACK_WAIT, Delivery};
use slab::Slab;
use tokio::sync::Notify;

/// How often the loop looks around.
const LOOK_AROUND: Duration = Duration::from_secs(2);

/// A task is kept when its last confirmation is so old: two more can fail before it is lost.
const KEEP_AFTER: Duration = Duration::from_secs(ACK_WAIT.as_secs() / 3);

/// Confirmations asked for at once.
const AT_ONCE: usize = 64;

/// All tasks that this host has.
#[derive(Clone, Default)]
pub(crate) struct Leases(Arc<Mutex<Slab<Arc<Lease>>>>);

/// One of them.
pub(crate) struct Lease {
    /// The task.
    pub(crate) delivery: Delivery,
    began: Instant,
    /// Milliseconds from `began` to the call that was confirmed last.
    confirmed_ms: AtomicU64,
    cancelled: AtomicBool,
    has_checkpoint: AtomicBool,
    /// Wakes who waits for it to be cancelled.
    told: Notify,
}

impl Lease {
    /// Whether the task cannot have gone to another host.
    pub(crate) fn holds(&self) -> bool {
        self.age() < ACK_WAIT
    }

    /// Notes that the task has a checkpoint.
    pub(crate) fn leaves_checkpoint(&self) {
        self.has_checkpoint.store(true, Ordering::Relaxed);
    }

    /// Whether the task may have a checkpoint, which goes with its end. Of one that was delivered before, nobody knows.
    pub(crate) fn may_have_checkpoint(&self) -> bool {
        self.has_checkpoint.load(Ordering::Relaxed) || self.delivery.delivered() > 1
    }

    /// Whether its task was cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Waits until its task is cancelled.
    pub(crate) async fn cancelled(&self) {
        while !self.is_cancelled() {
            let told = self.told.notified();
            // Told before this began to listen?
            if !self.is_cancelled() {
                told.await;
            }
        }
    }

    fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.told.notify_waiters();
    }

    fn age(&self) -> Duration {
        let confirmed = Duration::from_millis(self.confirmed_ms.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(confirmed)
    }

    async fn keep(&self) {
        let asked = self.began.elapsed();
        match self.delivery.in_progress().await {
            // JetStream confirms it for a task that another host has by now, too. That it cannot be so follows only from
            // an answer that came before its patience was over.
            Ok(()) if self.holds() => {
                let asked = u64::try_from(asked.as_millis()).unwrap_or(u64::MAX);
                self.confirmed_ms.store(asked, Ordering::Relaxed);
            }
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(subject = %saggar_model::escape_and_cut(self.delivery.subject(), 256), %error,
                    "a sign of life was not confirmed");
            }
        }
    }
}

/// A lease for as long as this lives.
pub(crate) struct LeaseGuard {
    pub(crate) lease: Arc<Lease>,
    leases: Leases,
    key: usize,
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        self.leases.lock().remove(self.key);
    }
}

impl Leases {
    /// Keeps a task that has just been delivered until the guard is dropped.
    pub(crate) fn take(&self, delivery: Delivery) -> LeaseGuard {
        let lease = Arc::new(Lease {
            delivery,
            began: Instant::now(),
            confirmed_ms: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
            has_checkpoint: AtomicBool::new(false),
            told: Notify::new(),
        });
        let key = self.lock().insert(lease.clone());
        LeaseGuard { lease, leases: self.clone(), key }
    }

    /// Tells those who run the tasks that `is_meant` says that they were cancelled.
    pub(crate) fn cancel(&self, is_meant: impl Fn(&Delivery) -> bool) {
        for (_, lease) in self.lock().iter().filter(|(_, lease)| is_meant(&lease.delivery)) {
            lease.cancel();
        }
    }

    /// Keeps all tasks alive, for ever.
    pub(crate) async fn keep(&self) {
        let mut ticks = tokio::time::interval(LOOK_AROUND);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let due: Vec<_> = self
                .lock()
                .iter()
                // One that was lost stays lost: a sign of life would speak for the host that has the task now.
                .filter(|(_, lease)| lease.holds() && lease.age() >= KEEP_AFTER)
                .map(|(_, lease)| lease.clone())
                .collect();
            stream::iter(due).for_each_concurrent(AT_ONCE, |lease| async move { lease.keep().await }).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Arc<Lease>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Cancelled tasks: answering those who ask for it, and ending what this host runs of them.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::{FutureExt as _, StreamExt as _};
use saggar_jetstream::{CancelAsked, Control, Delivery};
use saggar_model::Cancellation;

use crate::contained::contained;
use crate::host::Shared;

/// Requests answered at once. More wait: a tenant that floods them delays its likes, and no task.
const AT_ONCE: usize = 16;

/// How long a cancelled task is remembered: one that was delivered before its message could be deleted has arrived by
/// then.
const REMEMBERED: Duration = Duration::from_secs(30);

/// The most that are remembered. Beyond it the oldest may be run in vain: its result is refused.
const REMEMBERED_MAX: usize = 1024;

/// How long until listening is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What was cancelled a moment ago.
#[derive(Default)]
pub(crate) struct RecentlyCancelled {
    /// So that a task costs nothing while nothing is cancelled.
    any: AtomicBool,
    recent: Mutex<VecDeque<(Instant, Cancellation)>>,
}

impl RecentlyCancelled {
    /// Whether a task that has just been delivered was cancelled on its way.
    pub(crate) fn concerns(&self, delivery: &Delivery) -> bool {
        if !self.any.load(Ordering::Relaxed) {
            return false;
        }
        let mut recent = self.lock();
        forget_old(&mut recent);
        self.any.store(!recent.is_empty(), Ordering::Relaxed);
        recent
            .iter()
            .any(|(_, cancellation)| cancellation.concerns(delivery.subject(), delivery.stream_sequence()))
    }

    fn remember(&self, cancellation: Cancellation) {
        let mut recent = self.lock();
        forget_old(&mut recent);
        recent.push_back((Instant::now(), cancellation));
        if recent.len() > REMEMBERED_MAX {
            recent.pop_front();
        }
        self.any.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, Cancellation)>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget_old(recent: &mut VecDeque<(Instant, Cancellation)>) {
    while recent.front().is_some_and(|(since, _)| since.elapsed() > REMEMBERED) {
        recent.pop_front();
    }
}

/// Cancels tasks for those who ask, for ever.
pub(crate) async fn answer_requests(shared: Arc<Shared>) {
    let control = Control::new(&shared.nats);
    loop {
        match control.cancel_requests().await {
            Ok(requests) => {
                let answered = requests.for_each_concurrent(AT_ONCE, |asked| {
                    contained("cancelling a task", answer(&control, &shared.name, asked)).map(drop)
                });
                answered.await;
            }
            Err(error) => tracing::warn!(%error, "this host cancels nothing at the moment"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn answer(control: &Control, host: &str, asked: CancelAsked) {
    let cancelled = match &asked.request {
        Ok(request) => control.carry_out(request, host).await,
        Err(error) => Err(error.clone().into()),
    };
    control.answer(asked, cancelled).await;
}

/// Ends what has been cancelled, for ever.
pub(crate) async fn heed(shared: Arc<Shared>) {
    let control = Control::new(&shared.nats);
    loop {
        match control.announced().await {
            Ok(announced) => {
                let mut announced = pin!(announced);
                while let Some(cancellation) = announced.next().await {
                    // Remembered first: a task that arrives meanwhile finds it here, or is found by what follows.
                    shared.cancelled.remember(cancellation.clone());
                    shared.leases.cancel(|delivery| {
                        cancellation.concerns(delivery.subject(), delivery.stream_sequence())
                    });
                }
            }
            Err(error) => tracing::warn!(%error, "cancelled tasks run on at the moment"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

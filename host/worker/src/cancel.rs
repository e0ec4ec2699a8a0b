//! Cancelled tasks: answering those who ask for it, and ending what this host runs of them.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use saggar_jetstream::{Asked, CancelError, CancelledResult, Control, Delivery, Fault, Refusal};
use saggar_model::{CancelAnswer, CancelRequest, Cancellation};

use crate::host::Shared;

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

/// Cancels a task for somebody who asks.
pub(crate) async fn answer(shared: Arc<Shared>, asked: Asked<CancelRequest>) {
    let control = Control::new(&shared.nats);
    let cancelled = match &asked.request {
        Ok(request) => {
            carry_out(&control, &shared, request).await.map_err(|error| Refusal::new(error.fault(), error))
        }
        Err(error) => Err(Refusal::new(Fault::Invalid, error)),
    };
    control.answer(asked, cancelled).await;
}

/// Cancels a task. Its result is counted by this host, as those of the tasks that it runs are.
async fn carry_out(
    control: &Control,
    host: &Shared,
    request: &CancelRequest,
) -> Result<CancelAnswer, CancelError> {
    let queue = control.queue_of(request).await?;
    let under_way = host.books.open(&request.tenant).await?;
    let mut sent = CancelledResult::NotSent;
    let answer = control.carry_out(request, &queue, &host.name, under_way.id(), &mut sent).await;
    match sent {
        CancelledResult::NotSent => under_way.not_sent(),
        CancelledResult::Stored(place, result) => under_way.stored(place, &result),
        CancelledResult::Refused(found) => under_way.refused(&found),
        // It is found by whoever closes the book.
        CancelledResult::Unknown => drop(under_way),
    }
    answer
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

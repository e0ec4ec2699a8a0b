//! The requests of one lane for tasks that its permits allow, and what their answers say of the queue behind them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use saggar_jetstream::{Delivery, PullError, PullMode};

use crate::batch::Batch;
use crate::lane::OpenLane;
use crate::unit;

/// Requests of one lane on their way at once: while the tasks of one come, the server gets the next ones ready.
const AT_ONCE: usize = 2;

/// Requests of one lane that are on their way, and what is known of the queue behind them.
#[derive(Default)]
pub(crate) struct Fetches {
    on_their_way: FuturesUnordered<BoxFuture<'static, Fetched>>,
    /// Tasks that wait in the queue, those left out that were asked for.
    pub(crate) waiting: u64,
    /// Tasks that were asked for and have not come.
    asked_for: u64,
}

/// A request that was answered.
struct Fetched {
    asked_for: u64,
    /// Tasks that waited behind the last that came; nothing if there were fewer than were asked for.
    behind: Result<Option<u64>, PullError>,
}

impl Fetches {
    /// Fetches a task for each slot of a batch, as far as there are any.
    pub(crate) fn start(&mut self, lane: Arc<OpenLane>, batch: Batch) {
        let asked_for = u64::from(batch.left());
        self.asked_for += asked_for;
        self.waiting = self.waiting.saturating_sub(asked_for);
        let fetched = fetch(lane, batch).map(move |behind| Fetched { asked_for, behind });
        self.on_their_way.push(fetched.boxed());
    }

    /// Whether another request may follow those that are on their way.
    pub(crate) fn is_full(&self) -> bool {
        self.on_their_way.len() >= AT_ONCE
    }

    /// Waits until the next request is answered; nothing if none is on its way.
    pub(crate) async fn next(&mut self) -> Option<Result<(), PullError>> {
        let Fetched { asked_for, behind } = self.on_their_way.next().await?;
        self.asked_for = self.asked_for.saturating_sub(asked_for);
        Some(behind.map(|behind| {
            // Fewer than there were slots for: the rest is held by others, or the queue's concurrency is used up. A
            // standing request finds out when that changes.
            self.waiting = behind.map_or(0, |behind| behind.saturating_sub(self.asked_for));
        }))
    }
}

async fn fetch(lane: Arc<OpenLane>, mut batch: Batch) -> Result<Option<u64>, PullError> {
    let most = usize::try_from(batch.left()).unwrap_or(usize::MAX);
    let mut pull = lane.source.pull(most, PullMode::Now, Duration::ZERO).await?;
    let mut behind = 0;
    while let Some(delivery) = pull.next().await {
        let delivery = delivery?;
        behind = delivery.pending();
        add(&lane, &mut batch, delivery).await;
    }
    lane.metrics.pending(behind);
    Ok((batch.left() == 0 || pull.was_full()).then_some(behind))
}

/// Puts a task into a batch, or gives it back.
pub(crate) async fn add(lane: &OpenLane, batch: &mut Batch, delivery: Delivery) {
    if let Some(refused) = batch.add(delivery) {
        unit::give_back(lane, refused).await;
    }
}

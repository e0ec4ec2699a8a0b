//! The one place that gives out permits: a loop around the scheduler, and the handles to talk to it.
//!
//! A lane asks with the sending end of a channel that carries one answer; a permit that is dropped comes back by
//! itself, used or not, and so does an answer that nobody waits for any more.

use std::collections::HashMap;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use crate::metrics::Metrics;
use crate::scheduler::{Event, Grant, LaneId, Permit, Scheduler};

/// Events taken in before grants are given out: enough to see many endings as one, too few to keep anyone waiting.
const EVENTS_AT_ONCE: usize = 256;

type Answer = oneshot::Sender<Vec<PermitGuard>>;

enum Message {
    Ask { lane: LaneId, wanted: u32, holding: bool, answer: Answer },
    Scheduler(Event),
}

/// Talks to the loop. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Dispatcher {
    messages: mpsc::UnboundedSender<Message>,
}

/// The right to run one task; dropped, it is free for another.
pub(crate) struct PermitGuard {
    permit: Permit,
    dispatcher: Dispatcher,
}

impl Drop for PermitGuard {
    fn drop(&mut self) {
        self.dispatcher.tell(Event::Finished { permit: self.permit });
    }
}

/// A lane's end: says what it wants and hears what it gets.
pub(crate) struct LaneHandle {
    lane: LaneId,
    dispatcher: Dispatcher,
}

impl Dispatcher {
    /// Starts the loop. It ends when the last handle is gone.
    pub(crate) fn start(slots: u32, memory: u64, metrics: Metrics) -> Self {
        let (messages, inbox) = mpsc::unbounded_channel();
        let dispatcher = Self { messages };
        // The loop makes guards, and guards hold a handle: a weak one, or the loop would keep itself alive.
        let weak = dispatcher.messages.downgrade();
        tokio::spawn(dispatch(Scheduler::new(slots, memory), inbox, weak, metrics));
        dispatcher
    }

    /// Opens a lane whose tasks need `memory` bytes each.
    pub(crate) fn open(&self, lane: LaneId, memory: u64) -> LaneHandle {
        self.tell(Event::Opened { lane, memory });
        LaneHandle { lane, dispatcher: self.clone() }
    }

    fn tell(&self, event: Event) {
        self.send(Message::Scheduler(event));
    }

    fn send(&self, message: Message) {
        // Without a loop there is nobody to give permits, and nobody to miss one.
        let _ = self.messages.send(message);
    }
}

impl LaneHandle {
    /// Waits for up to `wanted` permits; at least one comes. `holding` says that a message waits for it already.
    ///
    /// Dropping the future is safe: what was granted meanwhile goes back.
    pub(crate) async fn permits(&self, wanted: u32, holding: bool) -> Vec<PermitGuard> {
        let (answer, granted) = oneshot::channel();
        let _withdraw = Withdraw(self);
        self.dispatcher.send(Message::Ask { lane: self.lane, wanted, holding, answer });
        granted.await.unwrap_or_default()
    }

    /// Tells the scheduler what a task of this lane needs from now on.
    pub(crate) fn set_memory(&self, memory: u64) {
        self.dispatcher.tell(Event::Opened { lane: self.lane, memory });
    }
}

impl Drop for LaneHandle {
    fn drop(&mut self) {
        self.dispatcher.tell(Event::Closed { lane: self.lane });
    }
}

/// Takes back what a lane wanted once it stops waiting, however it stops.
struct Withdraw<'a>(&'a LaneHandle);

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        self.0.dispatcher.tell(Event::Waiting { lane: self.0.lane, wanted: 0, holding: false });
    }
}

async fn dispatch(
    mut scheduler: Scheduler,
    mut inbox: mpsc::UnboundedReceiver<Message>,
    guards: mpsc::WeakUnboundedSender<Message>,
    metrics: Metrics,
) {
    let mut asking: HashMap<LaneId, Answer> = HashMap::new();
    let mut messages = Vec::with_capacity(EVENTS_AT_ONCE);
    loop {
        let wake = scheduler.wake_at();
        let received = tokio::select! {
            received = inbox.recv_many(&mut messages, EVENTS_AT_ONCE) => received,
            () = sleep_until(wake) => usize::MAX,
        };
        if received == 0 {
            return;
        }
        for message in messages.drain(..) {
            match message {
                Message::Ask { lane, wanted, holding, answer } => {
                    asking.insert(lane, answer);
                    scheduler.handle(Event::Waiting { lane, wanted, holding });
                }
                Message::Scheduler(event) => scheduler.handle(event),
            }
        }
        let Some(sender) = guards.upgrade() else { return };
        let dispatcher = Dispatcher { messages: sender };
        let now = Instant::now();
        while let Some(grant) = scheduler.next(now) {
            give(&mut asking, &dispatcher, grant);
        }
        metrics.running.set(i64::from(scheduler.running()));
    }
}

fn give(asking: &mut HashMap<LaneId, Answer>, dispatcher: &Dispatcher, grant: Grant) {
    let guard = || PermitGuard { permit: grant.permit, dispatcher: dispatcher.clone() };
    let permits = (0..grant.count).map(|_| guard()).collect();
    if let Some(answer) = asking.remove(&grant.permit.lane) {
        // A lane that no longer waits lets the permits fall, which brings them back.
        let _ = answer.send(permits);
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::registry::Registry;

    use super::*;

    const BOUND: Duration = Duration::from_secs(10);

    fn dispatcher(slots: u32) -> Dispatcher {
        Dispatcher::start(slots, u64::from(slots), Metrics::new(&mut Registry::default()))
    }

    async fn permits(lane: &LaneHandle, wanted: u32) -> Vec<PermitGuard> {
        tokio::time::timeout(BOUND, lane.permits(wanted, false)).await.expect("permits come")
    }

    #[tokio::test]
    async fn a_permit_that_is_dropped_can_be_had_again() {
        let dispatcher = dispatcher(1);
        let (a, b) = (dispatcher.open(LaneId(1), 1), dispatcher.open(LaneId(2), 1));
        let held = permits(&a, 1).await;
        assert_eq!(held.len(), 1);
        let waiting = tokio::spawn(async move { permits(&b, 1).await.len() });
        drop(held);
        assert_eq!(tokio::time::timeout(BOUND, waiting).await.unwrap().unwrap(), 1);
    }

    #[tokio::test]
    async fn what_a_lane_no_longer_waits_for_goes_to_others() {
        let dispatcher = dispatcher(1);
        let (a, b) = (dispatcher.open(LaneId(1), 1), dispatcher.open(LaneId(2), 1));
        let held = permits(&b, 1).await;
        assert!(tokio::time::timeout(Duration::from_millis(5), a.permits(1, true)).await.is_err());
        drop(held);
        assert_eq!(permits(&b, 1).await.len(), 1);
    }
}

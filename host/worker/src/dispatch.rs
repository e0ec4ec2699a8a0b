//! The one place that gives out slots and guest memory: a loop around the scheduler, and the handles to talk to it.
//!
//! A lane asks with the sending end of a channel that carries one answer; what is dropped comes back by itself, used
//! or not, and so does an answer that nobody waits for any more.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use crate::metrics::Metrics;
use crate::scheduler::{Event, Grant, LaneId, Scheduler};

/// Events taken in before grants are given out: enough to see many endings as one, too few to keep anyone waiting.
const EVENTS_AT_ONCE: usize = 256;

/// The slots of a grant come back in so many parts: soon enough for the next batch, and not each by itself.
const PARTS: u32 = 4;

enum Message {
    Ask { lane: LaneId, wanted: u32, ahead: u32, holding: bool, answer: oneshot::Sender<Permits> },
    AskMore { lane: LaneId, answer: oneshot::Sender<GuestMemory> },
    Scheduler(Event),
}

/// Talks to the loop. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Dispatcher {
    messages: mpsc::UnboundedSender<Message>,
}

/// The right to hold some tasks and to run some of them at once.
pub(crate) struct Permits {
    slots: Arc<Slots>,
    /// Slots that were not taken yet.
    left: u32,
    /// Guests that may run at once.
    pub(crate) guests: Vec<GuestMemory>,
}

/// The slots of one grant. What was not given back when the last of them is dropped, comes back then.
struct Slots {
    lane: LaneId,
    granted: u32,
    /// Dropped one by one so far.
    dropped: AtomicU32,
    dispatcher: Dispatcher,
}

/// The right to hold one task; dropped, it is free for another.
pub(crate) struct Slot(Arc<Slots>);

/// The memory of one guest; dropped, it is free for another.
pub(crate) struct GuestMemory {
    memory: u64,
    dispatcher: Dispatcher,
}

/// A lane's end: says what it wants and hears what it gets.
pub(crate) struct LaneHandle {
    lane: LaneId,
    dispatcher: Dispatcher,
}

impl Permits {
    /// How many more tasks may be held.
    pub(crate) fn left(&self) -> u32 {
        self.left
    }

    /// The slot for one task, while there is one left.
    pub(crate) fn take(&mut self) -> Option<Slot> {
        self.left = self.left.checked_sub(1)?;
        Some(Slot(self.slots.clone()))
    }
}

impl Slots {
    fn part(&self) -> u32 {
        (self.granted / PARTS).max(1)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Slots { lane, dispatcher, dropped, .. } = &*self.0;
        let part = self.0.part();
        if (dropped.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(part) {
            dispatcher.tell(Event::Settled { lane: *lane, slots: part });
        }
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        let dropped = *self.dropped.get_mut();
        let told = dropped - dropped % self.part();
        if told < self.granted {
            self.dispatcher.tell(Event::Settled { lane: self.lane, slots: self.granted - told });
        }
    }
}

impl Drop for GuestMemory {
    fn drop(&mut self) {
        self.dispatcher.tell(Event::Ended { memory: self.memory });
    }
}

impl Dispatcher {
    /// Starts the loop. It ends when the last handle is gone.
    pub(crate) fn start(scheduler: Scheduler, metrics: Metrics) -> Self {
        let (messages, inbox) = mpsc::unbounded_channel();
        let dispatcher = Self { messages };
        // The loop makes guards, and guards hold a handle: a weak one, or the loop would keep itself alive.
        let weak = dispatcher.messages.downgrade();
        tokio::spawn(dispatch(scheduler, inbox, weak, metrics));
        dispatcher
    }

    /// Opens a lane whose guests need `memory` bytes each.
    pub(crate) fn open(&self, lane: LaneId, memory: u64) -> LaneHandle {
        self.tell(Event::Opened { lane, memory });
        LaneHandle { lane, dispatcher: self.clone() }
    }

    /// Waits for the memory of one more guest of a lane.
    ///
    /// Dropping the future is safe: what was granted meanwhile goes back.
    pub(crate) async fn guest(&self, lane: LaneId) -> Option<GuestMemory> {
        let (answer, granted) = oneshot::channel();
        self.send(Message::AskMore { lane, answer });
        granted.await.ok()
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
    /// Waits for up to `wanted` slots and the memory to run that many tasks, of which one guest's is good for `ahead`;
    /// at least one comes. `holding` says that a message waits for it already.
    ///
    /// Dropping the future is safe: what was granted meanwhile goes back.
    pub(crate) async fn permits(&self, wanted: u32, ahead: u32, holding: bool) -> Option<Permits> {
        let (answer, granted) = oneshot::channel();
        let mut withdraw = Withdraw { lane: self, granted: false };
        self.dispatcher.send(Message::Ask { lane: self.lane, wanted, ahead, holding, answer });
        let permits = granted.await.ok();
        withdraw.granted = permits.is_some();
        permits
    }

    /// Tells the scheduler what a guest of this lane needs from now on.
    pub(crate) fn set_memory(&self, memory: u64) {
        self.dispatcher.tell(Event::Opened { lane: self.lane, memory });
    }

    /// Which lane it is, and who to ask for more.
    pub(crate) fn more(&self) -> (LaneId, Dispatcher) {
        (self.lane, self.dispatcher.clone())
    }
}

impl Drop for LaneHandle {
    fn drop(&mut self) {
        self.dispatcher.tell(Event::Closed { lane: self.lane });
    }
}

/// Takes back what a lane wanted if it stops waiting before it gets it.
struct Withdraw<'a> {
    lane: &'a LaneHandle,
    granted: bool,
}

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        if !self.granted {
            let lane = self.lane.lane;
            self.lane.dispatcher.tell(Event::Waiting { lane, wanted: 0, ahead: 1, holding: false });
        }
    }
}

/// Who waits for what.
#[derive(Default)]
struct Asking {
    permits: HashMap<LaneId, oneshot::Sender<Permits>>,
    guests: HashMap<LaneId, VecDeque<oneshot::Sender<GuestMemory>>>,
}

async fn dispatch(
    mut scheduler: Scheduler,
    mut inbox: mpsc::UnboundedReceiver<Message>,
    guards: mpsc::WeakUnboundedSender<Message>,
    metrics: Metrics,
) {
    let mut asking = Asking::default();
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
                Message::Ask { lane, wanted, ahead, holding, answer } => {
                    asking.permits.insert(lane, answer);
                    scheduler.handle(Event::Waiting { lane, wanted, ahead, holding });
                }
                Message::AskMore { lane, answer } => {
                    asking.guests.entry(lane).or_default().push_back(answer);
                    scheduler.handle(Event::Stuck { lane });
                }
                Message::Scheduler(event) => {
                    if let Event::Closed { lane } = event {
                        asking.forget(lane);
                    }
                    scheduler.handle(event);
                }
            }
        }
        let Some(sender) = guards.upgrade() else { return };
        let dispatcher = Dispatcher { messages: sender };
        let now = Instant::now();
        while let Some(grant) = scheduler.next(now) {
            asking.give(&dispatcher, grant);
        }
        metrics.running.set(i64::from(scheduler.held()));
    }
}

impl Asking {
    /// Gives to whoever asked. Whoever no longer waits lets it fall, which brings it back.
    fn give(&mut self, dispatcher: &Dispatcher, grant: Grant) {
        let Grant { lane, slots, guests, memory } = grant;
        let guest = || GuestMemory { memory, dispatcher: dispatcher.clone() };
        if slots == 0 {
            let waiting = self.guests.get_mut(&lane).and_then(VecDeque::pop_front);
            let _ = waiting.map(|answer| answer.send(guest()));
            return;
        }
        let granted =
            Slots { lane, granted: slots, dropped: AtomicU32::new(0), dispatcher: dispatcher.clone() };
        let guests = (0..guests).map(|_| guest()).collect();
        let permits = Permits { slots: Arc::new(granted), left: slots, guests };
        let _ = self.permits.remove(&lane).map(|answer| answer.send(permits));
    }

    fn forget(&mut self, lane: LaneId) {
        self.permits.remove(&lane);
        self.guests.remove(&lane);
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
        let scheduler = Scheduler::new(slots, u64::from(slots), 1);
        Dispatcher::start(scheduler, Metrics::new(&mut Registry::default()))
    }

    async fn permits(lane: &LaneHandle, wanted: u32) -> Permits {
        let permits = tokio::time::timeout(BOUND, lane.permits(wanted, 1, false)).await;
        permits.expect("permits come").expect("the loop is there")
    }

    #[tokio::test]
    async fn what_is_dropped_can_be_had_again() {
        let dispatcher = dispatcher(1);
        let (a, b) = (dispatcher.open(LaneId(1), 1), dispatcher.open(LaneId(2), 1));
        let held = permits(&a, 1).await;
        assert_eq!((held.left(), held.guests.len()), (1, 1));
        let waiting = tokio::spawn(async move { permits(&b, 1).await.left() });
        drop(held);
        assert_eq!(tokio::time::timeout(BOUND, waiting).await.unwrap().unwrap(), 1);
    }

    #[tokio::test]
    async fn every_slot_comes_back_whether_it_was_taken_or_not() {
        let dispatcher = dispatcher(10);
        let lane = dispatcher.open(LaneId(1), 1);
        for taken in [0, 1, 7, 10] {
            let mut held = permits(&lane, 10).await;
            assert_eq!((held.left(), held.guests.len()), (10, 10), "after others were given back");
            let slots: Vec<Slot> = (0..taken).map_while(|_| held.take()).collect();
            assert_eq!(slots.len(), taken);
        }
        let mut held = permits(&lane, 10).await;
        while held.take().is_some() {}
        assert_eq!(held.left(), 0);
    }

    #[tokio::test]
    async fn what_a_lane_no_longer_waits_for_goes_to_others() {
        let dispatcher = dispatcher(1);
        let (a, b) = (dispatcher.open(LaneId(1), 1), dispatcher.open(LaneId(2), 1));
        let held = permits(&b, 1).await;
        assert!(tokio::time::timeout(Duration::from_millis(5), a.permits(1, 1, true)).await.is_err());
        drop(held);
        assert_eq!(permits(&b, 1).await.left(), 1);
    }

    #[tokio::test]
    async fn one_more_guest_comes_when_another_has_ended() {
        let dispatcher = dispatcher(1);
        let lane = dispatcher.open(LaneId(1), 1);
        let mut held = permits(&lane, 1).await;
        let (id, more) = lane.more();
        let asked = tokio::spawn(async move { more.guest(id).await.is_some() });
        held.guests.clear();
        assert!(tokio::time::timeout(BOUND, asked).await.unwrap().unwrap());
    }
}

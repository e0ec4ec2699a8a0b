//! What a lane holds of what it was granted. Dropped, it comes back by itself, used or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::Dispatcher;
use crate::precedence::Preceding;
use crate::scheduler::{Event, Grant, LaneId, Work};

/// The slots of a grant come back in so many parts: soon enough for the next batch, and not each by itself.
const PARTS: u32 = 4;

/// So much work of long tasks is told before they end, so that it counts while others wait.
const WORTH_TELLING: Duration = Duration::from_millis(10);

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
    /// Those of them whose tasks did not start after all, and that were not told yet.
    unused: AtomicU32,
    worked: Untold,
    /// Its tasks go before those of others.
    preceding: Option<Preceding>,
    dispatcher: Dispatcher,
}

/// Work of guests, in nanoseconds, that the scheduler has not been told of.
#[derive(Default)]
struct Untold {
    computed: AtomicU64,
    ready: AtomicU64,
    fuel: AtomicU64,
}

/// The right to hold one task; dropped, it is free for another.
pub(crate) struct Slot(Arc<Slots>);

/// The memory of one guest; dropped, it is free for another.
pub(crate) struct GuestMemory {
    lane: LaneId,
    memory: u64,
    dispatcher: Dispatcher,
}

impl Permits {
    /// What was granted to a lane that waited.
    pub(super) fn new(grant: Grant, dispatcher: &Dispatcher) -> Self {
        let Grant { lane, slots: granted, guests, memory, precedes } = grant;
        let slots = Slots {
            lane,
            granted,
            dropped: AtomicU32::new(0),
            unused: AtomicU32::new(0),
            worked: Untold::default(),
            preceding: precedes.then(|| dispatcher.0.precedence.take()),
            dispatcher: dispatcher.clone(),
        };
        let guest = |_| GuestMemory::new(lane, memory, dispatcher.clone());
        Self { slots: Arc::new(slots), left: granted, guests: (0..guests).map(guest).collect() }
    }

    #[cfg(test)]
    pub(super) fn precede(&self) -> bool {
        self.slots.preceding.is_some()
    }

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

    /// What is told when so many slots have come back, of which so many were dropped one by one.
    fn settled(&self, slots: u32, dropped: u32) -> [Event; 2] {
        let lane = self.lane;
        let ran = dropped.saturating_sub(self.unused.swap(0, Ordering::Relaxed));
        [Event::Computed { lane, work: self.worked.take() }, Event::Settled { lane, slots, ran }]
    }
}

impl Untold {
    /// Adds some. Whether it is worth telling.
    fn add(&self, work: Work) -> bool {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.computed.fetch_add(nanos(work.computed), Ordering::Relaxed);
        self.fuel.fetch_add(work.fuel, Ordering::Relaxed);
        let before = self.ready.fetch_add(nanos(work.ready), Ordering::Relaxed);
        before.saturating_add(nanos(work.ready)) >= nanos(WORTH_TELLING)
    }

    fn take(&self) -> Work {
        let take = |nanos: &AtomicU64| Duration::from_nanos(nanos.swap(0, Ordering::Relaxed));
        let fuel = self.fuel.swap(0, Ordering::Relaxed);
        Work { computed: take(&self.computed), ready: take(&self.ready), fuel }
    }
}

impl Slot {
    /// A guest has worked for the task that is held.
    pub(crate) fn worked(&self, work: Work) {
        let Slots { lane, dispatcher, worked, .. } = &*self.0;
        if worked.add(work) {
            dispatcher.tell(Event::Computed { lane: *lane, work: worked.take() });
        }
    }

    /// Runs the guest of the task that is held when it is its turn, beside all others.
    pub(crate) async fn run<F: Future>(&self, guest: F) -> F::Output {
        let Slots { preceding, dispatcher, .. } = &*self.0;
        match preceding {
            Some(_) => guest.await,
            None => dispatcher.0.precedence.behind(guest).await,
        }
    }

    /// The task that is held does not start: whatever limits starts does not count it.
    pub(crate) fn not_used(&self) {
        self.0.unused.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Slots { dispatcher, dropped, .. } = &*self.0;
        let part = self.0.part();
        if (dropped.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(part) {
            dispatcher.tell_all(self.0.settled(part, part));
        }
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        let dropped = *self.dropped.get_mut();
        let told = dropped - dropped % self.part();
        if told < self.granted {
            self.dispatcher.tell_all(self.settled(self.granted - told, dropped - told));
        }
    }
}

impl GuestMemory {
    pub(super) fn new(lane: LaneId, memory: u64, dispatcher: Dispatcher) -> Self {
        dispatcher.0.metrics.memory.inc_by(gauged(memory));
        Self { lane, memory, dispatcher }
    }
}

impl Drop for GuestMemory {
    fn drop(&mut self) {
        self.dispatcher.0.metrics.memory.dec_by(gauged(self.memory));
        self.dispatcher.tell(Event::Ended { lane: self.lane, memory: self.memory });
    }
}

/// Bytes as a gauge has them.
fn gauged(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

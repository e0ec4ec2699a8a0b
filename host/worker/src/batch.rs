//! The tasks of one pull, and the guests that run them one after another.
//!
//! As many guests run at once as there is memory set aside for. If one of its tasks is long after all, those behind
//! it get the memory of further guests, and what cannot be started within a few seconds goes back to the queue.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use saggar_jetstream::Delivery;

use crate::dispatch::{Dispatcher, GuestMemory, Permits, Slot};
use crate::lane::OpenLane;
use crate::runner::Runner;
use crate::scheduler::LaneId;
use crate::unit;

/// Tasks that wait for longer than this are stuck: ten times what they were expected to.
const STUCK: Duration = Duration::from_millis(50);

/// How long a task is held for a guest's memory before another host may have it.
pub(crate) const HOLD: Duration = Duration::from_secs(5);

/// After so many tasks in a row a thread looks at what else there is to do: the connection, above all.
const IN_A_ROW: u32 = 16;

/// Takes the tasks of one pull as they come.
pub(crate) struct Batch {
    inner: Arc<Inner>,
    permits: Permits,
}

struct Inner {
    lane: Arc<OpenLane>,
    runner: Arc<Runner>,
    more: (LaneId, Dispatcher),
    queue: Mutex<Queue>,
}

struct Queue {
    waiting: VecDeque<(Delivery, Slot)>,
    /// Memory of guests that have nothing to do until the next task comes.
    idle: Vec<GuestMemory>,
    /// Whether more may come.
    open: bool,
}

impl Batch {
    pub(crate) fn open(
        lane: Arc<OpenLane>,
        runner: Arc<Runner>,
        more: (LaneId, Dispatcher),
        mut permits: Permits,
    ) -> Self {
        let idle = std::mem::take(&mut permits.guests);
        let queue = Mutex::new(Queue { waiting: VecDeque::new(), idle, open: true });
        Self { inner: Arc::new(Inner { lane, runner, more, queue }), permits }
    }

    /// How many more tasks it may take.
    pub(crate) fn left(&self) -> u32 {
        self.permits.left()
    }

    /// Takes a task and sees to it that it is run; gives it back if there is no slot for it.
    pub(crate) fn add(&mut self, delivery: Delivery) -> Option<Delivery> {
        let Some(slot) = self.permits.take() else { return Some(delivery) };
        let mut queue = self.inner.queue();
        queue.waiting.push_back((delivery, slot));
        if let Some(memory) = queue.idle.pop() {
            self.inner.start(memory);
        }
        None
    }
}

impl Drop for Batch {
    /// Nothing more comes: guests end with the last task.
    fn drop(&mut self) {
        let mut queue = self.inner.queue();
        queue.open = false;
        queue.idle.clear();
        if !queue.waiting.is_empty() {
            self.inner.lane.host.units.spawn(self.inner.clone().watch());
        }
    }
}

impl Inner {
    /// Never held across an await.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(self: &Arc<Self>, memory: GuestMemory) {
        self.lane.host.units.spawn(self.clone().run(memory));
    }

    /// Runs tasks one after another until there are none.
    async fn run(self: Arc<Self>, memory: GuestMemory) {
        let mut in_a_row = 0;
        let mut memory = Some(memory);
        while let Some((delivery, slot)) = self.next(&mut memory) {
            if self.lane.host.leaving_now.is_cancelled() {
                unit::give_back(&self.lane, delivery).await;
                continue;
            }
            unit::live(self.lane.clone(), self.runner.clone(), delivery, slot).await;
            in_a_row += 1;
            if in_a_row % IN_A_ROW == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// The next task; if there is none, the guest's memory is put where the next task finds it.
    fn next(&self, memory: &mut Option<GuestMemory>) -> Option<(Delivery, Slot)> {
        let mut queue = self.queue();
        let next = queue.waiting.pop_front();
        if next.is_none() && queue.open {
            queue.idle.extend(memory.take());
        }
        next
    }

    /// Sees to it that nothing waits for ever behind a task that is longer than those before it.
    async fn watch(self: Arc<Self>) {
        let (lane, dispatcher) = &self.more;
        tokio::time::sleep(STUCK).await;
        while !self.queue().waiting.is_empty() {
            let Ok(Some(memory)) = tokio::time::timeout(HOLD, dispatcher.guest(*lane)).await else {
                let waiting = std::mem::take(&mut self.queue().waiting);
                for (delivery, _slot) in waiting {
                    unit::give_back(&self.lane, delivery).await;
                }
                return;
            };
            self.start(memory);
            // Unless this one is over in no time, there will be another.
            tokio::time::sleep(STUCK / 10).await;
        }
    }
}

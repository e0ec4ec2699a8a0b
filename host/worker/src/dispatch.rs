//! The one place that gives out slots and guest memory: the scheduler behind a lock, and the handles to talk to it.
//!
//! Whoever has news tells it in passing, and whoever waits for something is woken by that; a lone task finds its slot
//! without waking anybody. What is dropped comes back by itself, used or not, and so does an answer that nobody waits
//! for any more.

mod guards;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

pub(crate) use self::guards::{GuestMemory, Permits, Slot};
use crate::metrics::Metrics;
use crate::precedence::Precedence;
use crate::scheduler::{Bounds, Event, Grant, LaneId, PRECEDES_FOR, Scheduler, TenantId, Terms};

/// How often is looked whether anybody still talks to the scheduler.
const LOOK: Duration = Duration::from_secs(1);

/// Talks to the scheduler. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Dispatcher(Arc<Shared>);

struct Shared {
    /// Never held across an await, nor while a guard is dropped: that takes it.
    state: Mutex<State>,
    /// The scheduler holds slots back, and wants to be asked again in a while.
    held_back: Notify,
    precedence: Precedence,
    metrics: Metrics,
}

struct State {
    scheduler: Scheduler,
    /// Who waits for permits.
    permits: HashMap<LaneId, oneshot::Sender<Permits>>,
    /// Who waits for the memory of one more guest.
    guests: HashMap<LaneId, VecDeque<oneshot::Sender<GuestMemory>>>,
}

/// A lane's end: says what it wants and hears what it gets.
pub(crate) struct LaneHandle {
    lane: LaneId,
    tenant: TenantId,
    dispatcher: Dispatcher,
}

impl Dispatcher {
    /// Takes a scheduler into service. What it holds back is looked at until the last handle is gone.
    pub(crate) fn start(scheduler: Scheduler, metrics: Metrics) -> Self {
        let precedence = Precedence::new(scheduler.cores(), PRECEDES_FOR);
        let state = Mutex::new(State { scheduler, permits: HashMap::new(), guests: HashMap::new() });
        let shared = Arc::new(Shared { state, held_back: Notify::new(), precedence, metrics });
        tokio::spawn(ask_again(Arc::downgrade(&shared)));
        Self(shared)
    }

    /// Opens a lane of a tenant.
    pub(crate) fn open(&self, lane: LaneId, tenant: TenantId, terms: Terms) -> LaneHandle {
        self.tell(Event::Opened { lane, tenant, terms });
        LaneHandle { lane, tenant, dispatcher: self.clone() }
    }

    /// Other bounds for a tenant that has a lane.
    pub(crate) fn bound_tenant(&self, tenant: TenantId, bounds: Bounds) {
        self.tell(Event::TenantBounded { tenant, bounds });
    }

    /// Other bounds for a lane that is open.
    pub(crate) fn bound_lane(&self, lane: LaneId, bounds: Bounds) {
        self.tell(Event::LaneBounded { lane, bounds });
    }

    /// What is left of a tenant's budget of time on processors; nothing means without end.
    pub(crate) fn set_budget(&self, tenant: TenantId, left: Option<Duration>) {
        self.tell(Event::Budget { tenant, left });
    }

    /// What a tenant's guests have computed on this host.
    pub(crate) fn computed(&self, tenant: TenantId) -> Duration {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).scheduler.computed(tenant)
    }

    /// Waits for the memory of one more guest of a lane; nothing comes any more once the lane is closed.
    ///
    /// Dropping the future is safe: what was granted meanwhile goes back.
    pub(crate) async fn guest(&self, lane: LaneId) -> Option<GuestMemory> {
        let (answer, granted) = oneshot::channel();
        self.change(|state, now| {
            state.guests.entry(lane).or_default().push_back(answer);
            state.scheduler.handle(Event::Stuck { lane }, now);
        });
        granted.await.ok()
    }

    fn tell(&self, event: Event) {
        self.tell_all([event]);
    }

    fn tell_all(&self, events: impl IntoIterator<Item = Event>) {
        self.change(|state, now| {
            for event in events {
                if let Event::Closed { lane } = event {
                    state.permits.remove(&lane);
                    state.guests.remove(&lane);
                }
                state.scheduler.handle(event, now);
            }
        });
    }

    /// Changes the state, and gives out what can be given out now.
    fn change(&self, change: impl FnOnce(&mut State, Instant)) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        change(&mut state, now);
        // Given once the lock is free: an answer that nobody waits for comes back through it.
        let mut given = Vec::new();
        while let Some(grant) = state.scheduler.next(now) {
            given.push(state.answer(grant));
        }
        // Whoever waits hears that no answer comes.
        while let Some(lane) = state.scheduler.next_refused() {
            state.permits.remove(&lane);
        }
        self.0.metrics.running.set(i64::from(state.scheduler.held()));
        let held_back = state.scheduler.wake_at().is_some();
        drop(state);
        if held_back {
            self.0.held_back.notify_one();
        }
        for answer in given {
            answer.send(self);
        }
    }
}

/// A grant, and who gets it.
struct Given {
    grant: Grant,
    to: Waiting,
}

enum Waiting {
    Permits(Option<oneshot::Sender<Permits>>),
    Guest(Option<oneshot::Sender<GuestMemory>>),
}

impl State {
    fn answer(&mut self, grant: Grant) -> Given {
        let to = if grant.slots == 0 {
            Waiting::Guest(self.guests.get_mut(&grant.lane).and_then(VecDeque::pop_front))
        } else {
            Waiting::Permits(self.permits.remove(&grant.lane))
        };
        Given { grant, to }
    }
}

impl Given {
    /// Makes the guards. Whoever no longer waits lets them fall, which brings them back.
    fn send(self, dispatcher: &Dispatcher) {
        match self.to {
            Waiting::Guest(waiting) => {
                let Grant { lane, memory, .. } = self.grant;
                let guest = GuestMemory::new(lane, memory, dispatcher.clone());
                let _ = waiting.map(|waiting| waiting.send(guest));
            }
            Waiting::Permits(waiting) => {
                let permits = Permits::new(self.grant, dispatcher);
                let _ = waiting.map(|waiting| waiting.send(permits));
            }
        }
    }
}

/// Asks the scheduler again when it holds something back, until nobody talks to it any more.
async fn ask_again(shared: Weak<Shared>) {
    loop {
        // The handle must not be held while waiting, or the wait would have no end.
        let Some(known) = shared.upgrade() else { return };
        let wake = known.state.lock().unwrap_or_else(PoisonError::into_inner).scheduler.wake_at();
        match wake {
            Some(wake) => {
                drop(known);
                tokio::time::sleep_until(wake.into()).await;
                let Some(known) = shared.upgrade() else { return };
                Dispatcher(known).change(|_, _| {});
            }
            None => {
                if tokio::time::timeout(LOOK, known.held_back.notified()).await.is_err() {
                    drop(known);
                }
            }
        }
    }
}

impl LaneHandle {
    /// Waits for up to `wanted` slots and the memory to run that many tasks, of which one guest's is good for `ahead`;
    /// at least one comes. `holding` says that a message waits for it already: nothing comes if it would have to wait
    /// for long, because of a limit.
    ///
    /// Dropping the future is safe: what was granted meanwhile goes back.
    pub(crate) async fn permits(&self, wanted: u32, ahead: u32, holding: bool) -> Option<Permits> {
        let (answer, granted) = oneshot::channel();
        let lane = self.lane;
        let mut withdraw = Withdraw { lane: self, granted: false };
        self.dispatcher.change(|state, now| {
            state.permits.insert(lane, answer);
            state.scheduler.handle(Event::Waiting { lane, wanted, ahead, holding }, now);
        });
        let permits = granted.await.ok();
        withdraw.granted = permits.is_some();
        permits
    }

    /// Tells the scheduler what holds for this lane from now on.
    pub(crate) fn set_terms(&self, terms: Terms) {
        self.dispatcher.tell(Event::Opened { lane: self.lane, tenant: self.tenant, terms });
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use prometheus_client::registry::Registry;

    use super::*;
    use crate::scheduler::{Capacity, Work};

    const BOUND: Duration = Duration::from_secs(10);

    fn dispatcher(slots: u32) -> Dispatcher {
        let scheduler = Scheduler::new(Capacity { slots, memory: u64::from(slots), cores: 64 });
        Dispatcher::start(scheduler, Metrics::new(&mut Registry::default()))
    }

    fn open(dispatcher: &Dispatcher, lane: u64) -> LaneHandle {
        dispatcher.open(
            LaneId(lane),
            TenantId(1),
            Terms { tenant_weight: 1, weight: 1, memory: 1, component: None },
        )
    }

    async fn permits(lane: &LaneHandle, wanted: u32) -> Permits {
        let permits = tokio::time::timeout(BOUND, lane.permits(wanted, 1, false)).await;
        permits.expect("permits come").expect("the loop is there")
    }

    #[tokio::test]
    async fn what_is_dropped_can_be_had_again() {
        let dispatcher = dispatcher(1);
        let (a, b) = (open(&dispatcher, 1), open(&dispatcher, 2));
        let held = permits(&a, 1).await;
        assert_eq!((held.left(), held.guests.len()), (1, 1));
        let waiting = tokio::spawn(async move { permits(&b, 1).await.left() });
        drop(held);
        assert_eq!(tokio::time::timeout(BOUND, waiting).await.unwrap().unwrap(), 1);
    }

    #[tokio::test]
    async fn every_slot_comes_back_whether_it_was_taken_or_not() {
        let dispatcher = dispatcher(10);
        let lane = open(&dispatcher, 1);
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
        let (a, b) = (open(&dispatcher, 1), open(&dispatcher, 2));
        let held = permits(&b, 1).await;
        assert!(tokio::time::timeout(Duration::from_millis(5), a.permits(1, 1, true)).await.is_err());
        drop(held);
        assert_eq!(permits(&b, 1).await.left(), 1);
    }

    /// Permits for one task of a lane that has little to do, when one before it has shown that its tasks are short.
    async fn permits_of_short(lane: &LaneHandle) -> Permits {
        let mut first = permits(lane, 1).await;
        assert!(!first.precede(), "nobody knows that its tasks are short");
        let slot = first.take().expect("a slot");
        slot.worked(Work { computed: Duration::from_micros(20), ..Work::default() });
        drop((first, slot));
        permits(lane, 1).await
    }

    /// Whether a guest of `other` has to wait while one of `slot` has its turn.
    async fn waits(slot: &Slot, other: &Slot) -> bool {
        let looking = poll_fn(|context| Poll::Ready(pin!(other.run(async {})).poll(context).is_pending()));
        slot.run(looking).await
    }

    #[tokio::test]
    async fn while_a_short_task_is_under_way_guests_of_others_have_one_processor_less() {
        let scheduler = Scheduler::new(Capacity { slots: 64, memory: 64, cores: 2 });
        let dispatcher = Dispatcher::start(scheduler, Metrics::new(&mut Registry::default()));
        let (quiet, other) = (open(&dispatcher, 1), open(&dispatcher, 2));
        let mut held = permits(&other, 2).await;
        let (a, b) = (held.take().expect("a slot"), held.take().expect("a slot"));
        assert!(!waits(&a, &b).await, "nobody goes before them");
        let mut short = permits_of_short(&quiet).await;
        // It goes before others for some milliseconds only, which may pass on a busy machine.
        let mut waited = false;
        for _ in 0..100 {
            let slot = short.take().expect("a slot");
            waited = waits(&a, &b).await;
            assert!(!waits(&slot, &slot).await, "it waits for nobody");
            if waited {
                break;
            }
            drop((short, slot));
            short = permits(&quiet, 1).await;
        }
        assert!(waited);
        drop(short);
        assert!(!waits(&a, &b).await, "it is over");
    }

    #[tokio::test]
    async fn one_more_guest_comes_when_another_has_ended() {
        let dispatcher = dispatcher(1);
        let lane = open(&dispatcher, 1);
        let mut held = permits(&lane, 1).await;
        let (id, more) = lane.more();
        let asked = tokio::spawn(async move { more.guest(id).await.is_some() });
        held.guests.clear();
        assert!(tokio::time::timeout(BOUND, asked).await.unwrap().unwrap());
    }
}

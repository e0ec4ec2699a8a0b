//! Who runs next: a pure state machine, events in, grants out.
//!
//! Two things are shared out: slots, one for each task that this host holds, and guest memory, so much for each guest
//! that runs. A lane (one queue on this host) says how many tasks it could start; the scheduler grants to the lanes
//! that wait, in turn, as far as slots and memory reach. Short tasks run one after another in the memory of one
//! guest, so that a lane of them may hold more tasks than it runs at once.
//!
//! A grant answers what a lane said; whoever wants more says so again, and stands at the end of the line. The
//! scheduler reads no clock and opens no connection: time is an argument, so that a test can drive thousands of lanes.
//!
//! Invariants: what is out never exceeds the slots or the memory; a free slot is never kept from a lane that waits
//! for longer than [`LINGER`]; between two turns of one lane every other lane that waits has had its own.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How long free slots may be held back so that a lane fetches several tasks in one request instead of one each.
pub const LINGER: Duration = Duration::from_millis(10);

/// A larger batch is not worth waiting for: the request is a small part of what its tasks cost.
const BATCH_WORTH: u32 = 64;

/// What a turn is worth to a lane of short tasks, however many others wait: a request costs the server as much for one
/// task as for sixty, and it writes down how a queue stands after each; sixty short tasks are over before anyone
/// notices. A host of few slots gives turns of a quarter of them.
const QUANTUM: u32 = 64;

/// So many tasks are no batch: they go as soon as there is a slot for one.
const FEW: u32 = 4;

/// One slot in so many is kept by lanes of short tasks for lanes that hold none, so that a task of a quiet queue starts
/// at once although another's flood has taken all the rest. Long tasks may take all there are: a slot that is kept from
/// them would stand empty for long.
const KEPT_FREE: u32 = 16;

/// A lane, as the scheduler knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(pub u64);

/// What the scheduler hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A lane was opened, or its guests need another amount of memory from now on.
    Opened {
        /// The lane.
        lane: LaneId,
        /// Memory of one of its guests, in bytes.
        memory: u64,
    },
    /// A lane was closed. What it still holds comes back by `Settled` and `Ended`.
    Closed {
        /// The lane.
        lane: LaneId,
    },
    /// A lane could start so many tasks. Replaces what it said before.
    Waiting {
        /// The lane.
        lane: LaneId,
        /// How many tasks it could start at once.
        wanted: u32,
        /// How many of its tasks one guest's memory is good for: one, or many that are over in no time.
        ahead: u32,
        /// Whether it already holds a message, so that it should not be kept waiting for a full batch.
        holding: bool,
    },
    /// Tasks of a lane wait behind one that is longer than expected: the memory of one more guest would help.
    Stuck {
        /// The lane.
        lane: LaneId,
    },
    /// Slots came back, used or not.
    Settled {
        /// Whose they were.
        lane: LaneId,
        /// How many.
        slots: u32,
    },
    /// The memory of one guest came back.
    Ended {
        /// The bytes, as they were granted.
        memory: u64,
    },
}

/// What a lane that waited gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The lane.
    pub lane: LaneId,
    /// Tasks it may hold; none if it was stuck.
    pub slots: u32,
    /// Guests it may run at once, at least one.
    pub guests: u32,
    /// Memory of each of them, in bytes.
    pub memory: u64,
}

#[derive(Debug)]
struct Lane {
    memory: u64,
    wanted: u32,
    ahead: u32,
    out: u32,
    holding: bool,
    /// Where it waits, if it does.
    place: Option<(Line, u64)>,
}

/// Where lanes wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// For few tasks, or with one in hand: a few free slots are enough.
    Short,
    /// For more than a turn is worth. While the first of them waits for a batch, those in the other line may pass.
    Long,
}

/// What there is for a lane.
enum Share {
    /// So many slots, and the memory of so many guests.
    Now(u32, u32),
    /// A few slots are free, and more will be before long.
    HeldBack,
    /// No memory, or no slots but those that are kept for others.
    Nothing,
}

impl Lane {
    fn new(memory: u64) -> Self {
        Self { memory, wanted: 0, ahead: 1, out: 0, holding: false, place: None }
    }

    fn is_active(&self) -> bool {
        self.wanted > 0 || self.out > 0
    }
}

/// The state: free slots, free memory, and the lanes that wait in the order of their turns.
#[derive(Debug)]
pub struct Scheduler {
    slots: u32,
    memory: u64,
    /// Guests that can compute at the same time.
    cores: u32,
    /// Tasks in a turn of a lane of short ones.
    quantum: u32,
    free_slots: u32,
    free_memory: u64,
    lanes: HashMap<LaneId, Lane>,
    /// Who waits, with the number in the order they came.
    short: VecDeque<(u64, LaneId)>,
    long: VecDeque<(u64, LaneId)>,
    arrivals: u64,
    stuck: VecDeque<LaneId>,
    active: u32,
    /// Since when the first of the long line sees slots that are too few.
    held_back_since: Option<Instant>,
}

impl Scheduler {
    /// A scheduler of a host with so many slots, so much guest memory in bytes, and so many processor cores.
    #[must_use]
    pub fn new(slots: u32, memory: u64, cores: u32) -> Self {
        Self {
            slots,
            memory,
            cores: cores.max(1),
            quantum: (slots / 4).clamp(1, QUANTUM),
            free_slots: slots,
            free_memory: memory,
            lanes: HashMap::new(),
            short: VecDeque::new(),
            long: VecDeque::new(),
            arrivals: 0,
            stuck: VecDeque::new(),
            active: 0,
            held_back_since: None,
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, event: Event) {
        match event {
            Event::Opened { lane, memory } => {
                self.lanes.entry(lane).or_insert_with(|| Lane::new(memory)).memory = memory;
            }
            Event::Closed { lane } => {
                self.leave_line(lane);
                if self.lanes.remove(&lane).is_some_and(|lane| lane.is_active()) {
                    self.active -= 1;
                }
                self.stuck.retain(|waiting| *waiting != lane);
            }
            Event::Waiting { lane, wanted, ahead, holding } => {
                self.change(lane, |known| {
                    (known.wanted, known.ahead, known.holding) = (wanted, ahead.max(1), holding);
                });
                let line = if holding || wanted <= FEW { Line::Short } else { Line::Long };
                self.stand_in(lane, (wanted > 0).then_some(line));
            }
            Event::Stuck { lane } => self.stuck.push_back(lane),
            Event::Settled { lane, slots } => {
                self.free_slots += slots;
                self.change(lane, |known| known.out = known.out.saturating_sub(slots));
            }
            Event::Ended { memory } => self.free_memory += memory,
        }
    }

    /// Puts a lane at the end of a line, or in none. It keeps its place in the line it is in already.
    fn stand_in(&mut self, lane: LaneId, line: Option<Line>) {
        let Some(known) = self.lanes.get(&lane) else { return };
        if known.place.map(|(line, _)| line) == line {
            return;
        }
        self.leave_line(lane);
        if let Some(line) = line {
            self.arrivals += 1;
            let arrival = self.arrivals;
            self.line(line).push_back((arrival, lane));
            self.change(lane, |known| known.place = Some((line, arrival)));
        }
    }

    fn leave_line(&mut self, lane: LaneId) {
        let Some((line, arrival)) = self.lanes.get_mut(&lane).and_then(|known| known.place.take()) else {
            return;
        };
        let waiting = self.line(line);
        if let Ok(at) = waiting.binary_search_by_key(&arrival, |(arrival, _)| *arrival) {
            waiting.remove(at);
            if line == Line::Long {
                self.held_back_since = None;
            }
        }
    }

    fn line(&mut self, line: Line) -> &mut VecDeque<(u64, LaneId)> {
        match line {
            Line::Short => &mut self.short,
            Line::Long => &mut self.long,
        }
    }

    fn change(&mut self, lane: LaneId, change: impl FnOnce(&mut Lane)) {
        let Some(known) = self.lanes.get_mut(&lane) else { return };
        let was_active = known.is_active();
        change(known);
        match (was_active, known.is_active()) {
            (false, true) => self.active += 1,
            (true, false) => self.active -= 1,
            (true, true) | (false, false) => {}
        }
    }

    /// The next grant at `now`; call until there is none.
    pub fn next(&mut self, now: Instant) -> Option<Grant> {
        // Their tasks were taken from others already, and their slots can serve nobody else before they run.
        if let Some(grant) = self.next_stuck() {
            return Some(grant);
        }
        if self.free_slots == 0 {
            self.held_back_since = None;
            return None;
        }
        let (lane, slots, guests) = self.first_that_can_go(now)?;
        let memory = self.lanes.get(&lane)?.memory;
        self.leave_line(lane);
        self.change(lane, |known| {
            (known.wanted, known.holding) = (0, false);
            known.out += slots;
        });
        self.free_slots -= slots;
        self.free_memory -= memory * u64::from(guests);
        Some(Grant { lane, slots, guests, memory })
    }

    /// Looks along both lines in the order the lanes came.
    fn first_that_can_go(&mut self, now: Instant) -> Option<(LaneId, u32, u32)> {
        let (mut short, mut long) = (0, 0);
        let mut held_back = false;
        loop {
            let in_short = self.short.get(short).copied();
            let in_long = self.long.get(long).copied().filter(|_| !held_back);
            let (line, (_, lane)) = match (in_short, in_long) {
                (Some(short), Some(long)) if short < long => (Line::Short, short),
                (_, Some(long)) => (Line::Long, long),
                (Some(short), None) => (Line::Short, short),
                (None, None) => {
                    if !held_back {
                        self.held_back_since = None;
                    }
                    return None;
                }
            };
            match self.share_for(lane, now) {
                Share::Now(slots, guests) => return Some((lane, slots, guests)),
                Share::HeldBack => held_back = true,
                Share::Nothing if line == Line::Long => long += 1,
                Share::Nothing => short += 1,
            }
        }
    }

    fn next_stuck(&mut self) -> Option<Grant> {
        let fits = |lane: &LaneId| self.lanes.get(lane).is_some_and(|known| known.memory <= self.free_memory);
        let lane = self.stuck.remove(self.stuck.iter().position(fits)?)?;
        let memory = self.lanes.get(&lane)?.memory;
        self.free_memory -= memory;
        Some(Grant { lane, slots: 0, guests: 1, memory })
    }

    /// When [`Self::next`] should be asked again although nothing happened: slots are held back for a batch.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        self.held_back_since.map(|since| since + LINGER)
    }

    /// What there is for a lane that waits.
    fn share_for(&mut self, lane: LaneId, now: Instant) -> Share {
        let Some(known) = self.lanes.get(&lane) else { return Share::Nothing };
        let guests_of = |memory: u64| u32::try_from(memory / known.memory.max(1)).unwrap_or(u32::MAX);
        let fit = guests_of(self.free_memory);
        let share =
            self.slots.div_ceil(self.active.max(1)).max(known.ahead.min(self.quantum)).min(known.wanted);
        let kept = if known.out == 0 || known.ahead == 1 { 0 } else { self.slots / KEPT_FREE };
        let slots = share.min(self.free_slots.saturating_sub(kept)).min(fit.saturating_mul(known.ahead));
        if slots == 0 {
            return Share::Nothing;
        }
        // A quarter of what the lane could hold at once is a batch worth a request.
        let most = guests_of(self.memory).saturating_mul(known.ahead).min(self.slots);
        let worth = (most / 4).clamp(1, BATCH_WORTH).min(share);
        // What is in hand goes at once, and asks for more afterwards.
        let slots = if known.holding && slots < worth { 1 } else { slots };
        let guests = slots.div_ceil(known.ahead).max(slots.min(self.cores)).min(fit);
        let waits_for_more = slots < worth && matches!(known.place, Some((Line::Long, _)));
        if waits_for_more && !self.has_lingered(now) {
            return Share::HeldBack;
        }
        Share::Now(slots, guests)
    }

    /// Whether slots have been held back for long enough; from now on they are, if they were not.
    fn has_lingered(&mut self, now: Instant) -> bool {
        let since = *self.held_back_since.get_or_insert(now);
        now.saturating_duration_since(since) >= LINGER
    }

    /// Slots that are taken.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.slots - self.free_slots
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn waiting(lane: u64, wanted: u32) -> Event {
        Event::Waiting { lane: LaneId(lane), wanted, ahead: 1, holding: false }
    }

    fn with_lanes(slots: u32, memory: u64, lanes: u64) -> Scheduler {
        let mut scheduler = Scheduler::new(slots, memory, 2);
        for lane in 0..lanes {
            scheduler.handle(Event::Opened { lane: LaneId(lane), memory: MIB });
        }
        scheduler
    }

    fn grants(scheduler: &mut Scheduler, now: Instant) -> Vec<Grant> {
        std::iter::from_fn(|| scheduler.next(now)).collect()
    }

    /// Who got how many slots.
    fn slots(grants: &[Grant]) -> Vec<(u64, u32)> {
        grants.iter().map(|grant| (grant.lane.0, grant.slots)).collect()
    }

    fn give_back(scheduler: &mut Scheduler, grant: Grant) {
        scheduler.handle(Event::Settled { lane: grant.lane, slots: grant.slots });
        for _ in 0..grant.guests {
            scheduler.handle(Event::Ended { memory: grant.memory });
        }
    }

    #[test]
    fn a_lone_task_starts_at_once() {
        let mut scheduler = with_lanes(64, 64 * MIB, 1);
        scheduler.handle(waiting(0, 1));
        assert_eq!(slots(&grants(&mut scheduler, Instant::now())), [(0, 1)]);
        assert_eq!(scheduler.held(), 1);
    }

    #[test]
    fn lanes_that_wait_share_the_slots() {
        let mut scheduler = with_lanes(64, 64 * MIB, 4);
        for lane in 0..4 {
            scheduler.handle(waiting(lane, 1000));
        }
        assert_eq!(slots(&grants(&mut scheduler, Instant::now())), [(0, 16), (1, 16), (2, 16), (3, 16)]);
    }

    #[test]
    fn a_flood_leaves_slots_for_a_queue_that_was_quiet() {
        let mut scheduler = with_lanes(64, 64 * MIB, 2);
        let now = Instant::now();
        let short =
            |lane: u64, wanted| Event::Waiting { lane: LaneId(lane), wanted, ahead: 64, holding: false };
        scheduler.handle(short(0, 40));
        assert_eq!(slots(&grants(&mut scheduler, now)), [(0, 40)]);
        scheduler.handle(short(0, 1000));
        assert_eq!(slots(&grants(&mut scheduler, now)), [(0, 20)]);
        scheduler.handle(short(0, 1000));
        assert_eq!(slots(&grants(&mut scheduler, now + LINGER)), []);
        scheduler.handle(short(1, 1));
        assert_eq!(slots(&grants(&mut scheduler, now)), [(1, 1)]);
    }

    #[test]
    fn long_tasks_may_take_every_slot() {
        let mut scheduler = with_lanes(64, 64 * MIB, 1);
        for _ in 0..2 {
            scheduler.handle(waiting(0, 32));
            assert_eq!(slots(&grants(&mut scheduler, Instant::now())), [(0, 32)]);
        }
    }

    #[test]
    fn lanes_of_short_tasks_take_turns_that_are_worth_a_request() {
        let mut scheduler = with_lanes(64, 64 * MIB, 100);
        for lane in 0..100 {
            scheduler.handle(Event::Waiting { lane: LaneId(lane), wanted: 1000, ahead: 64, holding: false });
        }
        let now = Instant::now();
        let first = grants(&mut scheduler, now);
        assert_eq!(slots(&first), [(0, 16), (1, 16), (2, 16), (3, 16)]);
        first.into_iter().for_each(|grant| give_back(&mut scheduler, grant));
        scheduler.handle(Event::Waiting { lane: LaneId(0), wanted: 1000, ahead: 64, holding: false });
        assert_eq!(
            slots(&grants(&mut scheduler, now)),
            [(4, 16), (5, 16), (6, 16), (7, 16)],
            "whoever had a turn waits"
        );
    }

    #[test]
    fn while_one_waits_for_a_batch_others_may_go_with_less() {
        let mut scheduler = with_lanes(64, 64 * MIB, 4);
        let short = |lane, wanted, holding| Event::Waiting { lane: LaneId(lane), wanted, ahead: 64, holding };
        let now = Instant::now();
        scheduler.handle(short(0, 60, false));
        let all = grants(&mut scheduler, now);
        assert_eq!(slots(&all), [(0, 60)]);
        scheduler.handle(short(1, 1000, false));
        assert_eq!(grants(&mut scheduler, now), [], "four slots are no batch");
        scheduler.handle(short(2, 1, false));
        scheduler.handle(short(3, 1000, true));
        assert_eq!(slots(&grants(&mut scheduler, now)), [(2, 1), (3, 1)], "a lone task, and one in hand");
        scheduler.handle(Event::Settled { lane: LaneId(0), slots: 14 });
        assert_eq!(slots(&grants(&mut scheduler, now)), [(1, 16)]);
    }

    #[test]
    fn memory_bounds_the_guests_that_run_at_once() {
        let mut scheduler = with_lanes(64, 10 * MIB, 1);
        scheduler.handle(waiting(0, 1000));
        let now = Instant::now();
        grants(&mut scheduler, now);
        scheduler.handle(waiting(0, 1000));
        assert_eq!(grants(&mut scheduler, now + LINGER), []);
        assert_eq!(scheduler.held(), 10);
    }

    #[test]
    fn short_tasks_run_one_after_another_in_the_memory_of_few_guests() {
        let mut scheduler = with_lanes(64, 10 * MIB, 1);
        let lane = LaneId(0);
        scheduler.handle(Event::Waiting { lane, wanted: 1000, ahead: 32, holding: false });
        let now = Instant::now();
        let all = grants(&mut scheduler, now);
        assert_eq!(all, [Grant { lane, slots: 64, guests: 2, memory: MIB }], "one guest for each core");
        // The rest of the memory is there for others.
        scheduler.handle(Event::Opened { lane: LaneId(1), memory: 8 * MIB });
        scheduler.handle(Event::Settled { lane, slots: 1 });
        scheduler.handle(waiting(1, 1));
        assert_eq!(slots(&grants(&mut scheduler, now)), [(1, 1)]);
    }

    #[test]
    fn who_is_stuck_behind_a_long_task_gets_memory_before_others() {
        let mut scheduler = with_lanes(64, 2 * MIB, 2);
        let (lane, now) = (LaneId(0), Instant::now());
        scheduler.handle(Event::Waiting { lane, wanted: 10, ahead: 32, holding: false });
        assert_eq!(grants(&mut scheduler, now), [Grant { lane, slots: 10, guests: 2, memory: MIB }]);
        scheduler.handle(waiting(1, 1));
        scheduler.handle(Event::Stuck { lane });
        assert_eq!(grants(&mut scheduler, now), []);
        scheduler.handle(Event::Ended { memory: MIB });
        assert_eq!(grants(&mut scheduler, now), [Grant { lane, slots: 0, guests: 1, memory: MIB }]);
        scheduler.handle(Event::Ended { memory: MIB });
        assert_eq!(slots(&grants(&mut scheduler, now)), [(1, 1)]);
    }

    #[test]
    fn a_task_too_large_for_the_host_holds_up_nobody() {
        let mut scheduler = with_lanes(4, 4 * MIB, 2);
        scheduler.handle(Event::Opened { lane: LaneId(0), memory: 5 * MIB });
        scheduler.handle(waiting(0, 1));
        scheduler.handle(waiting(1, 1));
        assert_eq!(slots(&grants(&mut scheduler, Instant::now())), [(1, 1)]);
    }

    #[test]
    fn few_free_slots_are_held_back_for_a_batch_but_not_for_long() {
        let mut scheduler = with_lanes(64, 64 * MIB, 1);
        let now = Instant::now();
        scheduler.handle(waiting(0, 64));
        let all = grants(&mut scheduler, now);
        assert_eq!(slots(&all), [(0, 64)]);
        let one = Grant { slots: 1, guests: 1, ..all[0] };
        give_back(&mut scheduler, one);
        scheduler.handle(waiting(0, 1000));
        assert_eq!(grants(&mut scheduler, now), []);
        assert_eq!(scheduler.wake_at(), Some(now + LINGER));
        assert_eq!(slots(&grants(&mut scheduler, now + LINGER)), [(0, 1)]);
        give_back(&mut scheduler, one);
        scheduler.handle(Event::Waiting { lane: LaneId(0), wanted: 1000, ahead: 1, holding: true });
        assert_eq!(
            slots(&grants(&mut scheduler, now)),
            [(0, 1)],
            "a message that is held already waits for no batch"
        );
    }

    #[test]
    fn a_closed_lane_gets_nothing_and_gives_back_what_it_holds() {
        let mut scheduler = with_lanes(2, 2 * MIB, 2);
        scheduler.handle(waiting(0, 2));
        let now = Instant::now();
        let all = grants(&mut scheduler, now);
        assert_eq!(slots(&all), [(0, 2)]);
        scheduler.handle(waiting(0, 2));
        scheduler.handle(Event::Stuck { lane: LaneId(0) });
        scheduler.handle(Event::Closed { lane: LaneId(0) });
        give_back(&mut scheduler, Grant { slots: 1, guests: 1, ..all[0] });
        assert_eq!(grants(&mut scheduler, now), []);
        scheduler.handle(waiting(1, 1));
        assert_eq!(slots(&grants(&mut scheduler, now)), [(1, 1)]);
    }

    proptest! {
        /// Whatever happens: no more out than there is, no lane left out while slots are free, turns taken in order.
        #[test]
        fn slots_and_memory_are_never_overdrawn_and_nobody_starves(
            slots in 1_u32..100,
            memory in 1_u64..200,
            steps in proptest::collection::vec((0_u64..8, 0_u32..50, 1_u32..40, any::<bool>()), 1..200),
        ) {
            let mut scheduler = with_lanes(slots, memory * MIB, 8);
            let mut out: Vec<Grant> = Vec::new();
            let mut now = Instant::now();
            let mut wanted: BTreeMap<u64, u32> = BTreeMap::new();
            for (lane, amount, ahead, finish) in steps {
                if finish && !out.is_empty() {
                    let grant = out.swap_remove(amount as usize % out.len());
                    give_back(&mut scheduler, grant);
                } else {
                    let lane_id = LaneId(lane);
                    scheduler.handle(Event::Waiting { lane: lane_id, wanted: amount, ahead, holding: false });
                    wanted.insert(lane, amount);
                }
                now += LINGER;
                // Twice: what is held back for a batch comes once the linger is over.
                for _ in 0..2 {
                    while let Some(grant) = scheduler.next(now) {
                        let wanted = wanted.remove(&grant.lane.0).unwrap_or_default();
                        prop_assert!(grant.slots >= 1 && grant.slots <= wanted);
                        prop_assert!(grant.guests >= 1 && grant.guests <= grant.slots);
                        out.push(grant);
                    }
                    now += LINGER;
                }
                let held: u32 = out.iter().map(|grant| grant.slots).sum();
                let used: u64 = out.iter().map(|grant| u64::from(grant.guests)).sum();
                prop_assert!(held <= slots);
                prop_assert!(used <= memory);
                let full = held >= slots - slots / KEPT_FREE || used == memory;
                prop_assert!(full || wanted.values().all(|wanted| *wanted == 0), "slots are free and {wanted:?} wait");
            }
        }
    }
}

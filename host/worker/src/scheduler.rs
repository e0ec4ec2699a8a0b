//! Who runs next: a pure state machine, events in, grants out.
//!
//! A permit is a slot and the guest memory that goes with it. A lane (one queue on this host) says how many tasks
//! it could start; the scheduler grants permits to the lanes that wait, in turn, as far as slots and memory reach.
//! It reads no clock and opens no connection: time is an argument, so that a test can drive thousands of lanes.
//!
//! A grant answers what a lane said; whoever wants more says so again, and stands at the end of the line.
//!
//! Invariants: permits out never exceed the slots or the memory; a free slot is never kept from a lane that waits
//! for longer than [`LINGER`]; between two turns of one lane every other lane that waits has had its own.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How long free slots may be held back so that a lane fetches several tasks in one request instead of one each.
pub const LINGER: Duration = Duration::from_millis(1);

/// A lane, as the scheduler knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(pub u64);

/// What the scheduler hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A lane was opened, or its tasks need another amount of memory from now on.
    Opened {
        /// The lane.
        lane: LaneId,
        /// Guest memory of one of its tasks, in bytes.
        memory: u64,
    },
    /// A lane was closed. Permits it still holds come back by `Finished`.
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
        /// Whether it already holds a message, so that it should not be kept waiting for a full batch.
        holding: bool,
    },
    /// Permits came back, used or not.
    Finished {
        /// The permit that came back, as it was granted.
        permit: Permit,
    },
}

/// The right to run one task of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    /// The lane.
    pub lane: LaneId,
    /// The guest memory set aside, in bytes.
    pub memory: u64,
}

/// Permits for a lane that waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// What each of them is.
    pub permit: Permit,
    /// How many, at least one.
    pub count: u32,
}

#[derive(Debug)]
struct Lane {
    memory: u64,
    wanted: u32,
    out: u32,
    holding: bool,
    held_back_since: Option<Instant>,
}

impl Lane {
    fn is_active(&self) -> bool {
        self.wanted > 0 || self.out > 0
    }
}

/// The state: free slots, free memory, and the lanes that wait in the order of their turns.
#[derive(Debug)]
pub struct Scheduler {
    slots: u32,
    memory: u64,
    free_slots: u32,
    free_memory: u64,
    lanes: HashMap<LaneId, Lane>,
    turns: VecDeque<LaneId>,
    active: u32,
    held_back_since: Option<Instant>,
}

impl Scheduler {
    /// A scheduler of a host with so many slots and so much guest memory, in bytes.
    #[must_use]
    pub fn new(slots: u32, memory: u64) -> Self {
        Self {
            slots,
            memory,
            free_slots: slots,
            free_memory: memory,
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            active: 0,
            held_back_since: None,
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, event: Event) {
        match event {
            Event::Opened { lane, memory } => {
                let new = Lane { memory, wanted: 0, out: 0, holding: false, held_back_since: None };
                self.lanes.entry(lane).or_insert(new).memory = memory;
            }
            Event::Closed { lane } => {
                if self.lanes.remove(&lane).is_some_and(|lane| lane.is_active()) {
                    self.active -= 1;
                }
                self.turns.retain(|waiting| *waiting != lane);
            }
            Event::Waiting { lane, wanted, holding } => {
                let Some(known) = self.lanes.get(&lane) else { return };
                if known.wanted == 0 && wanted > 0 {
                    self.turns.push_back(lane);
                } else if known.wanted > 0 && wanted == 0 {
                    self.turns.retain(|waiting| *waiting != lane);
                }
                self.change(lane, |known| {
                    (known.wanted, known.holding) = (wanted, holding);
                    if wanted == 0 {
                        known.held_back_since = None;
                    }
                });
            }
            Event::Finished { permit } => {
                self.free_slots += 1;
                self.free_memory += permit.memory;
                self.change(permit.lane, |known| known.out = known.out.saturating_sub(1));
            }
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
        self.held_back_since = None;
        if self.free_slots == 0 {
            return None;
        }
        for _ in 0..self.turns.len() {
            let lane = self.turns.pop_front()?;
            let Some(count) = self.count_for(lane, now) else {
                self.turns.push_back(lane);
                continue;
            };
            let memory = self.lanes.get(&lane)?.memory;
            self.change(lane, |known| {
                (known.wanted, known.holding, known.held_back_since) = (0, false, None);
                known.out += count;
            });
            self.free_slots -= count;
            self.free_memory -= memory * u64::from(count);
            return Some(Grant { permit: Permit { lane, memory }, count });
        }
        None
    }

    /// When [`Self::next`] should be asked again although nothing happened: slots are held back for a batch.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        self.held_back_since.map(|since| since + LINGER)
    }

    /// How many permits the lane gets now; nothing if it has to wait.
    fn count_for(&mut self, lane: LaneId, now: Instant) -> Option<u32> {
        let known = self.lanes.get_mut(&lane)?;
        let by_memory = u32::try_from(self.free_memory / known.memory.max(1)).unwrap_or(u32::MAX);
        let free = self.free_slots.min(by_memory);
        if free == 0 {
            return None;
        }
        let share = self.slots.div_ceil(self.active.max(1));
        let count = known.wanted.min(share).min(free);
        // A quarter of what could run at once is a batch worth a request; a lone task and a lane that needs no more
        // go at once.
        let most = u32::try_from(self.memory / known.memory.max(1)).unwrap_or(u32::MAX).min(self.slots);
        let worth = (most / 4).clamp(1, 64).min(known.wanted).min(share);
        if count >= worth || known.holding {
            return Some(count);
        }
        let since = *known.held_back_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= LINGER {
            return Some(count);
        }
        self.held_back_since = Some(self.held_back_since.map_or(since, |earliest| earliest.min(since)));
        None
    }

    /// Slots that are taken.
    #[must_use]
    pub fn running(&self) -> u32 {
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
        Event::Waiting { lane: LaneId(lane), wanted, holding: false }
    }

    fn with_lanes(slots: u32, memory: u64, lanes: u64) -> Scheduler {
        let mut scheduler = Scheduler::new(slots, memory);
        for lane in 0..lanes {
            scheduler.handle(Event::Opened { lane: LaneId(lane), memory: MIB });
        }
        scheduler
    }

    fn grants(scheduler: &mut Scheduler, now: Instant) -> Vec<(u64, u32)> {
        std::iter::from_fn(|| scheduler.next(now)).map(|grant| (grant.permit.lane.0, grant.count)).collect()
    }

    #[test]
    fn a_lone_task_starts_at_once() {
        let mut scheduler = with_lanes(64, 64 * MIB, 1);
        scheduler.handle(waiting(0, 1));
        assert_eq!(grants(&mut scheduler, Instant::now()), [(0, 1)]);
        assert_eq!(scheduler.running(), 1);
    }

    #[test]
    fn lanes_that_wait_share_the_slots() {
        let mut scheduler = with_lanes(64, 64 * MIB, 4);
        for lane in 0..4 {
            scheduler.handle(waiting(lane, 1000));
        }
        assert_eq!(grants(&mut scheduler, Instant::now()), [(0, 16), (1, 16), (2, 16), (3, 16)]);
    }

    #[test]
    fn memory_bounds_what_runs_at_once() {
        let mut scheduler = with_lanes(64, 10 * MIB, 1);
        scheduler.handle(waiting(0, 1000));
        let now = Instant::now();
        grants(&mut scheduler, now);
        scheduler.handle(waiting(0, 1000));
        assert_eq!(grants(&mut scheduler, now + LINGER), []);
        assert_eq!(scheduler.running(), 10);
    }

    #[test]
    fn a_task_too_large_for_the_host_holds_up_nobody() {
        let mut scheduler = with_lanes(4, 4 * MIB, 2);
        scheduler.handle(Event::Opened { lane: LaneId(0), memory: 5 * MIB });
        scheduler.handle(waiting(0, 1));
        scheduler.handle(waiting(1, 1));
        assert_eq!(grants(&mut scheduler, Instant::now()), [(1, 1)]);
    }

    #[test]
    fn few_free_slots_are_held_back_for_a_batch_but_not_for_long() {
        let mut scheduler = with_lanes(64, 64 * MIB, 1);
        let now = Instant::now();
        scheduler.handle(waiting(0, 64));
        assert_eq!(grants(&mut scheduler, now), [(0, 64)]);
        let permit = Permit { lane: LaneId(0), memory: MIB };
        scheduler.handle(Event::Finished { permit });
        scheduler.handle(waiting(0, 1000));
        assert_eq!(grants(&mut scheduler, now), []);
        assert_eq!(scheduler.wake_at(), Some(now + LINGER));
        assert_eq!(grants(&mut scheduler, now + LINGER), [(0, 1)]);
        scheduler.handle(Event::Finished { permit });
        scheduler.handle(Event::Waiting { lane: LaneId(0), wanted: 1000, holding: true });
        assert_eq!(
            grants(&mut scheduler, now),
            [(0, 1)],
            "a message that is held already waits for no batch"
        );
    }

    #[test]
    fn a_closed_lane_gets_nothing_and_gives_back_its_permits() {
        let mut scheduler = with_lanes(2, 2 * MIB, 2);
        scheduler.handle(waiting(0, 2));
        let now = Instant::now();
        assert_eq!(grants(&mut scheduler, now), [(0, 2)]);
        scheduler.handle(waiting(0, 2));
        scheduler.handle(Event::Closed { lane: LaneId(0) });
        scheduler.handle(Event::Finished { permit: Permit { lane: LaneId(0), memory: MIB } });
        assert_eq!(grants(&mut scheduler, now), []);
        scheduler.handle(waiting(1, 1));
        assert_eq!(grants(&mut scheduler, now), [(1, 1)]);
    }

    proptest! {
        /// Whatever happens: no more out than there is, no lane left out while slots are free, turns taken in order.
        #[test]
        fn slots_and_memory_are_never_overdrawn_and_nobody_starves(
            slots in 1_u32..100,
            memory in 1_u64..200,
            steps in proptest::collection::vec((0_u64..8, 0_u32..50, any::<bool>()), 1..200),
        ) {
            let mut scheduler = with_lanes(slots, memory * MIB, 8);
            let mut out: Vec<Permit> = Vec::new();
            let mut now = Instant::now();
            let mut wanted: BTreeMap<u64, u32> = BTreeMap::new();
            for (lane, amount, finish) in steps {
                if finish && !out.is_empty() {
                    let permit = out.swap_remove(amount as usize % out.len());
                    scheduler.handle(Event::Finished { permit });
                } else {
                    scheduler.handle(waiting(lane, amount));
                    wanted.insert(lane, amount);
                }
                now += LINGER;
                // Twice: what is held back for a batch comes once the linger is over.
                for _ in 0..2 {
                    while let Some(grant) = scheduler.next(now) {
                        let wanted = wanted.remove(&grant.permit.lane.0).unwrap_or_default();
                        prop_assert!(grant.count >= 1 && grant.count <= wanted);
                        out.extend((0..grant.count).map(|_| grant.permit));
                    }
                    now += LINGER;
                }
                prop_assert!(out.len() <= slots as usize);
                prop_assert!(out.len() as u64 <= memory);
                let full = out.len() == slots as usize || out.len() as u64 == memory;
                prop_assert!(full || wanted.values().all(|wanted| *wanted == 0), "slots are free and {wanted:?} wait");
            }
        }
    }
}

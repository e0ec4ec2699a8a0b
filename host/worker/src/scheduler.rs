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

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

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

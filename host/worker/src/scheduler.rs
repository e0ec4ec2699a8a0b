//! Who runs next: a pure state machine, events in, grants out.
//!
//! Shared out are slots, one for each task that this host holds, guest memory, so much for each guest that runs, and
//! with them processor time. A lane (one queue on this host) says how many tasks it could start; the scheduler grants to
//! the lanes that wait, as far as all three reach, in the order of the [`Ledger`]: to the tenant that has used least for
//! its weight, and of it to the lane that has. What is used is the time that guests compute, as it is told, and the part
//! of the host that they occupy. A task is charged with what those before it took, until it is known what it takes.
//!
//! A grant answers what a lane said; whoever wants more says so again. The scheduler reads no clock and opens no
//! connection: time is an argument, so that a test can drive thousands of lanes.
//!
//! Invariants: what is out never exceeds the slots or the memory; nothing that is free is kept from a lane that waits for
//! longer than [`LINGER`], but what is kept for tenants that have nothing; tenants that wait get shares by their weights,
//! whatever their tasks cost; and nobody who has nothing and could go waits for longer than [`AGED`] and a turn.

mod account;
mod allowance;
mod bucket;
mod choice;
mod component;
mod cost;
mod event;
#[cfg(test)]
mod fleet;
mod ledger;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod model;
mod quiet;
mod share;
#[cfg(test)]
mod shares;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

pub use self::bucket::Bucket;
pub use self::event::{Bounds, Capacity, Event, Flow, Grant, LaneId, TenantId, Terms, Work};
pub use self::quiet::PRECEDES_FOR;

use self::account::{Holding, Lane, Tenant};
use self::allowance::{Parked, Refused};
use self::component::Components;
use self::cost::Cost;
use self::ledger::Ledger;

/// How long free slots may be held back so that a lane fetches several tasks in one request instead of one each.
pub const LINGER: Duration = Duration::from_millis(10);

/// Whoever has waited for so long and has nothing goes first, whatever its weight and its debt: not more often than one
/// turn in [`AGED_TURNS`], so that weights still count when there is less of everything than all want.
pub const AGED: Duration = Duration::from_secs(5);
const AGED_TURNS: u32 = 8;

/// A larger batch is not worth waiting for: the request is a small part of what its tasks cost.
const BATCH_WORTH: u32 = 64;

/// What a turn is worth to a lane of short tasks, however many others wait: a request costs the server as much for one
/// task as for sixty, and it writes down how a queue stands after each; sixty short tasks are over before anyone
/// notices. A host of few slots gives turns of a quarter of them.
const QUANTUM: u32 = 64;

/// So many tasks are no batch: they go as soon as there is a slot for one.
const FEW: u32 = 4;

/// Of those who wait, so many are looked at in a turn, those whose turn it is first: when none of them can go, little is
/// left for the others, and they are looked at when something came back.
const LOOKED_AT: usize = 64;

/// One part in so many of slots and memory is kept for tenants that hold none, so that a task of a quiet one starts at
/// once although another's flood, of short tasks or of long ones, has taken all the rest.
const KEPT_FREE: u32 = 16;

/// So many guests may be busy at once for each core, as long as nobody has a claim to more. One would leave it idle
/// between two tasks; many make each other wait.
const AT_ONCE: f64 = 2.0;

/// How often what is occupied is charged for, and the processors are looked at. Whatever ends within is charged for what
/// it computed alone.
const CHARGE: Duration = Duration::from_millis(10);

/// What the host itself does for a task, in nanoseconds of a processor: pulling it, writing its result, acknowledging.
const OWN_WORK: u64 = 30_000;

/// The state: what is free, who waits, who holds what, and what everybody has used.
#[derive(Debug)]
pub struct Scheduler {
    capacity: Capacity,
    free: Holding,
    /// Tasks in a turn of a lane of short ones.
    quantum: u32,
    lanes: HashMap<LaneId, Lane>,
    components: Components,
    /// Those that hold anything.
    holders: BTreeSet<LaneId>,
    tenants: HashMap<TenantId, Tenant>,
    turns: Ledger<TenantId>,
    /// The weights of tenants that wait or hold something.
    active_weight: u64,
    /// Who began to wait when, the longest first; with some that have stopped since.
    line: VecDeque<(Instant, LaneId)>,
    /// Turns since one was given for having waited long.
    since_aged: u32,
    stuck: VecDeque<LaneId>,
    /// Those at limits, by when they are looked at again.
    parked: BTreeSet<(Instant, Parked)>,
    refused: Refused,
    /// Since when somebody sees slots that are too few for a batch.
    held_back_since: Option<Instant>,
    /// Who got something last of those that have little to do, and when.
    quiet: Option<(LaneId, Instant)>,
    /// Whether somebody waits for the processors.
    is_busy: bool,
    /// Up to when what is held has been charged for.
    charged_until: Option<Instant>,
    /// How many guests compute or want to, as far as is known.
    load: f64,
}

impl Scheduler {
    /// The scheduler of a host that has so much.
    #[must_use]
    pub fn new(capacity: Capacity) -> Self {
        let Capacity { slots, memory, cores } = capacity;
        Self {
            capacity: Capacity { slots, memory, cores: cores.max(1) },
            free: Holding { slots, memory, guests: 0 },
            quantum: (slots / 4).clamp(1, QUANTUM),
            lanes: HashMap::new(),
            components: Components::default(),
            holders: BTreeSet::new(),
            tenants: HashMap::new(),
            turns: Ledger::default(),
            active_weight: 0,
            line: VecDeque::new(),
            since_aged: AGED_TURNS,
            stuck: VecDeque::new(),
            parked: BTreeSet::new(),
            refused: Refused::new(),
            held_back_since: None,
            quiet: None,
            is_busy: false,
            charged_until: None,
            load: 0.0,
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Opened { lane, tenant, terms } => self.open(lane, tenant, terms),
            Event::TenantBounded { tenant, bounds } => self.bound(Parked::Tenant(tenant), bounds, now),
            Event::LaneBounded { lane, bounds } => self.bound(Parked::Lane(lane), bounds, now),
            Event::Budget { tenant, left } => self.set_budget(tenant, left),
            Event::Closed { lane } => {
                self.leave(lane);
                self.unpark(Parked::Lane(lane));
                self.stuck.retain(|waiting| *waiting != lane);
                self.change(lane, |known| (known.is_open, known.wanted) = (false, 0));
                self.forget_if_gone(lane);
            }
            Event::Waiting { lane, wanted, ahead, holding } => {
                let Some(known) = self.lanes.get(&lane).filter(|known| known.is_open) else { return };
                // A batch that it waited for may be no batch any more.
                if !known.is_short() {
                    self.held_back_since = None;
                }
                self.expect_of(lane);
                self.change(lane, |known| {
                    (known.wanted, known.ahead, known.holding) = (wanted, ahead.max(1), holding);
                });
                if wanted > 0 {
                    self.enter(lane, now);
                } else {
                    self.leave(lane);
                }
                self.refuse_if_held(lane, now);
            }
            Event::Stuck { lane } => self.stuck.push_back(lane),
            Event::Settled { lane, slots, ran } => {
                self.free.slots += slots;
                let before = self.lanes.get(&lane).map_or(0, |known| known.out.slots);
                self.change(lane, |known| known.out.slots = known.out.slots.saturating_sub(slots));
                self.settle(lane, slots, ran);
                self.end_precedence(lane, now);
                self.end_some(lane, slots, before, ran, now);
                self.forget_if_gone(lane);
            }
            Event::Computed { lane, work } => {
                if let Some(known) = self.lanes.get_mut(&lane) {
                    known.cost.worked(work);
                }
                let computed = u64::try_from(work.computed.as_nanos()).unwrap_or(u64::MAX);
                self.charge(lane, computed / u64::from(self.capacity.cores));
                self.spend(lane, work.fuel, work.computed, now);
            }
            Event::Ended { lane, memory } => {
                self.free.memory += memory;
                self.change(lane, |known| {
                    known.out.memory = known.out.memory.saturating_sub(memory);
                    known.out.guests = known.out.guests.saturating_sub(1);
                });
                self.forget_if_gone(lane);
            }
        }
    }

    fn open(&mut self, lane: LaneId, tenant: TenantId, terms: Terms) {
        let Terms { tenant_weight, weight, memory, component } = terms;
        let owner = self.tenants.entry(tenant).or_default();
        if owner.is_active() {
            self.active_weight =
                self.active_weight - u64::from(owner.weight) + u64::from(tenant_weight.max(1));
        }
        owner.weight = tenant_weight.max(1);
        owner.lanes.open(lane, weight);
        self.turns.open(tenant, tenant_weight);
        let known = self.lanes.entry(lane).or_insert_with(|| {
            owner.known += 1;
            Lane::new(tenant)
        });
        known.memory = memory;
        let before = std::mem::replace(&mut known.component, component);
        if before != component {
            // What it ran before says nothing about this.
            known.cost = Cost::default();
            self.components.replace(before, component);
        }
    }

    fn forget_if_gone(&mut self, lane: LaneId) {
        let Some(known) = self.lanes.get(&lane).filter(|known| known.is_gone()) else { return };
        let (tenant, component) = (known.tenant, known.component);
        self.lanes.remove(&lane);
        self.components.replace(component, None);
        let Some(owner) = self.tenants.get_mut(&tenant) else { return };
        owner.lanes.close(lane);
        owner.known -= 1;
        if owner.known == 0 {
            self.unpark(Parked::Tenant(tenant));
            self.tenants.remove(&tenant);
            self.turns.close(tenant);
        }
    }

    /// Changes a lane, and its tenant with it.
    fn change(&mut self, lane: LaneId, change: impl FnOnce(&mut Lane)) {
        let Some(known) = self.lanes.get_mut(&lane) else { return };
        let (before, load, waited) = (known.out, known.load(), known.is_waiting());
        change(known);
        self.load = (self.load - load + known.load()).max(0.0);
        if known.out == Holding::default() {
            self.holders.remove(&lane);
        } else {
            self.holders.insert(lane);
        }
        let Some(owner) = self.tenants.get_mut(&known.tenant) else { return };
        let was_active = owner.is_active();
        owner.out.slots = owner.out.slots - before.slots + known.out.slots;
        owner.waiting = owner.waiting - u32::from(waited) + u32::from(known.is_waiting());
        owner.lanes.holds(lane, known.out.slots > 0);
        self.turns.holds(known.tenant, owner.out.slots > 0);
        let (weight, is_active) = (u64::from(owner.weight), owner.is_active());
        self.weigh(weight, was_active, is_active);
    }

    /// Changes what a tenant is to others.
    fn change_tenant(&mut self, tenant: TenantId, change: impl FnOnce(&mut Tenant)) {
        let Some(owner) = self.tenants.get_mut(&tenant) else { return };
        let was_active = owner.is_active();
        change(owner);
        let (weight, is_active) = (u64::from(owner.weight), owner.is_active());
        self.weigh(weight, was_active, is_active);
    }

    fn weigh(&mut self, weight: u64, was_active: bool, is_active: bool) {
        match (was_active, is_active) {
            (false, true) => self.active_weight += weight,
            (true, false) => self.active_weight -= weight,
            (true, true) | (false, false) => {}
        }
    }

    fn enter(&mut self, lane: LaneId, now: Instant) {
        let Some(known) = self.lanes.get_mut(&lane) else { return };
        if known.since.is_none() {
            known.since = Some(now);
            self.line.push_back((now, lane));
        }
        if let Some(owner) = self.tenants.get_mut(&known.tenant)
            && known.parked.is_none()
        {
            owner.lanes.wait(lane);
            if owner.parked.is_none() {
                self.turns.wait(known.tenant);
            }
        }
    }

    fn leave(&mut self, lane: LaneId) {
        let Some(known) = self.lanes.get_mut(&lane) else { return };
        if known.since.take().is_none() {
            return;
        }
        if let Some(owner) = self.tenants.get_mut(&known.tenant) {
            owner.lanes.leave(lane);
            if owner.lanes.is_quiet() {
                self.turns.leave(known.tenant);
            }
        }
        // Whoever left stays in the line until it is looked at, and so the line is looked at when most have left.
        if self.line.len() > 2 * self.lanes.len() + 16 {
            let lanes = &self.lanes;
            self.line
                .retain(|(since, lane)| lanes.get(lane).is_some_and(|known| known.since == Some(*since)));
        }
    }

    /// Takes back what tasks were expected to take: what they did take has been told, but for what the host does itself.
    fn settle(&mut self, lane: LaneId, slots: u32, ran: u32) {
        let Some(known) = self.lanes.get_mut(&lane) else { return };
        let expected = known.expected_of(slots);
        known.expected -= expected;
        known.cost.ran(ran);
        if ran > 0 {
            self.components.learn(known.component, &known.cost);
        }
        if let Some((owner, tenant)) = self.owner_of(lane) {
            owner.lanes.release(lane, expected);
            self.turns.release(tenant, expected);
        }
        self.charge(lane, OWN_WORK * u64::from(ran) / u64::from(self.capacity.cores));
    }

    /// Begins with what other lanes know, if a lane knows nothing itself.
    fn expect_of(&mut self, lane: LaneId) {
        if let Some(known) = self.lanes.get_mut(&lane).filter(|known| !known.cost.is_known())
            && let Some(guess) = self.components.expected(known.component)
        {
            known.cost = guess;
        }
    }

    fn charge(&mut self, lane: LaneId, used: u64) {
        if let Some((owner, tenant)) = self.owner_of(lane) {
            owner.lanes.charge(lane, used);
            self.turns.charge(tenant, used);
        }
    }

    fn owner_of(&mut self, lane: LaneId) -> Option<(&mut Tenant, TenantId)> {
        let tenant = self.lanes.get(&lane)?.tenant;
        Some((self.tenants.get_mut(&tenant)?, tenant))
    }

    /// Charges everybody for the part of the host that their guests occupy.
    fn charge_holders(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(*self.charged_until.get_or_insert(now));
        if passed < CHARGE {
            return;
        }
        self.charged_until = Some(now);
        let nanos = passed.as_nanos();
        let part = |out: u64, all: u64| {
            u64::try_from(u128::from(out) * nanos / u128::from(all.max(1))).unwrap_or(u64::MAX)
        };
        let Capacity { slots, memory, .. } = self.capacity;
        self.load = 0.0;
        for lane in self.holders.clone() {
            let Some(known) = self.lanes.get_mut(&lane) else { continue };
            known.cost.held(known.out.guests, passed);
            self.load += known.load();
            // Slots of tasks that wait behind each other for one guest keep nobody else from anything.
            let used = part(known.out.guests.into(), slots.into()).max(part(known.out.memory, memory));
            self.charge(lane, used);
        }
    }

    /// The next grant at `now`; call until there is none.
    pub fn next(&mut self, now: Instant) -> Option<Grant> {
        self.charge_holders(now);
        self.unpark_due(now);
        // Their tasks were taken from others already, and their slots can serve nobody else before they run.
        if let Some(grant) = self.next_stuck() {
            return Some(grant);
        }
        self.is_busy = false;
        if self.free.slots == 0 || self.turns.is_quiet() {
            self.held_back_since = None;
            return None;
        }
        let (lane, slots, guests) = self.next_aged(now).or_else(|| self.next_in_turn(now))?;
        Some(self.grant(lane, slots, guests, now))
    }

    /// Gives a lane its turn.
    fn grant(&mut self, lane: LaneId, slots: u32, guests: u32, now: Instant) -> Grant {
        let precedes = self.look_for_quiet(lane, now);
        if let Some(known) = self.lanes.get_mut(&lane) {
            if !known.is_short() {
                self.held_back_since = None;
            }
            let (tenant, takes) = (known.tenant, known.cost.takes() * u64::from(slots));
            let expected = takes / u64::from(self.capacity.cores);
            if let Some(owner) = self.tenants.get_mut(&tenant) {
                owner.lanes.turn(lane);
                owner.lanes.reserve(lane, expected);
            }
            self.turns.turn(tenant);
            self.turns.reserve(tenant, expected);
            self.leave(lane);
            self.change(lane, |known| {
                (known.wanted, known.holding) = (0, false);
                known.expected += expected;
            });
            self.start_some(lane, slots, now);
        }
        Grant { precedes, ..self.give(lane, slots, guests) }
    }

    fn give(&mut self, lane: LaneId, slots: u32, guests: u32) -> Grant {
        let memory = self.lanes.get(&lane).map_or(0, |known| known.memory);
        let all = memory * u64::from(guests);
        self.free.slots -= slots;
        self.free.memory -= all;
        self.change(lane, |known| {
            known.out.slots += slots;
            known.out.memory += all;
            known.out.guests += guests;
        });
        Grant { lane, slots, guests, memory, precedes: false }
    }

    /// The next lane whose message has to wait for its limits, so that it goes back for another host to have. What it
    /// wanted is forgotten.
    pub fn next_refused(&mut self) -> Option<LaneId> {
        self.refused.pop_front()
    }

    /// What a tenant's guests have computed on this host since its first lane was opened.
    #[must_use]
    pub fn computed(&self, tenant: TenantId) -> Duration {
        self.tenants.get(&tenant).map_or(Duration::ZERO, |owner| owner.computed)
    }

    /// When [`Self::next`] should be asked again although nothing happened: slots are held back for a batch, it takes a
    /// while to see how busy the processors are, or somebody's limit lets it go on.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        let lingered = self.held_back_since.map(|since| since + LINGER);
        let looked = self.charged_until.filter(|_| self.is_busy).map(|until| until + CHARGE);
        let allowed = self.parked.first().map(|(until, _)| *until);
        [lingered, looked, allowed].into_iter().flatten().min()
    }

    /// The processors that it gives out.
    #[must_use]
    pub fn cores(&self) -> u32 {
        self.capacity.cores
    }

    /// Slots that are taken.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.capacity.slots - self.free.slots
    }
}

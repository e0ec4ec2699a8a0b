//! What a tenant or a lane may start and spend, however much is free.
//!
//! Whoever is at a limit is parked: it takes no turns and costs no look until its time has come or something of its came
//! back, so that those who wait for tokens, for a minute's fuel or for tomorrow are in nobody's way.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::account::{Lane, Tenant};
use super::bucket::Bucket;
use super::cost::Cost;
use super::event::Bounds;
use super::{LaneId, Scheduler, TenantId};

/// A message that cannot be started within this is for somebody else to have.
const HOLD: Duration = Duration::from_secs(1);

/// As long as it is not known what a task takes, each is thought to take one part in so many of all there is.
const UNKNOWN: f64 = 4.0;

/// What a tenant or a lane may.
#[derive(Debug, Default)]
pub(super) struct Allowed {
    slots: Option<u32>,
    starts: Bucket,
    fuel: Bucket,
    /// Nanoseconds of processors that are left of a budget.
    budget: Option<f64>,
}

/// What tasks that are out are thought to take.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Reserved {
    fuel: f64,
    nanos: f64,
}

impl Reserved {
    /// So many parts of it.
    fn parts(self, part: u32, of: u32) -> Self {
        let part = f64::from(part) / f64::from(of.max(1));
        Self { fuel: self.fuel * part, nanos: self.nanos * part }
    }

    fn add(&mut self, more: Self) {
        self.fuel = (self.fuel + more.fuel).max(0.0);
        self.nanos = (self.nanos + more.nanos).max(0.0);
    }
}

impl Allowed {
    /// What one more task is thought to take.
    fn task(&self, cost: &Cost) -> Reserved {
        let part_of_burst = self.fuel.burst().map_or(0.0, |burst| burst / UNKNOWN);
        let part_of_budget = self.budget.map_or(0.0, |left| left.max(0.0) / UNKNOWN);
        Reserved {
            fuel: cost.takes_fuel().unwrap_or(part_of_burst),
            nanos: cost.takes_nanos().unwrap_or(part_of_budget),
        }
    }

    /// How many tasks may start when so many are out and so much is reserved for them; or until when none may, if that
    /// is known.
    fn room(
        &self,
        out: u32,
        reserved: Reserved,
        task: Reserved,
        now: Instant,
    ) -> Result<u32, Option<Instant>> {
        let slots = self.slots.map_or(u32::MAX, |slots| slots.saturating_sub(out));
        let starts = self.starts.level(now).floor();
        if slots == 0 {
            return Err(None);
        }
        if starts < 1.0 {
            return Err(Some(self.starts.next(now)));
        }
        let fuel = self.fuel.level(now) - reserved.fuel;
        if fuel <= 0.0 {
            return Err(Some(self.fuel.when(reserved.fuel + task.fuel.min(1.0), now)));
        }
        let nanos = self.budget.map_or(f64::INFINITY, |left| left - reserved.nanos);
        if nanos <= 0.0 {
            return Err(None);
        }
        // The last one may take more than there is left: that is a debt.
        let fit = |left: f64, each: f64| if each > 0.0 { (left / each).ceil() } else { f64::INFINITY };
        Ok(slots.min(whole(starts.min(fit(fuel, task.fuel)).min(fit(nanos, task.nanos)))))
    }
}

/// Who takes no turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Parked {
    Tenant(TenantId),
    Lane(LaneId),
}

/// Until when somebody is parked, if that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parking(Option<Instant>);

/// Who is at a limit, and until when, if that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AtLimit {
    pub(super) who: Parked,
    pub(super) until: Option<Instant>,
}

impl Scheduler {
    /// Other bounds for a tenant or a lane from now on.
    pub(super) fn bound(&mut self, who: Parked, bounds: Bounds, now: Instant) {
        let allowed = match who {
            Parked::Tenant(tenant) => self.tenants.get_mut(&tenant).map(|owner| &mut owner.allowed),
            Parked::Lane(lane) => self.lanes.get_mut(&lane).map(|known| &mut known.allowed),
        };
        let Some(allowed) = allowed else { return };
        allowed.slots = bounds.slots;
        allowed.starts.set(bounds.starts, now);
        allowed.fuel.set(bounds.fuel, now);
        self.unpark(who);
    }

    /// What is left of a tenant's budget on this host.
    pub(super) fn set_budget(&mut self, tenant: TenantId, left: Option<Duration>) {
        if let Some(owner) = self.tenants.get_mut(&tenant) {
            owner.allowed.budget = left.map(nanos);
            self.unpark(Parked::Tenant(tenant));
        }
    }

    /// How many tasks a lane may start, or who is at a limit.
    pub(super) fn room_for(lane: LaneId, known: &Lane, owner: &Tenant, now: Instant) -> Result<u32, AtLimit> {
        let task = owner.allowed.task(&known.cost);
        let at_limit = |who| move |until| AtLimit { who, until };
        let of_tenant = owner.allowed.room(owner.out.slots, owner.reserved, task, now);
        let of_lane = known.allowed.room(known.out.slots, Reserved::default(), Reserved::default(), now);
        let of_tenant = of_tenant.map_err(at_limit(Parked::Tenant(known.tenant)))?;
        Ok(of_tenant.min(of_lane.map_err(at_limit(Parked::Lane(lane)))?))
    }

    /// So many tasks of a lane are about to start.
    pub(super) fn start_some(&mut self, lane: LaneId, slots: u32, now: Instant) {
        let Some(known) = self.lanes.get_mut(&lane) else { return };
        let Some(owner) = self.tenants.get_mut(&known.tenant) else { return };
        let task = owner.allowed.task(&known.cost);
        let all = task.parts(slots, 1);
        known.allowed.starts.take(f64::from(slots), now);
        owner.allowed.starts.take(f64::from(slots), now);
        known.reserved.add(all);
        owner.reserved.add(all);
    }

    /// Slots of a lane have come back, `before` were out, and so many of them were used. What was reserved for them is
    /// free, and so is what they did not use.
    pub(super) fn end_some(&mut self, lane: LaneId, slots: u32, before: u32, ran: u32, now: Instant) {
        let Some(known) = self.lanes.get_mut(&lane) else { return };
        let Some(owner) = self.tenants.get_mut(&known.tenant) else { return };
        let Reserved { fuel, nanos } = known.reserved.parts(slots, before);
        let back = Reserved { fuel: -fuel, nanos: -nanos };
        known.reserved.add(back);
        owner.reserved.add(back);
        let unused = -f64::from(slots.saturating_sub(ran));
        known.allowed.starts.take(unused, now);
        owner.allowed.starts.take(unused, now);
        let tenant = known.tenant;
        self.unpark(Parked::Tenant(tenant));
        self.unpark(Parked::Lane(lane));
    }

    /// Guests of a lane have spent fuel, and time on processors.
    pub(super) fn spend(&mut self, lane: LaneId, fuel: u64, computed: Duration, now: Instant) {
        let Some(known) = self.lanes.get(&lane) else { return };
        let Some(owner) = self.tenants.get_mut(&known.tenant) else { return };
        owner.allowed.fuel.take(float(fuel), now);
        owner.allowed.budget = owner.allowed.budget.map(|left| left - nanos(computed));
        owner.computed += computed;
    }

    /// Takes somebody who is at a limit out of the turns.
    pub(super) fn park(&mut self, AtLimit { who, until }: AtLimit, now: Instant) {
        let parking = Some(Parking(until));
        let waiting: Vec<LaneId> = match who {
            Parked::Tenant(tenant) => {
                self.change_tenant(tenant, |owner| owner.parked = parking);
                self.turns.leave(tenant);
                self.tenants.get(&tenant).map(|owner| owner.lanes.waiting().collect()).unwrap_or_default()
            }
            Parked::Lane(lane) => {
                self.change(lane, |known| known.parked = parking);
                if let Some(known) = self.lanes.get(&lane)
                    && let Some(owner) = self.tenants.get_mut(&known.tenant)
                {
                    owner.lanes.leave(lane);
                    if owner.lanes.is_quiet() {
                        self.turns.leave(known.tenant);
                    }
                }
                vec![lane]
            }
        };
        self.parked.extend(until.map(|until| (until, who)));
        for lane in waiting {
            self.refuse_if_held(lane, now);
        }
    }

    /// Lets somebody take turns again.
    pub(super) fn unpark(&mut self, who: Parked) {
        let parking = match who {
            Parked::Tenant(tenant) => self.tenants.get(&tenant).and_then(|owner| owner.parked),
            Parked::Lane(lane) => self.lanes.get(&lane).and_then(|known| known.parked),
        };
        let Some(Parking(until)) = parking else { return };
        if let Some(until) = until {
            self.parked.remove(&(until, who));
        }
        let tenant = match who {
            Parked::Tenant(tenant) => {
                self.change_tenant(tenant, |owner| owner.parked = None);
                tenant
            }
            Parked::Lane(lane) => {
                self.change(lane, |known| known.parked = None);
                let Some(known) = self.lanes.get(&lane) else { return };
                if known.since.is_some()
                    && let Some(owner) = self.tenants.get_mut(&known.tenant)
                {
                    owner.lanes.wait(lane);
                }
                known.tenant
            }
        };
        if self.tenants.get(&tenant).is_some_and(|owner| owner.parked.is_none() && !owner.lanes.is_quiet()) {
            self.turns.wait(tenant);
        }
    }

    /// Lets those take turns again whose time has come.
    pub(super) fn unpark_due(&mut self, now: Instant) {
        while let Some((until, who)) = self.parked.first().copied()
            && until <= now
        {
            self.parked.pop_first();
            self.unpark(who);
        }
    }

    /// A lane that holds a message is told when that will be for long: another host may be able to start it.
    pub(super) fn refuse_if_held(&mut self, lane: LaneId, now: Instant) {
        let Some(known) = self.lanes.get(&lane).filter(|known| known.holding && known.wanted > 0) else {
            return;
        };
        let owner = self.tenants.get(&known.tenant).and_then(|owner| owner.parked);
        let is_long = |Parking(until): Parking| until.is_none_or(|until| until > now + HOLD);
        if [known.parked, owner].into_iter().flatten().any(is_long) {
            self.leave(lane);
            self.change(lane, |known| (known.wanted, known.holding) = (0, false));
            self.refused.push_back(lane);
        }
    }
}

/// Lanes that were told to wait without a message.
pub(super) type Refused = VecDeque<LaneId>;

fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

#[expect(clippy::cast_precision_loss, reason = "an account of billions minds no unit")]
fn float(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float is cut to what fits")]
fn whole(number: f64) -> u32 {
    number as u32
}

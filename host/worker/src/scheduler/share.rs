//! What there is for a lane that waits: of slots, of memory, of processors.

use std::time::Instant;

use super::account::{Lane, Tenant};
use super::allowance::AtLimit;
use super::{AT_ONCE, BATCH_WORTH, Capacity, KEPT_FREE, LINGER, LaneId, Scheduler};

/// What there is for a lane.
pub(super) enum Share {
    /// So many slots, and the memory of so many guests.
    Now(u32, u32),
    /// A few slots are free, and more will be before long.
    HeldBack,
    /// The processors have enough to do for now.
    Busy,
    /// It, or its tenant, is at a limit.
    AtLimit(AtLimit),
    /// No memory, or no slots but those that are kept for others.
    Nothing,
}

/// How a lane is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// In its turn.
    InTurn,
    /// Because it has waited for too long.
    Aged,
}

/// What a tenant has a claim to, beside all others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It has nothing, and has had no more than others.
    Fresh,
    /// It has something, and has had less than others.
    Behind,
    /// It has had more than somebody else who wants some.
    InDebt,
}

impl Standing {
    /// So many guests may be busy at once for each core until this one has to wait: whoever has less of a claim waits
    /// sooner, so that there is always room for those who have more.
    fn busy_at_once(self) -> f64 {
        match self {
            Self::Fresh => 2.5 * AT_ONCE,
            Self::Behind => 2.0 * AT_ONCE,
            Self::InDebt => AT_ONCE,
        }
    }
}

impl Scheduler {
    /// What there is for a lane that waits.
    pub(super) fn share_for(&self, lane: LaneId, look: Look, now: Instant) -> Share {
        let Some(known) = self.lanes.get(&lane) else { return Share::Nothing };
        let Some(owner) = self.tenants.get(&known.tenant) else { return Share::Nothing };
        let wanted = match Self::room_for(lane, known, owner, now) {
            Ok(room) => known.wanted.min(room),
            Err(at_limit) => return Share::AtLimit(at_limit),
        };
        let Capacity { slots: all, memory, cores } = self.capacity;
        let standing = self.standing(known, owner);
        let has_some = standing != Standing::Fresh;
        let guests_of = |memory: u64| u32::try_from(memory / known.memory.max(1)).unwrap_or(u32::MAX);
        let (kept, kept_memory) = self.kept_from(known, has_some);
        let computing = match look {
            Look::InTurn => self.room_to_compute(known, owner, standing),
            Look::Aged => cores,
        };
        let fit = guests_of(self.free.memory.saturating_sub(kept_memory)).min(computing);
        let wanted = wanted.min(self.room_in_crowd(lane, known, owner, now));
        if wanted == 0 {
            return Share::Nothing;
        }
        let share = self.entitled(owner).max(known.ahead.min(self.quantum)).max(1).min(wanted);
        let slots = share.min(self.free.slots.saturating_sub(kept)).min(fit.saturating_mul(known.ahead));
        if slots == 0 {
            return if computing == 0 { Share::Busy } else { Share::Nothing };
        }
        // A quarter of what the lane could hold at once is a batch worth a request.
        let at_once = whole(AT_ONCE * f64::from(cores) / known.cost.busy()).max(1);
        let most = guests_of(memory).min(at_once).saturating_mul(known.ahead).min(all);
        let worth = (most / 4).clamp(1, BATCH_WORTH).min(share);
        // What is in hand goes at once, and asks for more afterwards.
        let slots = if known.holding && slots < worth { 1 } else { slots };
        let guests = slots.div_ceil(known.ahead).max(slots.min(cores)).min(fit);
        if slots < worth && !known.is_short() && !self.has_lingered(now) {
            return Share::HeldBack;
        }
        Share::Now(slots, guests)
    }

    fn standing(&self, known: &Lane, owner: &Tenant) -> Standing {
        match (self.turns.is_in_debt(known.tenant), owner.out.slots) {
            (true, _) => Standing::InDebt,
            (false, 0) => Standing::Fresh,
            // What its tasks cost is charged when it is known, and until then they are no more than a guess.
            (false, _) if !known.cost.is_known() => Standing::InDebt,
            (false, _) => Standing::Behind,
        }
    }

    /// Slots and memory that are not for this lane, because somebody may come who has nothing.
    fn kept_from(&self, known: &Lane, has_some: bool) -> (u32, u64) {
        let Capacity { slots, memory, .. } = self.capacity;
        let beside_others = has_some && self.tenants.len() > 1;
        let floods = known.out.slots > 0 && known.ahead > 1;
        let kept = if beside_others || floods { slots / KEPT_FREE } else { 0 };
        let part = memory / u64::from(KEPT_FREE);
        // Less than one guest's is of no use to anybody.
        (kept, if beside_others && part >= known.memory { part } else { 0 })
    }

    /// The slots that a lane has a claim to by its tenant's weight, among those who want or hold some.
    fn entitled(&self, owner: &Tenant) -> u32 {
        let all = self.capacity.slots;
        let of_tenant = u64::from(all) * u64::from(owner.weight) / self.active_weight.max(1);
        u32::try_from(of_tenant / u64::from(owner.waiting.max(1))).unwrap_or(all)
    }

    /// How many more guests of a lane may compute beside those that do.
    ///
    /// More than the processors can run at once make each other wait, and a task that is over in no time waits for all
    /// of them. Whoever has nothing gets some all the same if it is known to be short, so that it shares the processors
    /// with those who came before instead of waiting for them.
    fn room_to_compute(&self, known: &Lane, owner: &Tenant, standing: Standing) -> u32 {
        let (cores, busy) = (f64::from(self.capacity.cores), known.cost.busy());
        let mut room = (standing.busy_at_once() * cores - self.load) / busy;
        if standing == Standing::Fresh && known.cost.is_short() {
            room = room.max(cores);
        }
        if owner.out.slots == 0 {
            // What it brings is not known to anybody else yet, and they are to have their turns, too.
            room = room.min(cores / busy);
        }
        whole(room)
    }

    /// Whether slots have been held back for long enough.
    fn has_lingered(&self, now: Instant) -> bool {
        self.held_back_since.is_some_and(|since| now.saturating_duration_since(since) >= LINGER)
    }
}

/// The whole part of a number; none of a negative one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float is cut to what fits")]
fn whole(number: f64) -> u32 {
    number as u32
}

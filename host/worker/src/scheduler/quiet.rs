//! What others do for lanes that have little to do: those of short tasks leave room, and guests leave a processor free.
//!
//! A lane has little to do if it held nothing and wanted no more than a few tasks whenever it got some, for a while.
//!
//! Its tasks *precede* others while they are under way, if they are short. A processor that is kept free for them is kept
//! from others, and so a tenant's tasks precede for as much of the time as its share of the processors is of one: what it
//! could compute in that time is its own.

use std::time::{Duration, Instant};

use super::account::{Lane, Tenant};
use super::{FEW, Flow, LaneId, Scheduler};

/// So many slots for each core are then enough for a tenant with short tasks: those under way are all before the other's,
/// in the host and in the server.
const CROWD: u32 = 16;

/// A lane that had no more than a few tasks for so long has little to do, and will be thought to for as long again.
const QUIET: Duration = Duration::from_secs(1);

/// A task precedes others for no longer than this; a short one is over by then, and its result stored.
pub const PRECEDES_FOR: Duration = Duration::from_millis(5);

/// Seconds that a tenant whose tasks did not precede for a while has saved.
const SAVED: f64 = 0.05;

/// What is known of a lane that has little to do, or has not.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    /// When it got something last and wanted more than a few.
    crowded_at: Option<Instant>,
    /// Since when its tasks precede others.
    precedes_since: Option<Instant>,
}

impl Scheduler {
    /// Looks at a lane that is about to get something: whether its tasks precede others.
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    pub(super) fn look_for_quiet(&mut self, lane: LaneId, now: Instant) -> bool {
        let Some(known) = self.lanes.get_mut(&lane) else { return false };
        let is_few = known.wanted <= FEW;
        let was_crowded = known.quiet.crowded_at.is_some_and(|at| now.saturating_duration_since(at) < QUIET);
        if !is_few {
            known.quiet.crowded_at = Some(now);
        }
        if !is_few || was_crowded || known.out.slots > 0 {
            return false;
        }
        self.quiet = Some((lane, now));
        if !known.cost.is_short() {
            return false;
        }
        let Some(owner) = self.tenants.get_mut(&known.tenant) else { return false };
        // It may hold something already, and else it will.
        let others = self.active_weight - if owner.is_active() { u64::from(owner.weight) } else { 0 };
        let share = f64::from(owner.weight) / (u64::from(owner.weight) + others) as f64;
        let per_second = (share * f64::from(self.capacity.cores)).min(1.0);
        owner.precedence.set(Some(Flow { per_second, burst: SAVED }), now);
        let precedes = owner.precedence.level(now) >= PRECEDES_FOR.as_secs_f64();
        if precedes {
            known.quiet.precedes_since = Some(now);
        }
        precedes
    }

    /// Counts the time for which a lane's tasks have preceded others, if they did and have all ended.
    pub(super) fn end_precedence(&mut self, lane: LaneId, now: Instant) {
        let Some(known) = self.lanes.get_mut(&lane).filter(|known| known.out.slots == 0) else { return };
        let Some(since) = known.quiet.precedes_since.take() else { return };
        if let Some(owner) = self.tenants.get_mut(&known.tenant) {
            let took = now.saturating_duration_since(since).min(PRECEDES_FOR);
            owner.precedence.take(took.as_secs_f64(), now);
        }
    }

    /// How many more short tasks a lane may hold beside those that have little to do. Half of what there is is worth a
    /// request; less is not, unless it has nothing.
    pub(super) fn room_in_crowd(&self, lane: LaneId, known: &Lane, owner: &Tenant, now: Instant) -> u32 {
        let is_beside =
            |(quiet, at): (LaneId, Instant)| quiet != lane && now.saturating_duration_since(at) < QUIET;
        if known.ahead == 1 || !self.quiet.is_some_and(is_beside) {
            return u32::MAX;
        }
        let most = CROWD.saturating_mul(self.capacity.cores);
        match (most.saturating_sub(owner.out.slots), known.out.slots) {
            (room, 0) => room.max(FEW),
            (room, _) if room < most / 2 => 0,
            (room, _) => room,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{
        MIB, flooding, give_back, grants, opened, short, slots, sum, tell, with_cores,
    };
    use super::super::{Event, Grant, Work};
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A lane gets one slot.
    fn one(scheduler: &mut Scheduler, lane: u64, now: Instant) -> Grant {
        scheduler.handle(short(lane, 1), now);
        let given = grants(scheduler, now);
        assert_eq!(slots(&given), [(lane, 1)]);
        given[0]
    }

    /// The task of a grant has computed for so long, and its result is stored.
    fn done(scheduler: &mut Scheduler, grant: Grant, computed: Duration, now: Instant) {
        let Grant { lane, slots, memory, .. } = grant;
        scheduler.handle(Event::Computed { lane, work: Work { computed, ready: computed, fuel: 0 } }, now);
        scheduler.handle(Event::Settled { lane, slots, ran: slots }, now);
        scheduler.handle(Event::Ended { lane, memory }, now);
    }

    #[test]
    fn a_flood_of_short_tasks_makes_room_for_who_has_little_to_do_and_only_then() {
        let mut scheduler = with_cores(256, 256 * MIB, 2, 2);
        let now = Instant::now();
        let alone = flooding(&mut scheduler, now);
        assert!(sum(&alone) > 4 * CROWD, "{alone:?}");
        tell(&mut scheduler, short(1, 1));
        let quiet = grants(&mut scheduler, now);
        assert_eq!(slots(&quiet), [(1, 1)]);
        for grant in alone.into_iter().chain(quiet) {
            give_back(&mut scheduler, grant);
        }
        let beside = flooding(&mut scheduler, now);
        assert!((CROWD..=2 * CROWD).contains(&sum(&beside)), "{beside:?}");
        let later = flooding(&mut scheduler, now + QUIET);
        assert!(sum(&later) > 2 * CROWD, "the other has nothing to do any more: {later:?}");
    }

    #[test]
    fn a_burst_does_not_make_room_for_itself() {
        let mut scheduler = with_cores(256, 256 * MIB, 2, 1);
        let now = Instant::now();
        tell(&mut scheduler, short(0, 1));
        assert_eq!(slots(&grants(&mut scheduler, now)), [(0, 1)]);
        assert!(sum(&flooding(&mut scheduler, now)) > 4 * CROWD);
    }

    #[test]
    fn short_tasks_of_who_has_little_to_do_precede_others() {
        let mut scheduler = with_cores(256, 256 * MIB, 64, 3);
        let now = Instant::now();
        tell(&mut scheduler, short(0, 50));
        assert!(grants(&mut scheduler, now).iter().all(|grant| !grant.precedes), "it wants many");
        for (lane, computed, precedes) in [(1, MS / 50, true), (2, 50 * MS, false)] {
            let first = one(&mut scheduler, lane, now);
            assert!(!first.precedes, "nobody knows that it is short");
            done(&mut scheduler, first, computed, now);
            assert_eq!(one(&mut scheduler, lane, now).precedes, precedes, "tasks of {computed:?}");
        }
    }

    #[test]
    fn who_holds_some_already_precedes_nobody() {
        let mut scheduler = with_cores(256, 256 * MIB, 2, 2);
        let now = Instant::now();
        let first = one(&mut scheduler, 1, now);
        done(&mut scheduler, first, MS / 50, now);
        let second = one(&mut scheduler, 1, now);
        assert!(second.precedes && !one(&mut scheduler, 1, now).precedes);
    }

    /// The part of the time for which a tenant precedes as many others, that always has one task under way.
    fn preceded(others: u64) -> f64 {
        let mut scheduler = with_cores(256, 256 * MIB, 2, 1);
        let mut now = Instant::now();
        for other in 1..=others {
            // For such a guest there will never be room.
            scheduler.handle(opened(other, 1_024 * MIB), now);
            scheduler.handle(short(other, 1_000), now);
        }
        let mut times = 0;
        for _ in 0..10_000 {
            let grant = one(&mut scheduler, 0, now);
            now += MS;
            times += u32::from(grant.precedes);
            done(&mut scheduler, grant, MS / 50, now);
        }
        f64::from(times) / 10_000.0
    }

    #[test]
    fn a_tenant_precedes_for_its_share_of_the_time() {
        assert!(preceded(1) > 0.99, "half of two processors is one: {}", preceded(1));
        let of_ten = preceded(9);
        assert!((0.19..0.22).contains(&of_ten), "a tenth of two is a fifth of one: {of_ten}");
    }
}

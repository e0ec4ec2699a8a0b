//! What limits do: whoever has one keeps it, and nobody else notices.

use std::time::{Duration, Instant};

use super::model::{Host, Tenant};
use super::tests::{MIB, give_back, grants, slots, tell, waiting, with_lanes};
use super::*;

const CAPACITY: Capacity = Capacity { slots: 64, memory: 64 * MIB, cores: 4 };
const SECONDS: u64 = 20;

fn starts(per_second: f64, burst: f64) -> Bounds {
    Bounds { starts: Some(Flow { per_second, burst }), ..Bounds::default() }
}

fn fuel(per_second: f64, burst: f64) -> Bounds {
    Bounds { fuel: Some(Flow { per_second, burst }), ..Bounds::default() }
}

fn bounded(tenant: u64, bounds: Bounds) -> Event {
    Event::TenantBounded { tenant: TenantId(tenant), bounds }
}

fn settled(lane: u64, slots: u32, ran: u32) -> Event {
    Event::Settled { lane: LaneId(lane), slots, ran }
}

fn holding(lane: u64) -> Event {
    Event::Waiting { lane: LaneId(lane), wanted: 1, ahead: 1, holding: true }
}

fn computed(lane: u64, millis: u64, fuel: u64) -> Event {
    let computed = Duration::from_millis(millis);
    Event::Computed { lane: LaneId(lane), work: Work { computed, ready: computed, fuel } }
}

/// How many tasks a tenant starts at each of these moments, in milliseconds, when it always wants more.
fn started(scheduler: &mut Scheduler, start: Instant, moments: &[u64]) -> Vec<u32> {
    let mut started = Vec::new();
    for moment in moments {
        let now = start + Duration::from_millis(*moment);
        scheduler.handle(waiting(0, 1000), now);
        let granted = grants(scheduler, now);
        started.push(granted.iter().map(|grant| grant.slots).sum());
        for grant in granted {
            scheduler.handle(settled(0, grant.slots, grant.slots), now);
            for _ in 0..grant.guests {
                scheduler.handle(Event::Ended { lane: LaneId(0), memory: grant.memory }, now);
            }
        }
    }
    started
}

#[test]
fn starts_keep_to_a_rate_and_a_burst() {
    let mut scheduler = with_lanes(64, 64 * MIB, 1);
    let start = Instant::now();
    scheduler.handle(bounded(0, starts(100.0, 10.0)), start);
    let had = started(&mut scheduler, start, &[0, 1, 21, 1_000, 1_001, 1_011, 1_022]);
    assert_eq!(had, [10, 0, 2, 10, 0, 0, 2]);
}

#[test]
fn a_lane_has_a_rate_of_its_own() {
    let mut scheduler = with_lanes(64, 64 * MIB, 1);
    let start = Instant::now();
    let bounds = starts(1.0, 3.0);
    scheduler.handle(Event::LaneBounded { lane: LaneId(0), bounds }, start);
    assert_eq!(started(&mut scheduler, start, &[0, 500, 1_100, 60_000]), [3, 0, 1, 3]);
}

#[test]
fn who_is_at_a_limit_is_asked_again_when_there_is_more_and_not_before() {
    let mut scheduler = with_lanes(64, 64 * MIB, 1);
    let start = Instant::now();
    scheduler.handle(bounded(0, starts(0.5, 1.0)), start);
    assert_eq!(started(&mut scheduler, start, &[0, 1]), [1, 0]);
    let wake = scheduler.wake_at().expect("it waits for a token");
    assert!(wake > start + Duration::from_millis(1_990) && wake <= start + Duration::from_millis(2_010));
    assert_eq!(slots(&grants(&mut scheduler, wake)), [(0, 1)]);
}

#[test]
fn what_was_not_used_may_be_started_again() {
    let mut scheduler = with_lanes(64, 64 * MIB, 1);
    let now = Instant::now();
    scheduler.handle(bounded(0, starts(0.001, 8.0)), now);
    scheduler.handle(waiting(0, 8), now);
    assert_eq!(slots(&grants(&mut scheduler, now)), [(0, 8)]);
    scheduler.handle(settled(0, 8, 3), now);
    scheduler.handle(waiting(0, 8), now);
    assert_eq!(slots(&grants(&mut scheduler, now)), [(0, 5)]);
}

#[test]
fn a_tenant_holds_no_more_tasks_than_it_may_in_all_its_lanes() {
    let mut scheduler = with_lanes(64, 64 * MIB, 1);
    let now = Instant::now();
    let terms = Terms { tenant_weight: 1, weight: 1, memory: MIB, component: None };
    scheduler.handle(Event::Opened { lane: LaneId(9), tenant: TenantId(0), terms }, now);
    scheduler.handle(bounded(0, Bounds { slots: Some(5), ..Bounds::default() }), now);
    scheduler.handle(waiting(0, 4), now);
    scheduler.handle(waiting(9, 4), now);
    let held = grants(&mut scheduler, now);
    assert_eq!(held.iter().map(|grant| grant.slots).sum::<u32>(), 5);
    assert_eq!(scheduler.wake_at(), None, "nobody knows when");
    let lane = held[0].lane.0;
    let others = if lane == 0 { 9 } else { 0 };
    scheduler.handle(settled(lane, 2, 2), now);
    scheduler.handle(waiting(others, 4), now);
    let more = grants(&mut scheduler, now);
    assert_eq!(more.iter().map(|grant| grant.slots).sum::<u32>(), 2);
}

#[test]
fn fuel_is_spent_to_the_last_task_and_paid_back() {
    let mut scheduler = with_lanes(64, 64 * MIB, 1);
    let start = Instant::now();
    let seconds = |seconds| start + Duration::from_secs(seconds);
    scheduler.handle(bounded(0, fuel(100.0, 6_000.0)), start);
    // Nothing is known: a few are tried.
    scheduler.handle(waiting(0, 64), start);
    let tried: u32 = grants(&mut scheduler, start).iter().map(|grant| grant.slots).sum();
    assert_eq!(tried, 4);
    scheduler.handle(computed(0, 1, 4_000), start);
    scheduler.handle(settled(0, tried, tried), start);
    // 2,000 are left, and a task takes 1,000.
    scheduler.handle(waiting(0, 64), start);
    let next: u32 = grants(&mut scheduler, start).iter().map(|grant| grant.slots).sum();
    assert_eq!(next, 2);
    // They take more than they were thought to: a debt of 2,000, paid off in 20 s.
    scheduler.handle(computed(0, 1, 4_000), start);
    scheduler.handle(settled(0, next, next), start);
    scheduler.handle(waiting(0, 64), start);
    assert_eq!(slots(&grants(&mut scheduler, seconds(19))), []);
    assert_eq!(slots(&grants(&mut scheduler, seconds(21))), [(0, 1)]);
}

#[test]
fn a_budget_is_reserved_and_returned() {
    let mut scheduler = with_lanes(64, 64 * MIB, 1);
    let now = Instant::now();
    let budget = |millis| Event::Budget { tenant: TenantId(0), left: Some(Duration::from_millis(millis)) };
    scheduler.handle(budget(100), now);
    scheduler.handle(waiting(0, 64), now);
    let tried: u32 = grants(&mut scheduler, now).iter().map(|grant| grant.slots).sum();
    assert_eq!(tried, 4, "each may take a quarter, as far as anybody knows");
    scheduler.handle(computed(0, 40, 0), now);
    scheduler.handle(settled(0, tried, tried), now);
    scheduler.handle(waiting(0, 64), now);
    assert_eq!(slots(&grants(&mut scheduler, now)), [(0, 6)], "60 ms are left, and a task takes 10");
    scheduler.handle(computed(0, 60, 0), now);
    scheduler.handle(settled(0, 6, 6), now);
    scheduler.handle(waiting(0, 64), now);
    assert_eq!(slots(&grants(&mut scheduler, now + Duration::from_hours(1))), [], "nothing comes by itself");
    scheduler.handle(budget(10), now);
    assert_eq!(slots(&grants(&mut scheduler, now)), [(0, 1)]);
    assert_eq!(scheduler.computed(TenantId(0)), Duration::from_millis(100));
}

#[test]
fn a_message_that_would_wait_for_long_goes_back_and_one_that_would_not_stays() {
    let mut scheduler = with_lanes(64, 64 * MIB, 2);
    let now = Instant::now();
    scheduler.handle(bounded(0, starts(0.1, 1.0)), now);
    scheduler.handle(bounded(1, starts(10.0, 1.0)), now);
    for lane in 0..2 {
        scheduler.handle(holding(lane), now);
    }
    assert_eq!(slots(&grants(&mut scheduler, now)), [(0, 1), (1, 1)]);
    assert_eq!(scheduler.next_refused(), None);
    for lane in 0..2 {
        scheduler.handle(holding(lane), now);
    }
    assert_eq!(slots(&grants(&mut scheduler, now)), []);
    assert_eq!((scheduler.next_refused(), scheduler.next_refused()), (Some(LaneId(0)), None));
    // Said again without a message, it waits for its turn; with one, it is told at once.
    scheduler.handle(waiting(0, 1), now);
    assert_eq!(scheduler.next_refused(), None);
    scheduler.handle(holding(0), now);
    assert_eq!(scheduler.next_refused(), Some(LaneId(0)));
}

#[test]
fn a_limit_that_is_lifted_lets_everybody_go_on() {
    let mut scheduler = with_lanes(64, 64 * MIB, 1);
    let now = Instant::now();
    scheduler.handle(bounded(0, Bounds { slots: Some(0), ..Bounds::default() }), now);
    scheduler.handle(waiting(0, 3), now);
    assert_eq!(slots(&grants(&mut scheduler, now)), []);
    scheduler.handle(bounded(0, Bounds::default()), now);
    assert_eq!(slots(&grants(&mut scheduler, now)), [(0, 3)]);
}

#[test]
fn a_lane_that_is_at_a_limit_can_be_closed_and_opened_again() {
    let mut scheduler = with_lanes(64, 64 * MIB, 1);
    let now = Instant::now();
    scheduler.handle(bounded(0, starts(0.001, 1.0)), now);
    assert_eq!(started(&mut scheduler, now, &[0, 1]), [1, 0]);
    tell(&mut scheduler, Event::Closed { lane: LaneId(0) });
    assert_eq!((scheduler.wake_at(), grants(&mut scheduler, now)), (None, Vec::new()));
    tell(&mut scheduler, super::tests::opened(0, MIB));
    tell(&mut scheduler, waiting(0, 2));
    let again = grants(&mut scheduler, Instant::now());
    assert_eq!(slots(&again), [(0, 2)]);
    again.into_iter().for_each(|grant| give_back(&mut scheduler, grant));
}

/// A flood with bounds, beside one without and a quiet tenant: what the three had.
fn beside(bounds: Bounds) -> Vec<super::model::Had> {
    let tenants = [Tenant::flood(1, 2_000, 0), Tenant::flood(1, 2_000, 0), Tenant::quiet(1_000, 50_000)];
    let mut host = Host::new(CAPACITY, &tenants, 7);
    host.tell(bounded(0, bounds));
    host.run(2, SECONDS)
}

#[test]
fn whoever_is_at_a_limit_leaves_all_the_rest_to_others() {
    let free = beside(Bounds::default());
    let all = free[0].computed + free[1].computed;
    for (bounds, most) in [
        (starts(50.0, 5.0), Some(50 * SECONDS + 5)),
        // A task spends as much fuel as it computes microseconds.
        (fuel(100_000.0, 6_000_000.0), None),
        (Bounds { slots: Some(1), ..Bounds::default() }, None),
        (Bounds { slots: Some(0), ..Bounds::default() }, Some(0)),
    ] {
        let had = beside(bounds);
        assert!(most.is_none_or(|most| had[0].tasks <= most), "{bounds:?}: {} tasks", had[0].tasks);
        assert!(had[0].computed < free[0].computed, "{bounds:?}");
        let both = had[0].computed + had[1].computed;
        assert!(both * 100 >= all * 97, "{bounds:?}: {both} of {all} is computed");
        assert!(had[2].p99() <= free[2].p99() + 2_000, "{bounds:?}: {} {}", had[2].p99(), free[2].p99());
        assert!(had[2].computed * 100 >= free[2].computed * 95, "{bounds:?}");
    }
}

#[test]
fn a_thousand_tenants_at_their_limits_keep_nobody_waiting() {
    let mut tenants = vec![Tenant::flood(1, 1_000, 0); 1_000];
    tenants.push(Tenant::flood(1, 1_000, 0));
    let mut host = Host::new(CAPACITY, &tenants, 7);
    for tenant in 0..1_000 {
        host.tell(bounded(tenant, starts(0.01, 1.0)));
    }
    let had = host.run(2, 5);
    // Four cores; what is missing is fetched meanwhile.
    assert!(had[1_000].computed > 4 * 5 * 1_000_000 * 8 / 10, "{}", had[1_000].computed);
}

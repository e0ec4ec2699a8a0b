use std::collections::BTreeMap;

use proptest::prelude::*;
use saggar_model::Digest;

use super::*;

pub(super) const MIB: u64 = 1 << 20;

pub(super) fn tell(scheduler: &mut Scheduler, event: Event) {
    scheduler.handle(event, Instant::now());
}

pub(super) fn waiting(lane: u64, wanted: u32) -> Event {
    Event::Waiting { lane: LaneId(lane), wanted, ahead: 1, holding: false }
}

pub(super) fn opened(lane: u64, memory: u64) -> Event {
    let terms = Terms { tenant_weight: 1, weight: 1, memory, component: None };
    Event::Opened { lane: LaneId(lane), tenant: TenantId(lane), terms }
}

pub(super) fn with_lanes(slots: u32, memory: u64, lanes: u64) -> Scheduler {
    with_cores(slots, memory, 64, lanes)
}

/// Every lane has a tenant of its own.
pub(super) fn with_cores(slots: u32, memory: u64, cores: u32, lanes: u64) -> Scheduler {
    let mut scheduler = Scheduler::new(Capacity { slots, memory, cores });
    for lane in 0..lanes {
        tell(&mut scheduler, opened(lane, MIB));
    }
    scheduler
}

pub(super) fn grants(scheduler: &mut Scheduler, now: Instant) -> Vec<Grant> {
    std::iter::from_fn(|| scheduler.next(now)).collect()
}

/// Who got how many slots.
pub(super) fn slots(grants: &[Grant]) -> Vec<(u64, u32)> {
    grants.iter().map(|grant| (grant.lane.0, grant.slots)).collect()
}

pub(super) fn give_back(scheduler: &mut Scheduler, grant: Grant) {
    tell(scheduler, Event::Settled { lane: grant.lane, slots: grant.slots, ran: 0 });
    for _ in 0..grant.guests {
        tell(scheduler, Event::Ended { lane: grant.lane, memory: grant.memory });
    }
}

#[test]
fn a_lone_task_starts_at_once() {
    let mut scheduler = with_lanes(64, 64 * MIB, 1);
    tell(&mut scheduler, waiting(0, 1));
    assert_eq!(slots(&grants(&mut scheduler, Instant::now())), [(0, 1)]);
    assert_eq!(scheduler.held(), 1);
}

#[test]
fn lanes_that_wait_share_the_slots() {
    let mut scheduler = with_lanes(64, 64 * MIB, 4);
    for lane in 0..4 {
        tell(&mut scheduler, waiting(lane, 1000));
    }
    assert_eq!(slots(&grants(&mut scheduler, Instant::now())), [(0, 16), (1, 16), (2, 16), (3, 16)]);
}

pub(super) fn short(lane: u64, wanted: u32) -> Event {
    Event::Waiting { lane: LaneId(lane), wanted, ahead: 64, holding: wanted == 1 }
}

/// What a lane gets that asks again and again.
pub(super) fn flooding(scheduler: &mut Scheduler, now: Instant) -> Vec<Grant> {
    let mut given = Vec::new();
    for _ in 0..100 {
        tell(scheduler, short(0, 1000));
        given.extend(grants(scheduler, now));
    }
    given
}

pub(super) fn sum(grants: &[Grant]) -> u32 {
    grants.iter().map(|grant| grant.slots).sum()
}

#[test]
fn a_flood_leaves_slots_for_a_queue_that_was_quiet() {
    let mut scheduler = with_lanes(64, 64 * MIB, 2);
    let now = Instant::now();
    tell(&mut scheduler, short(0, 40));
    assert_eq!(slots(&grants(&mut scheduler, now)), [(0, 40)]);
    tell(&mut scheduler, short(0, 1000));
    assert_eq!(slots(&grants(&mut scheduler, now)), [(0, 20)]);
    tell(&mut scheduler, short(0, 1000));
    assert_eq!(slots(&grants(&mut scheduler, now + LINGER)), []);
    tell(&mut scheduler, short(1, 1));
    assert_eq!(slots(&grants(&mut scheduler, now)), [(1, 1)]);
}

#[test]
fn long_tasks_may_take_every_slot() {
    let mut scheduler = with_lanes(64, 64 * MIB, 1);
    for _ in 0..2 {
        tell(&mut scheduler, waiting(0, 32));
        assert_eq!(slots(&grants(&mut scheduler, Instant::now())), [(0, 32)]);
    }
}

#[test]
fn lanes_of_short_tasks_take_turns_that_are_worth_a_request() {
    let mut scheduler = with_lanes(64, 64 * MIB, 100);
    for lane in 0..100 {
        tell(&mut scheduler, Event::Waiting { lane: LaneId(lane), wanted: 1000, ahead: 64, holding: false });
    }
    let now = Instant::now();
    let first = grants(&mut scheduler, now);
    assert_eq!(slots(&first), [(0, 16), (1, 16), (2, 16), (3, 16)]);
    first.into_iter().for_each(|grant| give_back(&mut scheduler, grant));
    tell(&mut scheduler, Event::Waiting { lane: LaneId(0), wanted: 1000, ahead: 64, holding: false });
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
    tell(&mut scheduler, short(0, 60, false));
    let all = grants(&mut scheduler, now);
    assert_eq!(slots(&all), [(0, 60)]);
    tell(&mut scheduler, short(1, 1000, false));
    assert_eq!(grants(&mut scheduler, now), [], "four slots are no batch");
    tell(&mut scheduler, short(2, 1, false));
    tell(&mut scheduler, short(3, 1000, true));
    assert_eq!(slots(&grants(&mut scheduler, now)), [(2, 1), (3, 1)], "a lone task, and one in hand");
    tell(&mut scheduler, Event::Settled { lane: LaneId(0), slots: 14, ran: 0 });
    assert_eq!(slots(&grants(&mut scheduler, now)), [(1, 16)]);
}

#[test]
fn memory_bounds_the_guests_that_run_at_once() {
    let mut scheduler = with_lanes(64, 10 * MIB, 1);
    tell(&mut scheduler, waiting(0, 1000));
    let now = Instant::now();
    grants(&mut scheduler, now);
    tell(&mut scheduler, waiting(0, 1000));
    assert_eq!(grants(&mut scheduler, now + LINGER), []);
    assert_eq!(scheduler.held(), 10);
}

#[test]
fn short_tasks_run_one_after_another_in_the_memory_of_few_guests() {
    let mut scheduler = with_cores(64, 10 * MIB, 2, 1);
    let lane = LaneId(0);
    tell(&mut scheduler, Event::Waiting { lane, wanted: 1000, ahead: 32, holding: false });
    let now = Instant::now();
    let all = grants(&mut scheduler, now);
    assert_eq!(
        all,
        [Grant { lane, slots: 64, guests: 2, memory: MIB, precedes: false }],
        "one guest for each core"
    );
    // The rest of the memory is there for others.
    tell(&mut scheduler, opened(1, 8 * MIB));
    tell(&mut scheduler, Event::Settled { lane, slots: 1, ran: 0 });
    tell(&mut scheduler, waiting(1, 1));
    assert_eq!(slots(&grants(&mut scheduler, now)), [(1, 1)]);
}

#[test]
fn who_is_stuck_behind_a_long_task_gets_memory_before_others() {
    let mut scheduler = with_cores(64, 2 * MIB, 2, 2);
    let (lane, now) = (LaneId(0), Instant::now());
    tell(&mut scheduler, Event::Waiting { lane, wanted: 10, ahead: 32, holding: false });
    assert_eq!(
        grants(&mut scheduler, now),
        [Grant { lane, slots: 10, guests: 2, memory: MIB, precedes: false }]
    );
    tell(&mut scheduler, waiting(1, 1));
    tell(&mut scheduler, Event::Stuck { lane });
    assert_eq!(grants(&mut scheduler, now), []);
    tell(&mut scheduler, Event::Ended { lane, memory: MIB });
    assert_eq!(
        grants(&mut scheduler, now),
        [Grant { lane, slots: 0, guests: 1, memory: MIB, precedes: false }]
    );
    tell(&mut scheduler, Event::Ended { lane, memory: MIB });
    assert_eq!(slots(&grants(&mut scheduler, now)), [(1, 1)]);
}

#[test]
fn a_task_too_large_for_the_host_holds_up_nobody() {
    let mut scheduler = with_lanes(4, 4 * MIB, 2);
    tell(&mut scheduler, opened(0, 5 * MIB));
    tell(&mut scheduler, waiting(0, 1));
    tell(&mut scheduler, waiting(1, 1));
    assert_eq!(slots(&grants(&mut scheduler, Instant::now())), [(1, 1)]);
}

#[test]
fn few_free_slots_are_held_back_for_a_batch_but_not_for_long() {
    let mut scheduler = with_lanes(64, 64 * MIB, 1);
    let now = Instant::now();
    tell(&mut scheduler, waiting(0, 64));
    let all = grants(&mut scheduler, now);
    assert_eq!(slots(&all), [(0, 64)]);
    let one = Grant { slots: 1, guests: 1, ..all[0] };
    give_back(&mut scheduler, one);
    tell(&mut scheduler, waiting(0, 1000));
    assert_eq!(grants(&mut scheduler, now), []);
    assert_eq!(scheduler.wake_at(), Some(now + LINGER));
    assert_eq!(slots(&grants(&mut scheduler, now + LINGER)), [(0, 1)]);
    give_back(&mut scheduler, one);
    tell(&mut scheduler, Event::Waiting { lane: LaneId(0), wanted: 1000, ahead: 1, holding: true });
    assert_eq!(
        slots(&grants(&mut scheduler, now)),
        [(0, 1)],
        "a message that is held already waits for no batch"
    );
}

#[test]
fn a_closed_lane_gets_nothing_and_gives_back_what_it_holds() {
    let mut scheduler = with_lanes(2, 2 * MIB, 2);
    tell(&mut scheduler, waiting(0, 2));
    let now = Instant::now();
    let all = grants(&mut scheduler, now);
    assert_eq!(slots(&all), [(0, 2)]);
    tell(&mut scheduler, waiting(0, 2));
    tell(&mut scheduler, Event::Stuck { lane: LaneId(0) });
    tell(&mut scheduler, Event::Closed { lane: LaneId(0) });
    give_back(&mut scheduler, Grant { slots: 1, guests: 1, ..all[0] });
    assert_eq!(grants(&mut scheduler, now), []);
    tell(&mut scheduler, waiting(1, 1));
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
        let mut scheduler = with_cores(slots, memory * MIB, 400, 8);
        let mut out: Vec<Grant> = Vec::new();
        let mut now = Instant::now();
        let mut wanted: BTreeMap<u64, u32> = BTreeMap::new();
        for (lane, amount, ahead, finish) in steps {
            if finish && !out.is_empty() {
                let grant = out.swap_remove(amount as usize % out.len());
                give_back(&mut scheduler, grant);
            } else {
                let lane_id = LaneId(lane);
                tell(&mut scheduler, Event::Waiting { lane: lane_id, wanted: amount, ahead, holding: false });
                wanted.insert(lane, amount);
            }
            now += LINGER;
            // What is held back for a batch comes once the linger is over, to one lane after another.
            let mut quiet = 0;
            while quiet < 2 {
                quiet += 1;
                while let Some(grant) = scheduler.next(now) {
                    quiet = 0;
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
            let kept = u64::from(KEPT_FREE);
            let full = held >= slots - slots / KEPT_FREE || used + memory / kept + 1 >= memory;
            prop_assert!(full || wanted.values().all(|wanted| *wanted == 0), "slots are free and {wanted:?} wait");
        }
    }
}

/// A lane of a tenant of its own that runs this component.
fn runs(lane: u64, component: &str) -> Event {
    let component = Some(Digest::of(component.as_bytes()));
    let terms = Terms { tenant_weight: 1, weight: 1, memory: MIB, component };
    Event::Opened { lane: LaneId(lane), tenant: TenantId(lane), terms }
}

/// A task of a lane ends that has computed for so long.
fn runs_one(scheduler: &mut Scheduler, lane: u64, computed: Duration) {
    tell(scheduler, waiting(lane, 1));
    let grant = grants(scheduler, Instant::now()).pop().expect("a slot");
    assert_eq!(grant.lane, LaneId(lane));
    tell(scheduler, Event::Computed { lane: grant.lane, work: Work { computed, ..Work::default() } });
    tell(scheduler, Event::Settled { lane: grant.lane, slots: 1, ran: 1 });
    tell(scheduler, Event::Ended { lane: grant.lane, memory: grant.memory });
}

fn takes(scheduler: &Scheduler, lane: u64) -> u64 {
    scheduler.lanes[&LaneId(lane)].cost.takes()
}

#[test]
fn what_tasks_of_a_component_cost_is_known_of_other_queues_that_run_it() {
    let ms = Duration::from_millis(1);
    let mut scheduler = with_lanes(64, 64 * MIB, 0);
    for (lane, component) in [(0, "a"), (1, "a"), (2, "b")] {
        tell(&mut scheduler, runs(lane, component));
    }
    for _ in 0..10 {
        runs_one(&mut scheduler, 0, 8 * ms);
    }
    for lane in [1, 2] {
        assert_eq!(takes(&scheduler, lane), 0, "nobody has asked");
        tell(&mut scheduler, waiting(lane, 1));
    }
    assert_eq!((takes(&scheduler, 1), takes(&scheduler, 2)), (8_000_000, 0));
    grants(&mut scheduler, Instant::now()).into_iter().for_each(|grant| give_back(&mut scheduler, grant));
    runs_one(&mut scheduler, 1, 2 * ms);
    assert_eq!(takes(&scheduler, 1), 5_000_000, "one of its own counts as much as all of others");
}

#[test]
fn of_another_component_nothing_is_known() {
    let mut scheduler = with_lanes(64, 64 * MIB, 0);
    tell(&mut scheduler, runs(0, "a"));
    runs_one(&mut scheduler, 0, Duration::from_secs(1));
    tell(&mut scheduler, runs(0, "a"));
    assert_eq!(takes(&scheduler, 0), 1_000_000_000, "it is the same");
    tell(&mut scheduler, runs(0, "b"));
    tell(&mut scheduler, waiting(0, 1));
    assert_eq!(takes(&scheduler, 0), 0);
    assert_eq!(scheduler.components.count(), 1, "nobody runs the other");
    tell(&mut scheduler, waiting(0, 0));
    tell(&mut scheduler, Event::Closed { lane: LaneId(0) });
    assert_eq!(scheduler.components.count(), 0);
}

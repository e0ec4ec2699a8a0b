//! Who gets how much of a host, against what its weight says, and how long whoever is quiet waits beside those who are
//! not.

use proptest::prelude::*;

use super::model::{Had, Host, Tenant};
use super::{AGED, Capacity};

const HOST: Capacity = Capacity { slots: 256, memory: 64 << 20, cores: 2 };
const MIB: u64 = 1 << 20;
const MS: u64 = 1_000;
const SECOND: u64 = 1_000 * MS;

/// What the host itself does for a task counts, too, in microseconds.
const OWN_WORK: u64 = super::OWN_WORK / 1_000;

fn run(tenants: &[Tenant], seconds: u64) -> Vec<Had> {
    Host::new(HOST, tenants, 1).run(2, seconds)
}

/// What a tenant has used of the host: its part of the processors, and of the memory that its guests hold.
fn used(had: &Had) -> u64 {
    let guests = HOST.memory / MIB;
    (had.computed + had.tasks * OWN_WORK) / u64::from(HOST.cores) + had.occupied / guests
}

/// The share of each in what all of them used.
#[expect(clippy::cast_precision_loss, reason = "shares")]
fn shares(had: &[Had]) -> Vec<f64> {
    let used: Vec<u64> = had.iter().map(|had| had.computed + had.tasks * OWN_WORK).collect();
    let all: u64 = used.iter().sum();
    used.iter().map(|used| *used as f64 / all as f64).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a share")]
fn busy(had: &[Had], seconds: u64) -> f64 {
    let computed: u64 = had.iter().map(|had| had.computed).sum();
    computed as f64 / (u64::from(HOST.cores) * seconds * SECOND) as f64
}

fn assert_close(shares: &[f64], entitled: &[f64], within: f64) {
    for (share, entitled) in shares.iter().zip(entitled) {
        assert!((share / entitled - 1.0).abs() <= within, "{shares:.3?}, entitled to {entitled:.3}");
    }
}

#[test]
fn weights_of_one_two_and_four_get_a_seventh_two_and_four() {
    for computes in [20, 2 * MS, 50 * MS] {
        let had = run(&[1, 2, 4].map(|weight| Tenant::flood(weight, computes, 0)), 40);
        assert_close(&shares(&had), &[1.0 / 7.0, 2.0 / 7.0, 4.0 / 7.0], 0.05);
    }
}

#[test]
fn few_long_tasks_weigh_what_many_short_ones_do() {
    for (short, long) in [(MS, 100 * MS), (2 * MS, 200 * MS), (20, 100 * MS), (MS, SECOND)] {
        let had = run(&[Tenant::flood(1, short, 0), Tenant::flood(1, long, 0)], 60);
        assert_close(&shares(&had), &[0.5, 0.5], 0.05);
    }
}

#[test]
fn the_processors_are_busy_while_anybody_waits() {
    for tenants in [
        vec![Tenant::flood(1, 50 * MS, 0)],
        vec![Tenant::flood(1, 2 * MS, 0), Tenant::flood(1, 200 * MS, 0)],
        vec![Tenant::flood(1, 10 * MS, 50 * MS), Tenant::flood(1, 100 * MS, 0)],
    ] {
        let had = run(&tenants, 20);
        assert!(busy(&had, 20) > 0.85, "{} of {tenants:?}", busy(&had, 20));
    }
}

#[test]
fn those_who_sleep_fill_the_host_and_share_it() {
    let had = run(&[Tenant::flood(1, 100, 100 * MS), Tenant::flood(1, 100, SECOND)], 40);
    let occupied: Vec<u64> = had.iter().map(|had| had.occupied).collect();
    let all: u64 = occupied.iter().sum();
    assert!(all > 40 * SECOND * 64 * 8 / 10, "{all} of the time of 64 guests");
    assert!(occupied.iter().all(|one| *one * 100 > all * 40), "{occupied:?}");
}

#[test]
fn whoever_is_quiet_does_not_wait_for_those_who_flood() {
    let quiet = Tenant::quiet(20, 50 * MS);
    for flood in [Tenant::flood(1, 20, 0), Tenant::flood(1, 100 * MS, 0), Tenant::flood(1, 100, 10 * SECOND)]
    {
        for floods in [1, 6] {
            let mut tenants = vec![flood; floods];
            tenants.push(quiet);
            let had = run(&tenants, 20);
            let waited = had[floods].p99();
            assert!(waited <= 10 * MS, "{waited} µs beside {floods} of {flood:?}");
        }
    }
}

#[test]
fn a_weight_of_one_beside_a_thousand_starves_neither() {
    let had = run(&[Tenant::flood(1, 10 * MS, 0), Tenant::flood(1_000, 10 * MS, 0)], 40);
    assert!(had[0].tasks > 0 && had[0].waited.iter().all(|waited| *waited < 12 * SECOND), "{:?}", had[0]);
    assert!(shares(&had)[1] > 0.9);
}

/// Tenants that always have more: tasks of 20 µs to 100 ms, a length as likely as its double.
fn flooding() -> impl Strategy<Value = Tenant> {
    let lengths = (0_u32..=12, 20_u64..=25).prop_map(|(doubled, computes)| computes << doubled);
    (1_u32..=8, lengths).prop_map(|(weight, computes)| Tenant::flood(weight, computes, 0))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever the weights and the lengths of tasks are, and however long it goes on.
    #[test]
    fn nobody_lags_behind_by_more_than_a_task_nobody_starves_and_the_processors_are_busy(
        tenants in proptest::collection::vec(flooding(), 2..7),
        seconds in 4_u64..16,
    ) {
        let had = run(&tenants, seconds);
        let all: u64 = had.iter().map(used).sum();
        let weights: u64 = tenants.iter().map(|tenant| u64::from(tenant.weight)).sum();
        let longest = tenants.iter().map(|tenant| tenant.computes).max().unwrap_or_default();
        for (had, tenant) in had.iter().zip(&tenants) {
            let lag = used(had).abs_diff(all * u64::from(tenant.weight) / weights);
            prop_assert!(lag <= longest + 150 * MS, "{lag} µs of the host: {tenant:?}");
            let waited = had.waited.iter().max().copied().unwrap_or(u64::MAX);
            prop_assert!(u128::from(waited) < AGED.as_micros() + 1_000_000, "{waited} µs: {tenant:?}");
        }
        prop_assert!(busy(&had, seconds) > 0.7, "{}", busy(&had, seconds));
    }
}

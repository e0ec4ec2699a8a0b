//! Who gets how much of a host, against what its weight says, and how long whoever is quiet waits beside those who are
//! not.

use super::Capacity;
use super::model::{Had, Host, Tenant};

const HOST: Capacity = Capacity { slots: 256, memory: 64 << 20, cores: 2 };
const MS: u64 = 1_000;
const SECOND: u64 = 1_000 * MS;

/// What the host itself does for a task counts, too, in microseconds.
const OWN_WORK: u64 = super::OWN_WORK as u64 / 1_000;

fn run(tenants: &[Tenant], seconds: u64) -> Vec<Had> {
    Host::new(HOST, tenants, 1).run(2, seconds)
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

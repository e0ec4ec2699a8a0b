//! What is broken when: a pure function of the seed.
//!
//! Two lanes run side by side, so that a host can be killed while its server is frozen: one breaks hosts, one breaks
//! servers and lines. Within a lane one fault ends before the next begins; a quarter of them are none.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::fault::{Fault, Which};
use crate::job::TENANTS;

/// Hosts of a campaign: enough that there is somebody else while one leaves and one is gone.
pub const HOSTS: usize = 3;

/// A fault that is longer than the server waits for a sign of life, 30 s: tasks change hands meanwhile.
const LONG: Duration = Duration::from_secs(36);

/// How far a clock is set: a time zone taken for another, and more than any task waits.
const CLOCK_MAX: i64 = 6 * 3_600;

/// Campaigns of this many seconds have some that are.
const LONG_FROM: u64 = 300;

/// One fault, the rest before it, and how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Time since the end of the fault before.
    pub after: Duration,
    /// What is broken.
    pub fault: Fault,
    /// For how long.
    pub lasts: Duration,
}

/// All faults of a campaign. Some take longer than planned, so that not all of them may have their turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Those of hosts.
    pub hosts: Vec<Step>,
    /// Those of servers and lines.
    pub wires: Vec<Step>,
}

impl Schedule {
    /// The faults of a campaign with this seed.
    pub fn of(seed: u64, seconds: u64, nodes: u8) -> Self {
        let lane = |salt: u64, pick: &dyn Fn(&mut StdRng) -> Fault| {
            let mut random = StdRng::seed_from_u64(seed.wrapping_mul(2).wrapping_add(salt));
            let (mut steps, mut planned) = (Vec::new(), Duration::ZERO);
            while planned < Duration::from_secs(seconds) {
                let step = step(&mut random, seconds, nodes, pick);
                planned += step.after + step.lasts;
                steps.push(step);
            }
            steps
        };
        Self { hosts: lane(0, &of_hosts), wires: lane(1, &|random| of_wires(random, nodes)) }
    }
}

fn step(random: &mut StdRng, seconds: u64, nodes: u8, pick: &dyn Fn(&mut StdRng) -> Fault) -> Step {
    let fault = if random.random_ratio(1, 4) { Fault::Nothing } else { pick(random) };
    let millis =
        |random: &mut StdRng, from: u64, to: u64| Duration::from_millis(random.random_range(from..to));
    let lasts = match fault {
        Fault::FreezeHost(_) | Fault::Silence(_) | Fault::Cut(_)
            if seconds >= LONG_FROM && random.random_ratio(1, 8) =>
        {
            LONG
        }
        _ => millis(random, 300, 4_000),
    };
    // A server that was gone has to catch up before the next one may go, or nobody could store anything.
    let after = match fault {
        Fault::KillServer(_) | Fault::StopServer(_) | Fault::FreezeServer(_) if nodes > 1 => {
            millis(random, 4_000, 8_000)
        }
        _ => millis(random, 500, 3_000),
    };
    Step { after, fault, lasts }
}

fn of_hosts(random: &mut StdRng) -> Fault {
    let host = random.random_range(0..HOSTS);
    match random.random_range(0..12) {
        0..3 => Fault::KillHost(host),
        3..5 => Fault::FreezeHost(host),
        5..7 => Fault::DrainHost(host),
        7 => Fault::RollHosts,
        8..10 => Fault::ShiftClock(host, random.random_range(-CLOCK_MAX..CLOCK_MAX)),
        _ => Fault::UpdatePlugin(TENANTS[random.random_range(0..TENANTS.len())]),
    }
}

fn of_wires(random: &mut StdRng, nodes: u8) -> Fault {
    let host = random.random_range(0..HOSTS);
    let which = if nodes == 1 || random.random_ratio(2, 3) {
        Which::LeaderOf(TENANTS[random.random_range(0..TENANTS.len())])
    } else {
        Which::Node(random.random_range(0..usize::from(nodes)))
    };
    match random.random_range(0..12) {
        0..2 => Fault::KillServer(which),
        2 => Fault::StopServer(which),
        3..5 => Fault::FreezeServer(which),
        5..7 => Fault::Cut(host),
        7..9 => Fault::Silence(host),
        9 if nodes == 1 => Fault::FullDisk,
        _ => Fault::Delay(host, Duration::from_millis(random.random_range(5..300))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_breaks_the_same_things_at_the_same_times() {
        assert_eq!(Schedule::of(7, 60, 3), Schedule::of(7, 60, 3));
        assert_ne!(Schedule::of(7, 60, 3), Schedule::of(8, 60, 3));
    }

    #[test]
    fn a_quarter_of_the_faults_are_none_and_every_other_kind_is_there() {
        let Schedule { hosts, wires } = Schedule::of(1, 36_000, 1);
        let names = |name: &str| hosts.iter().chain(&wires).filter(|step| step.fault.name() == name).count();
        let (all, none) = (hosts.len() + wires.len(), names("nothing"));
        assert!((all / 5..all / 3).contains(&none), "{none} of {all}");
        for name in [
            "host killed",
            "host frozen",
            "host drained",
            "hosts restarted in turn",
            "plugin updated",
            "clock set",
            "server killed",
            "server restarted",
            "server frozen",
            "line cut",
            "line silent",
            "line slow",
            "disk full",
        ] {
            assert!(names(name) > 0, "{name}");
        }
    }

    #[test]
    fn the_faults_of_a_longer_campaign_begin_with_those_of_a_shorter_one() {
        let (short, long) = (Schedule::of(3, 20, 1), Schedule::of(3, 200, 1));
        assert_eq!(long.hosts[..short.hosts.len()], short.hosts);
        assert_eq!(long.wires[..short.wires.len()], short.wires);
    }

    #[test]
    fn a_cluster_has_no_small_disk() {
        assert!(Schedule::of(1, 3_600, 3).wires.iter().all(|step| step.fault != Fault::FullDisk));
    }
}

//! What a quiet tenant notices while another has flooded the host: its times from publishing to result, beside those
//! when it is alone.
//!
//! The flood is there before the host begins, and the times are taken while most of it is still there.

use std::time::Duration;

use bytes::Bytes;
use saggar_model::Limits;

use super::drain::SMALL;
use super::shares::PRIMES;
use crate::bench::{BenchError, Setting};
use crate::figure::{Figure, Goal, Unit};
use crate::pace::{Pace, Times, round_trips};
use crate::samples::Pairs;
use crate::stage::{Kind, Stage};
use crate::turns::{Side, by_turns};
use crate::worker::Worker;

/// From one task of the quiet tenant to its next.
const EVERY: Duration = Duration::from_millis(5);

/// As many as find room within the flood.
const QUIET_TASKS: usize = 1_000;

/// What a tenant floods a host with.
struct Flood {
    case: &'static str,
    component: &'static str,
    /// Its tasks' payload; absent: the quiet tenant's.
    payload: Option<&'static str>,
    /// One task where there would be so many short ones.
    longer: u64,
    /// Rounds: of so many.
    rounds: usize,
}

const FLOODS: [Flood; 2] = [
    Flood { case: "", component: "echo", payload: None, longer: 1, rounds: usize::MAX },
    Flood { case: "long tasks, ", component: "sieve", payload: Some(PRIMES), longer: 10, rounds: 2 },
];

pub(crate) async fn measure(setting: &Setting<'_>) -> Result<Vec<Figure>, BenchError> {
    let mut figures = Vec::new();
    for flood in &FLOODS {
        let (mut p50, mut p99) = (Pairs::default(), Pairs::default());
        for round in 0..setting.scale.rounds.min(flood.rounds) {
            let [ours, limit] = by_turns(round, async |side| one(setting, flood, side).await).await?;
            p50.push(ours.p50, limit.p50);
            p99.push(ours.p99, limit.p99);
        }
        let figure = |case: &str, goal, pairs| {
            let case = Some(format!("{}{case}", flood.case));
            Figure { case, unit: Unit::Micros, goal, pairs }
        };
        figures.extend([figure("p50", None, p50), figure("p99", Some(Goal::AtMost(2.0)), p99)]);
    }
    Ok(figures)
}

async fn one(setting: &Setting<'_>, what: &Flood, side: Side) -> Result<Times, BenchError> {
    let payload = Bytes::from(vec![b'x'; SMALL]);
    let flood = match side {
        Side::Ours => setting.scale.flood_tasks / what.longer,
        Side::Limit => 0,
    };
    let pace = Pace { every: EVERY, count: setting.scale.round_trips.min(QUIET_TASKS) };
    let kind = |name| -> Result<Kind, BenchError> {
        Ok(Kind { component: setting.components.read(name)?, weight: 1, limits: Limits::default() })
    };
    let kinds = [kind("echo")?, kind(what.component)?];
    Stage::with(setting, async |stage| {
        let tenants = stage.tenants_of(&kinds).await?;
        let flooding = what.payload.map_or_else(|| payload.clone(), Bytes::from);
        stage.fill(&tenants[1..], flood, &flooding).await?;
        let quiet = async |worker: &Worker| {
            stage.begun(worker, flood / 20).await?;
            let there = || flood == 0 || worker.settled() < flood / 10 * 9;
            round_trips(stage, &tenants[0], &payload, pace, there)
        };
        stage.work(Side::Ours, &tenants, quiet).await
    })
    .await
}

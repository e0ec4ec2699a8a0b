//! What a quiet tenant notices while another has flooded the host: its times from publishing to result, beside those
//! when it is alone.
//!
//! The flood is there before the host begins, and the times are taken while most of it is still there.

use std::time::Duration;

use bytes::Bytes;
use saggar_model::Limits;

use super::drain::SMALL;
use crate::bench::{BenchError, Setting};
use crate::figure::{Figure, Goal, Unit};
use crate::pace::{Pace, Times, round_trips};
use crate::samples::Pairs;
use crate::stage::Stage;
use crate::turns::{Side, by_turns};
use crate::worker::Worker;

/// From one task of the quiet tenant to its next.
const EVERY: Duration = Duration::from_millis(5);

/// As many as find room within the flood.
const QUIET_TASKS: usize = 500;

pub(crate) async fn measure(setting: &Setting<'_>) -> Result<Vec<Figure>, BenchError> {
    let (mut p50, mut p99) = (Pairs::default(), Pairs::default());
    for round in 0..setting.scale.rounds {
        let [ours, limit] = by_turns(round, async |side| one(setting, side).await).await?;
        p50.push(ours.p50, limit.p50);
        p99.push(ours.p99, limit.p99);
    }
    let figure =
        |case: &str, goal, pairs| Figure { case: Some(case.to_owned()), unit: Unit::Micros, goal, pairs };
    Ok(vec![figure("p50", None, p50), figure("p99", Some(Goal::AtMost(2.0)), p99)])
}

async fn one(setting: &Setting<'_>, side: Side) -> Result<Times, BenchError> {
    let component = setting.components.read("echo")?;
    let payload = Bytes::from(vec![b'x'; SMALL]);
    let flood = match side {
        Side::Ours => setting.scale.flood_tasks,
        Side::Limit => 0,
    };
    let pace = Pace { every: EVERY, count: setting.scale.round_trips.min(QUIET_TASKS) };
    Stage::with(setting, async |stage| {
        let tenants = stage.tenants(2, &component, Limits::default()).await?;
        stage.fill(&tenants[1..], flood, &payload).await?;
        let quiet = async |worker: &Worker| {
            stage.begun(worker, flood / 20).await?;
            let there = || flood == 0 || worker.settled() < flood / 10 * 9;
            round_trips(stage, &tenants[0], &payload, pace, there).await
        };
        stage.work(Side::Ours, &tenants, quiet).await
    })
    .await
}

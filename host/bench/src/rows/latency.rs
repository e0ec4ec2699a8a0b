//! How long a task takes from publishing to its result on a host with little to do, beside the raw loop.
//!
//! A task each millisecond is some twentieth of what a host can do. On both sides the client hears of the result from
//! the server as the worker publishes it.

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

/// From one task to the next.
const EVERY: Duration = Duration::from_millis(1);

pub(crate) async fn measure(setting: &Setting<'_>) -> Result<Vec<Figure>, BenchError> {
    let (mut p50, mut p99) = (Pairs::default(), Pairs::default());
    for round in 0..setting.scale.rounds {
        let [ours, limit] = by_turns(round, async |side| one(setting, side).await).await?;
        p50.push(ours.p50, limit.p50);
        p99.push(ours.p99, limit.p99);
    }
    let figure =
        |case: &str, goal, pairs| Figure { case: Some(case.to_owned()), unit: Unit::Micros, goal, pairs };
    Ok(vec![figure("p50", Some(Goal::AtMost(1.5)), p50), figure("p99", None, p99)])
}

async fn one(setting: &Setting<'_>, side: Side) -> Result<Times, BenchError> {
    let component = setting.components.read("echo")?;
    let payload = Bytes::from(vec![b'x'; SMALL]);
    let pace = Pace { every: EVERY, count: setting.scale.round_trips };
    Stage::with(setting, async |stage| {
        let tenants = stage.tenants(1, &component, Limits::default()).await?;
        stage.work(side, &tenants, async |_| round_trips(stage, &tenants[0], &payload, pace, || true)).await
    })
    .await
}

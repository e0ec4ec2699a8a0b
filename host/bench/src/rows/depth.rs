//! Whether a deep queue is drained as fast as a shallow one.
//!
//! The deep one is filled once. By turns, a host works on it until it has settled so many tasks, and another host
//! on a shallow one of its own until it has settled as many: few enough that the deep one stays as deep as it is
//! said to be, and that the shallow one does not run dry.

use bytes::Bytes;

use super::drain::SMALL;
use crate::bench::{BenchError, Setting};
use crate::figure::{Figure, Goal, Unit};
use crate::samples::Pairs;
use crate::stage::Stage;
use crate::turns::{Side, by_turns};

/// The depth the goal is for.
const DEEP: u64 = 1_000_000;

pub(crate) async fn measure(setting: &Setting<'_>) -> Result<Vec<Figure>, BenchError> {
    let Some((&shallow, deeper)) = setting.scale.depths.split_first() else { return Ok(Vec::new()) };
    let mut figures = Vec::new();
    for &depth in deeper {
        let deep = filled(setting, depth).await?;
        let mut rates = Pairs::default();
        for round in 0..setting.scale.rounds {
            let [ours, limit] = by_turns(round, async |side| match side {
                Side::Ours => rate(&deep, shallow).await,
                Side::Limit => {
                    let stage = filled(setting, shallow).await?;
                    let rate = rate(&stage, shallow).await;
                    stage.end().await;
                    rate
                }
            })
            .await?;
            rates.push(ours, limit);
        }
        deep.end().await;
        figures.push(Figure {
            case: Some(format!("{depth} queued ÷ {shallow}")),
            unit: Unit::PerSecond,
            goal: (depth == DEEP).then_some(Goal::AtLeast(0.95)),
            pairs: rates,
        });
    }
    Ok(figures)
}

/// A tenant with so many tasks.
async fn filled(setting: &Setting<'_>, depth: u64) -> Result<Stage, BenchError> {
    let stage = Stage::start(setting).await?;
    let tenants = stage.tenants(1, &setting.components.read("echo")?).await?;
    stage.fill(&tenants, depth, &Bytes::from(vec![b'x'; SMALL])).await?;
    Ok(stage)
}

/// Tasks that a host settles in a second, over most of a shallow queue or as many of a deep one.
async fn rate(stage: &Stage, shallow: u64) -> Result<f64, BenchError> {
    let worker = stage.work(Side::Ours, &[]).await?;
    let drained = stage.drained(&worker, shallow / 5 * 4).await;
    worker.end().await;
    Ok(drained?.rate)
}

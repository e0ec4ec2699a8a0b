//! Whether a deep queue is drained as fast as a shallow one.
//!
//! The deep one is filled once. By turns, a host works on it until it has settled so many tasks, and another host
//! on a shallow one of its own until it has settled as many: few enough that the deep one stays as deep as it is
//! said to be, and that the shallow one does not run dry.

use bytes::Bytes;
use saggar_model::{Limits, TenantName};

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
        let rates = Stage::with(setting, async |deep| {
            let deep_tenants = fill(setting, deep, depth).await?;
            let mut rates = Pairs::default();
            for round in 0..setting.scale.rounds {
                let [ours, limit] = by_turns(round, async |side| match side {
                    Side::Ours => rate(deep, &deep_tenants, shallow).await,
                    Side::Limit => {
                        Stage::with(setting, async |stage| {
                            let tenants = fill(setting, stage, shallow).await?;
                            rate(stage, &tenants, shallow).await
                        })
                        .await
                    }
                })
                .await?;
                rates.push(ours, limit);
            }
            Ok(rates)
        })
        .await?;
        figures.push(Figure {
            case: Some(format!("{depth} queued ÷ {shallow}")),
            unit: Unit::PerSecond,
            goal: (depth == DEEP).then_some(Goal::AtLeast(0.95)),
            pairs: rates,
        });
    }
    Ok(figures)
}

/// Makes a tenant with so many tasks.
async fn fill(setting: &Setting<'_>, stage: &Stage, depth: u64) -> Result<Vec<TenantName>, BenchError> {
    let component = setting.components.read("echo")?;
    let tenants = stage.tenants(1, &component, Limits::default()).await?;
    stage.fill(&tenants, depth, &Bytes::from(vec![b'x'; SMALL])).await?;
    Ok(tenants)
}

/// Tasks that a host settles in a second, over most of a shallow queue or as many of a deep one.
async fn rate(stage: &Stage, tenants: &[TenantName], shallow: u64) -> Result<f64, BenchError> {
    let most = shallow / 5 * 4;
    let drained = stage.work(Side::Ours, tenants, async |worker| stage.drained(worker, most).await).await?;
    Ok(drained.rate)
}

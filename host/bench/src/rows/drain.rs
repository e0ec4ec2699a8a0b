//! How fast a full queue is drained: a plugin that does nothing, its result stored, all limits on.

use bytes::Bytes;
use saggar_model::Limits;

use crate::bench::{BenchError, Setting};
use crate::drained::Drained;
use crate::figure::{Figure, Goal, Unit};
use crate::samples::Pairs;
use crate::stage::Stage;
use crate::turns::{Side, by_turns};

/// Bytes of a small task, in and out.
pub(crate) const SMALL: usize = 256;

pub(crate) async fn measure(setting: &Setting<'_>) -> Result<Vec<Figure>, BenchError> {
    let payload = Bytes::from(vec![b'x'; SMALL]);
    let mut rates = Pairs::default();
    let mut cpu = [Pairs::default(), Pairs::default()];
    for round in 0..setting.scale.rounds {
        let [ours, limit] =
            by_turns(round, async |side| drain(setting, side, 1, setting.scale.drain_tasks, &payload).await)
                .await?;
        rates.push(ours.rate, limit.rate);
        for (at, pairs) in cpu.iter_mut().enumerate() {
            pairs.push(ours.cpu[at], limit.cpu[at]);
        }
    }
    let [client, server] = cpu;
    Ok(vec![
        Figure { case: None, unit: Unit::PerSecond, goal: Some(Goal::AtLeast(0.8)), pairs: rates },
        Figure {
            case: Some("CPU of the host per task".to_owned()),
            unit: Unit::Micros,
            goal: None,
            pairs: client,
        },
        Figure {
            case: Some("CPU of nats-server per task".to_owned()),
            unit: Unit::Micros,
            goal: None,
            pairs: server,
        },
    ])
}

/// One side drains the queues of so many tenants, `total` tasks in all.
pub(crate) async fn drain(
    setting: &Setting<'_>,
    side: Side,
    tenants: u32,
    total: u64,
    payload: &Bytes,
) -> Result<Drained, BenchError> {
    let component = setting.components.read("echo")?;
    Stage::with(setting, async |stage| {
        let tenants = stage.tenants(tenants, &component, Limits::default()).await?;
        let each = total / tenants.len() as u64;
        stage.fill(&tenants, each, payload).await?;
        let all = each * tenants.len() as u64;
        stage.work(side, &tenants, async |worker| stage.drained(worker, all).await).await
    })
    .await
}

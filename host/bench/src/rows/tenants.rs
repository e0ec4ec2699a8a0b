//! Many tenants that are equally busy: the drain of all their queues together, beside the raw loop over the same
//! streams, and beside a host with one tenant.
//!
//! The raw loop may hold as many tasks of each queue as a host holds of all: nothing keeps it from using them.

use bytes::Bytes;

use super::drain::{SMALL, drain};
use crate::bench::{BenchError, Setting};
use crate::figure::{Figure, Goal, Unit};
use crate::samples::Pairs;
use crate::turns::by_turns;

/// So many tenants the goals are for.
const MANY: u32 = 1_000;

/// Making so many streams takes longer than draining them, so that there are fewer rounds.
const ROUNDS_OF_MANY: usize = 2;

pub(crate) async fn measure(setting: &Setting<'_>) -> Result<Vec<Figure>, BenchError> {
    let payload = Bytes::from(vec![b'x'; SMALL]);
    let counts = setting.scale.tenants;
    let mut beside_raw = vec![Pairs::default(); counts.len()];
    for round in 0..setting.scale.rounds {
        for (&count, pairs) in counts.iter().zip(&mut beside_raw) {
            if count >= MANY && round >= ROUNDS_OF_MANY {
                continue;
            }
            let total = setting.scale.tenant_tasks;
            let [ours, limit] =
                by_turns(round, async |side| drain(setting, side, count, total, &payload).await).await?;
            pairs.push(ours.rate, limit.rate);
        }
    }
    let alone = beside_raw.first().map(|pairs| pairs.ours.clone()).unwrap_or_default();
    let mut figures = Vec::new();
    for (&count, pairs) in counts.iter().zip(beside_raw) {
        let goal = |least| (count == MANY).then_some(Goal::AtLeast(least));
        let plural = if count == 1 { "" } else { "s" };
        let limit = alone.iter().take(pairs.ours.len()).copied().collect();
        let beside_one = Pairs { ours: pairs.ours.clone(), limit };
        figures.push(Figure {
            case: Some(format!("{count} tenant{plural}")),
            unit: Unit::PerSecond,
            goal: goal(0.8),
            pairs,
        });
        if count > 1 {
            figures.push(Figure {
                case: Some(format!("{count} tenants ÷ 1")),
                unit: Unit::PerSecond,
                goal: goal(0.6),
                pairs: beside_one,
            });
        }
    }
    Ok(figures)
}

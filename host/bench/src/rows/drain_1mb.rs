//! A full queue of large tasks: 700 KiB in and out, which fits both the default limit of an output (768 KiB) and a
//! message of a server with default settings (1 MiB).

use bytes::Bytes;

use super::drain::drain;
use crate::bench::{BenchError, Setting};
use crate::figure::{Figure, Unit};
use crate::samples::Pairs;
use crate::turns::by_turns;

const LARGE: usize = 700 << 10;

pub(crate) async fn measure(setting: &Setting<'_>) -> Result<Vec<Figure>, BenchError> {
    // Something that is not all one byte, should anybody on the way compress.
    let payload: Bytes = (0..LARGE).map(|at| at.to_le_bytes()[at % 3]).collect();
    let mut rates = Pairs::default();
    for round in 0..setting.scale.rounds {
        let [ours, limit] =
            by_turns(round, async |side| drain(setting, side, 1, setting.scale.large_tasks, &payload).await)
                .await?;
        rates.push(ours.rate, limit.rate);
    }
    let case = Some("700 KiB in and out".to_owned());
    Ok(vec![Figure { case, unit: Unit::PerSecond, goal: None, pairs: rates }])
}

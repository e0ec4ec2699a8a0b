//! What more cores bring: attempts on all of them at once, beside as many times what one core does alone.
//!
//! All threads share one sandbox and its pool, as they do in a host.

use super::drain::SMALL;
use crate::alone::{Guest, repeat};
use crate::bench::{BenchError, Setting};
use crate::figure::{Figure, Unit};
use crate::machine::cores;
use crate::samples::Pairs;
use crate::turns::{Side, by_turns};

#[expect(clippy::cast_precision_loss, reason = "a number of cores")]
pub(crate) async fn measure(setting: &Setting<'_>) -> Result<Vec<Figure>, BenchError> {
    let guest = Guest::new(&setting.components.read("echo")?, vec![b'x'; SMALL])?;
    let cores = cores();
    let mut rates = Pairs::default();
    for round in 0..setting.scale.rounds {
        let [ours, one] = by_turns(round, async |side| {
            let guest = guest.clone();
            let threads = match side {
                Side::Ours => cores,
                Side::Limit => 1,
            };
            repeat(threads, setting.scale.work, async move || guest.attempt().await.map(drop)).await
        })
        .await?;
        rates.push(ours.rate, one.rate * cores as f64);
    }
    Ok(vec![Figure { case: Some(format!("{cores} cores")), unit: Unit::PerSecond, goal: None, pairs: rates }])
}

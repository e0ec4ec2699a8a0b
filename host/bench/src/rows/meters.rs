//! What a guest that computes pays for being metered: the limits as they are, beside code that counts no fuel, gives
//! nobody a turn and grows without being asked.
//!
//! The guest counts the primes below a number, for a few milliseconds, and calls nobody.

use std::sync::Arc;

use saggar_sandbox::{Bare, Metering};

use crate::alone::{Guest, pool, repeat};
use crate::bench::{BenchError, Setting};
use crate::figure::{Figure, Unit};
use crate::samples::Pairs;
use crate::turns::{Side, by_turns};

/// The primes below it take a few milliseconds.
const BELOW: &str = "1000000";

pub(crate) async fn measure(setting: &Setting<'_>) -> Result<Vec<Figure>, BenchError> {
    let wasm = setting.components.read("sieve")?;
    let guest = Guest::new(&wasm, BELOW)?;
    let bare = Arc::new(Bare::new(&pool(), Metering::Off, &wasm)?);
    let mut rates = Pairs::default();
    for round in 0..setting.scale.rounds {
        let [ours, limit] = by_turns(round, async |side| {
            let (guest, bare) = (guest.clone(), bare.clone());
            let time = setting.scale.work;
            match side {
                Side::Ours => repeat(1, time, async move || guest.attempt().await.map(drop)).await,
                Side::Limit => {
                    let call = async move || {
                        std::hint::black_box(bare.call(BELOW.as_bytes(), 0).await?);
                        Ok(())
                    };
                    repeat(1, time, call).await
                }
            }
        })
        .await?;
        rates.push(ours.rate, limit.rate);
    }
    Ok(vec![Figure { case: None, unit: Unit::PerSecond, goal: None, pairs: rates }])
}

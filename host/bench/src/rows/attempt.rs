//! CPU time of an attempt in the sandbox, without a queue, beside wasmtime alone: what the limits, the record of what
//! the guest says and the verdict cost.
//!
//! The guest gives back 256 bytes. Engine, pool, fuel and interfaces are the same on both sides.

use std::sync::Arc;

use saggar_sandbox::{Bare, Metering};

use super::drain::SMALL;
use crate::alone::{Guest, pool, repeat};
use crate::bench::{BenchError, Setting};
use crate::figure::{Figure, Goal, Unit};
use crate::samples::Pairs;
use crate::turns::{Side, by_turns};

pub(crate) async fn measure(setting: &Setting<'_>) -> Result<Vec<Figure>, BenchError> {
    let wasm = setting.components.read("echo")?;
    let payload = vec![b'x'; SMALL];
    let guest = Guest::new(&wasm, payload.clone())?;
    let bare = Arc::new(Bare::new(&pool(), Metering::On, &wasm)?);
    let mut times = Pairs::default();
    for round in 0..setting.scale.rounds {
        let [ours, limit] = by_turns(round, async |side| {
            let (guest, bare, payload) = (guest.clone(), bare.clone(), payload.clone());
            let time = setting.scale.work;
            match side {
                Side::Ours => repeat(1, time, async move || guest.attempt().await.map(drop)).await,
                Side::Limit => {
                    let fuel = guest.fuel();
                    let call = async move || {
                        std::hint::black_box(bare.call(&payload, fuel).await?);
                        Ok(())
                    };
                    repeat(1, time, call).await
                }
            }
        })
        .await?;
        times.push(ours.cpu, limit.cpu);
    }
    Ok(vec![Figure { case: None, unit: Unit::Micros, goal: Some(Goal::AtMost(1.25)), pairs: times }])
}

//! Memory of a host whose tasks all wait in a call to the host: by how much the process grows from before there is a
//! host, beside what the guests hold by their own account, a quarter more, and 64 MiB for the host itself.
//!
//! What earlier rows have used and given back to the allocator is used again and does not count as growth: some
//! 7 KiB a task. Measured by itself, the row leaves nothing out.

use std::time::Duration;

use bytes::Bytes;
use saggar_model::Limits;

use crate::alone::Guest;
use crate::bench::{BenchError, Setting};
use crate::figure::{Figure, Goal, Unit};
use crate::process::{available_memory, memory};
use crate::samples::Pairs;
use crate::stage::Stage;
use crate::worker::{HostSize, Worker};

/// What a task may hold: little, so that many fit into a host by its own account.
const EACH: u64 = 2 << 20;

/// Longer than anybody measures.
const SLEEP: Duration = Duration::from_mins(30);

/// What a machine must have for each task, in bytes: more than any was seen to take.
const NEEDED: u64 = 256 << 10;

const MIB: f64 = 1_048_576.0;

/// What the host may take beyond what its guests hold.
const SHARE: f64 = 1.25;
const HOST: f64 = 64.0;

#[expect(clippy::cast_precision_loss, reason = "bytes of a process")]
pub(crate) async fn measure(setting: &Setting<'_>) -> Result<Vec<Figure>, BenchError> {
    let wasm = setting.components.read("sleeps")?;
    let guest = Guest::new(&wasm, "0")?.attempt().await?.peak_memory;
    let mut figures = Vec::new();
    for &wanted in setting.scale.asleep {
        let room = u32::try_from(available_memory() / NEEDED).unwrap_or(u32::MAX);
        let count = wanted.min(room);
        let grown = asleep(setting, &wasm, count).await?;
        let held = guest as f64 * f64::from(count) / MIB;
        let mut case = format!("{count} tasks");
        if count < wanted {
            case += &format!(", no memory for {wanted}");
        }
        figures.push(Figure {
            case: Some(case),
            unit: Unit::Mebibytes,
            goal: Some(Goal::AtMost(1.0)),
            pairs: Pairs { ours: vec![grown / MIB], limit: vec![held * SHARE + HOST] },
        });
    }
    Ok(figures)
}

/// By how many bytes this process grows when a host has so many tasks asleep.
#[expect(clippy::cast_precision_loss, reason = "bytes of a process")]
async fn asleep(setting: &Setting<'_>, wasm: &Bytes, count: u32) -> Result<f64, BenchError> {
    let limits = Limits { memory: EACH, timeout: SLEEP * 2, ..Limits::default() };
    let millis = Bytes::from(SLEEP.as_millis().to_string());
    let size = HostSize { slots: count, memory: EACH * u64::from(count) };
    Stage::with(setting, async |stage| {
        let tenants = stage.tenants(1, wasm, limits).await?;
        stage.fill(&tenants, count.into(), &millis).await?;
        let before = memory();
        let after = stage.host(size, async |host| settled_down(host, count).await).await?;
        Ok(after as f64 - before as f64)
    })
    .await
}

/// Memory of this process once so many tasks run and it grows no more, in bytes.
async fn settled_down(worker: &Worker, count: u32) -> Result<u64, BenchError> {
    const LOOK: Duration = Duration::from_millis(250);
    const LOOKS: u32 = 240;
    /// Growth between two looks that is none.
    const STILL: u64 = 256 << 10;
    let mut before = 0;
    let mut running = 0;
    for _ in 0..LOOKS {
        tokio::time::sleep(LOOK).await;
        running = worker.running();
        let now = memory();
        if running >= u64::from(count) && now.abs_diff(before) < STILL {
            return Ok(now);
        }
        before = now;
    }
    Err(BenchError::NotAsleep { running, count })
}

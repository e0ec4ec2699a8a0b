//! From the push of a plugin to its first result, on a host that is up, beside what compiling it takes by itself.
//!
//! What counts: storing the component, writing the tenant's record, publishing a task, and all the host does: it
//! hears of the tenant, fetches and compiles the component or finds it compiled, opens the queue, runs the task and
//! stores its result, which the client then reads. The tenant's streams are there before: they are made once in its
//! life, not at every push. Warm means that the machine has compiled the component before, under another host.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use saggar_jetstream::{NewTask, Results, Tasks};
use saggar_model::{Digest, Limits};
use saggar_sandbox::Sandbox;

use crate::alone::pool;
use crate::bench::{BenchError, Setting};
use crate::figure::{Figure, Goal, Unit};
use crate::samples::Pairs;
use crate::stage::{Stage, queue_name, record, tenant_name};
use crate::worker::{HostSize, Worker};

/// A plugin in Rust that reads and writes JSON: 126 KiB.
const PLUGIN: &str = "transform";

/// How long the first result may take.
const FIRST_RESULT: Duration = Duration::from_mins(1);

pub(crate) async fn measure(setting: &Setting<'_>) -> Result<Vec<Figure>, BenchError> {
    let wasm = setting.components.read(PLUGIN)?;
    let (mut fresh, mut warm) = (Pairs::default(), Pairs::default());
    for _ in 0..setting.scale.rounds {
        let cache = tempfile::tempdir().map_err(BenchError::Directory)?;
        let first = first_result(setting, &wasm, cache.path()).await?;
        let compiling = compiling(wasm.clone()).await?;
        let again = first_result(setting, &wasm, cache.path()).await?;
        fresh.push(first, compiling);
        warm.push(again, compiling);
    }
    let figure = |case: &str, most, pairs| Figure {
        case: Some(case.to_owned()),
        unit: Unit::Millis,
        goal: Some(Goal::OursAtMost(most)),
        pairs,
    };
    Ok(vec![figure("compiled for it", 250.0, fresh), figure("compiled before", 10.0, warm)])
}

/// Milliseconds from the push to the first result.
async fn first_result(setting: &Setting<'_>, wasm: &Bytes, cache: &Path) -> Result<f64, BenchError> {
    let (tenant, queue) = (tenant_name(0), queue_name());
    let record = record(&tenant, 1, Digest::of(wasm), Limits::default());
    let payload = Bytes::from(saggar_bench_work::document());
    let setting = Setting { cache, ..*setting };
    Stage::with(&setting, async |stage| {
        stage.make_streams(&record).await?;
        let (tasks, results) = (Tasks::new(&stage.nats), Results::new(&stage.nats));
        let push = async |_: &Worker| {
            let begun = Instant::now();
            stage.push(&tenant, wasm.clone()).await?;
            stage.announce(&record).await?;
            let task = NewTask { payload, ..NewTask::default() };
            let task = tasks.publish(&tenant, &queue, task).await?;
            let result = results.wait(&tenant, &queue, &task.id, FIRST_RESULT).await?;
            let took = begun.elapsed().as_secs_f64() * 1e3;
            result.map(|_| took).ok_or(BenchError::standstill(0, 1))
        };
        stage.host(HostSize::default(), push).await
    })
    .await
}

/// Milliseconds that compiling takes by itself.
async fn compiling(wasm: Bytes) -> Result<f64, BenchError> {
    let sandbox = Sandbox::new(&pool())?;
    let compiling = tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        sandbox.compile(&wasm).map(|_| begun.elapsed().as_secs_f64() * 1e3)
    });
    Ok(compiling.await.expect("the compiler does not panic")?)
}

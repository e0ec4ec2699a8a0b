//! How long tasks take that are published one after another, at a pace that leaves the worker idle in between.
//!
//! The next task is published when its time has come, whether the last one is done or not: a worker that stops for a
//! moment is charged for every task it keeps waiting.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use saggar_jetstream::{Nats, NewTask, ResultListener, Target, Tasks};
use saggar_model::TenantName;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::bench::BenchError;
use crate::samples::quantile;
use crate::stage::{Stage, queue_name};

/// The first of so many parts is not counted: connections and caches are cold.
const START_UP: usize = 10;

/// The task before all that count.
const FIRST: &str = "first";

/// How long the last result may take.
const LAST_RESULT: Duration = Duration::from_secs(30);

/// A pace, and for how long it is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// From one task to the next.
    pub(crate) every: Duration,
    /// Tasks.
    pub(crate) count: usize,
}

/// Times from publishing to result, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Publishes tasks to a tenant's queue at `pace`, for as long as `go_on` says so, and takes the time from before each
/// is sent to when its result is heard.
///
/// The client is on a thread of its own: what computes for a worker does not keep it from reading its clock.
///
/// # Panics
/// Outside of a runtime of several threads.
pub(crate) fn round_trips(
    stage: &Stage,
    tenant: &TenantName,
    payload: &Bytes,
    pace: Pace,
    go_on: impl Fn() -> bool,
) -> Result<Times, BenchError> {
    tokio::task::block_in_place(|| {
        let client = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let client = client.map_err(BenchError::Client)?;
        client.block_on(measure(&stage.server.url(), tenant, payload, pace, go_on))
    })
}

async fn measure(
    url: &str,
    tenant: &TenantName,
    payload: &Bytes,
    pace: Pace,
    go_on: impl Fn() -> bool,
) -> Result<Times, BenchError> {
    let mut results = ResultListener::start(url, tenant).await?;
    let tasks = Tasks::new(&Nats::connect(&Target::at(url), "saggar bench client").await?);
    // The worker may still get its plugin ready, which is another row's concern.
    let first = NewTask { id: Some(FIRST.parse().expect("an id")), ..NewTask::default() };
    tasks.publish(tenant, &queue_name(), first).await?;
    if tokio::time::timeout(LAST_RESULT, results.next()).await.is_err() {
        return Err(BenchError::standstill(0, 1));
    }
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let listening = tokio::spawn(async move {
        while let Some(id) = results.next().await {
            if told.send((id, Instant::now())).is_err() {
                break;
            }
        }
    });
    let mut tick = tokio::time::interval(pace.every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut publishing = JoinSet::new();
    let mut published = Vec::with_capacity(pace.count);
    while published.len() < pace.count && go_on() {
        tick.tick().await;
        let id = Some(published.len().to_string().parse().expect("a number is an id"));
        let (tasks, tenant, payload) = (tasks.clone(), tenant.clone(), payload.clone());
        published.push(Instant::now());
        publishing.spawn(async move {
            tasks.publish(&tenant, &queue_name(), NewTask { id, payload, ..NewTask::default() }).await
        });
    }
    for outcome in publishing.join_all().await {
        outcome?;
    }
    let mut ended = HashMap::new();
    let last = Instant::now() + LAST_RESULT;
    while ended.len() < published.len() {
        let Ok(Some((id, at))) = tokio::time::timeout_at(last.into(), heard.recv()).await else {
            return Err(BenchError::standstill(ended.len(), published.len()));
        };
        // The first word counts: a result that is stored twice was there the first time.
        ended.entry(id).or_insert(at);
    }
    listening.abort();
    let took = published.iter().enumerate().skip(published.len() / START_UP).filter_map(|(number, begun)| {
        let ended: &Instant = ended.get(&number.to_string())?;
        Some((*ended - *begun).as_secs_f64() * 1e6)
    });
    let took: Vec<f64> = took.collect();
    Ok(Times { p50: quantile(&took, 0.5), p99: quantile(&took, 0.99) })
}

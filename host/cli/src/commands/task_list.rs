//! `saggar task ls`: the tasks of a tenant that wait, run or are delayed, or those that ended last.

use std::time::SystemTime;

use futures::{StreamExt as _, TryStreamExt as _};
use saggar_jetstream::{Nats, QueuedTask, Results, StoredResult, TaskState, Tasks, Timers, WaitingTimer};
use saggar_model::{Outcome, QueueName, TaskId, TaskRef, TenantName, format_bytes, format_duration};
use serde::Serialize;
use serde_json::json;

use crate::commands::task::{DELAYED, state_name};
use crate::connection;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::moment::{ago, ahead, rfc3339};
use crate::newest::{Placed, newest};
use crate::report::{count, millis, style};
use crate::table::{self, Cell, Column};

/// Questions under way at once: each asks the server about one task.
const AT_ONCE: usize = 16;

/// The arguments of `saggar task ls`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only tasks of this queue.
    queue: Option<QueueName>,

    /// List the newest results instead.
    #[arg(long)]
    results: bool,

    /// Rows at most.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

/// Lists tasks.
///
/// # Errors
/// There is no such tenant or queue, or NATS does not answer.
pub async fn execute(
    arguments: Arguments,
    nats: &Nats,
    tenant: &TenantName,
    console: Console,
) -> Result<Exit, Failure> {
    let queues = connection::queues(nats, tenant, arguments.queue.as_ref()).await?;
    let limit = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    if arguments.results {
        let rows = ended(nats, tenant, arguments.queue.as_ref(), limit).await?;
        table::write(console, &rows, json!({ "limit": limit }), "no result is kept")?;
    } else {
        let mut rows = waiting(nats, tenant, &queues, limit).await?;
        let timers = Timers::new(nats).list(tenant, arguments.queue.as_ref(), limit - rows.len()).await?;
        rows.extend(timers.iter().map(delayed_row));
        table::write(console, &rows, json!({ "limit": limit }), "no task waits, runs or is delayed")?;
    }
    Ok(Exit::Success)
}

#[derive(Debug, Serialize)]
struct WaitingRow {
    task: String,
    queue: String,
    state: &'static str,
    bytes_in: usize,
    published_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<String>,
    #[serde(skip)]
    since: String,
    #[serde(skip)]
    until: String,
}

impl table::Row for WaitingRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("task"),
        Column::text("state"),
        Column::number("size"),
        Column::text("published"),
        Column::text("due"),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            (&self.task).into(),
            self.state.into(),
            format_bytes(self.bytes_in as u64).into(),
            (&self.since).into(),
            (&self.until).into(),
        ]
    }
}

async fn waiting(
    nats: &Nats,
    tenant: &TenantName,
    queues: &[QueueName],
    limit: usize,
) -> Result<Vec<WaitingRow>, Failure> {
    let tasks = Tasks::new(nats);
    let mut found: Vec<(&QueueName, QueuedTask)> = Vec::new();
    for queue in queues {
        match tasks.list(tenant, queue, 0, limit).await {
            Ok(listed) => found.extend(listed.into_iter().map(|task| (queue, task))),
            Err(error) => return Err(connection::explain(nats, tenant, error.into()).await),
        }
    }
    found.sort_by_key(|(_, task)| task.sequence);
    found.truncate(limit);
    let rows = futures::stream::iter(found).map(async |(queue, task)| {
        let state = tasks.state_of(tenant, queue, &task.id).await?;
        // What has ended since it was listed is no longer a row.
        Ok::<_, Failure>(state.map(|(state, _)| waiting_row(queue, &task, state)))
    });
    rows.buffered(AT_ONCE).try_filter_map(async |row| Ok(row)).try_collect().await
}

fn waiting_row(queue: &QueueName, task: &QueuedTask, state: TaskState) -> WaitingRow {
    WaitingRow {
        task: name(queue, &task.id),
        queue: queue.to_string(),
        state: state_name(state),
        bytes_in: task.size,
        published_at: rfc3339(task.published_at),
        due_at: None,
        since: ago(task.published_at, SystemTime::now()),
        until: String::new(),
    }
}

fn delayed_row(timer: &WaitingTimer) -> WaitingRow {
    let now = SystemTime::now();
    WaitingRow {
        task: name(&timer.queue, &timer.id),
        queue: timer.queue.to_string(),
        state: DELAYED,
        bytes_in: timer.size,
        published_at: rfc3339(timer.set_at),
        due_at: Some(rfc3339(timer.due)),
        since: ago(timer.set_at, now),
        until: ahead(timer.due, now),
    }
}

fn name(queue: &QueueName, id: &TaskId) -> String {
    TaskRef { queue: queue.clone(), id: id.clone() }.to_string()
}

#[derive(Debug, Serialize)]
struct EndedRow {
    task: String,
    queue: String,
    outcome: Outcome,
    attempt: u32,
    duration_ms: f64,
    fuel: u64,
    bytes_out: u64,
    stored_at: String,
    #[serde(skip)]
    duration: String,
    #[serde(skip)]
    since: String,
}

impl From<StoredResult> for EndedRow {
    fn from(stored: StoredResult) -> Self {
        let receipt = stored.result.receipt;
        Self {
            task: stored.result.task.to_string(),
            queue: stored.result.task.queue.to_string(),
            outcome: stored.result.outcome,
            attempt: receipt.attempt,
            duration_ms: millis(receipt.duration),
            fuel: receipt.fuel,
            bytes_out: receipt.bytes_out,
            stored_at: rfc3339(stored.stored_at),
            duration: format_duration(receipt.duration),
            since: ago(stored.stored_at, SystemTime::now()),
        }
    }
}

impl table::Row for EndedRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("task"),
        Column::text("outcome"),
        Column::number("attempt"),
        Column::number("time"),
        Column::number("fuel"),
        Column::number("output"),
        Column::text("ended"),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            (&self.task).into(),
            Cell::styled(self.outcome, style(self.outcome)),
            self.attempt.into(),
            (&self.duration).into(),
            count(self.fuel).into(),
            format_bytes(self.bytes_out).into(),
            (&self.since).into(),
        ]
    }
}

impl Placed for StoredResult {
    fn place(&self) -> u64 {
        self.sequence
    }
}

async fn ended(
    nats: &Nats,
    tenant: &TenantName,
    queue: Option<&QueueName>,
    limit: usize,
) -> Result<Vec<EndedRow>, Failure> {
    let results = Results::new(nats);
    let read = async |after, limit| Ok(results.list(tenant, queue, after, limit).await?);
    match newest(read, limit).await {
        Ok(found) => Ok(found.into_iter().map(EndedRow::from).collect()),
        Err(error) => Err(connection::explain(nats, tenant, error).await),
    }
}

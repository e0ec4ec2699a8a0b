//! `saggar task submit`: publishing a task, now or for later, and perhaps waiting for its result.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use saggar_jetstream::{Nats, NewTask, PublishError, Published, Tasks, Timers};
use saggar_model::{PayloadName, QueueName, TaskId, TaskRef, TenantName, header_name, parse_duration};
use serde_json::json;

use crate::arguments::ConnectionFlags;
use crate::claim::{self, Carried};
use crate::commands::task;
use crate::connection;
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::header::{Header, with_content_type};
use crate::later;
use crate::moment::rfc3339;
use crate::payload::Source;
use crate::unique;

/// The arguments of `saggar task submit`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The queue.
    queue: QueueName,

    /// The payload, `-` for standard input [default: an empty payload].
    #[arg(conflicts_with = "file", allow_hyphen_values = true)]
    payload: Option<String>,

    /// File with the payload, `-` for standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// What the task is called [default: a name made by the host; for a delayed task one drawn at random].
    #[arg(long, value_parser = TaskId::published)]
    id: Option<TaskId>,

    /// Refuse it while a task of the same id is queued or running.
    #[arg(long, requires = "id", conflicts_with_all = ["after", "at"])]
    unique: bool,

    /// Do not run it if a task of the same id has ended and its result is kept.
    #[arg(long, requires = "id")]
    once: bool,

    /// Submit one task only for this key in each window of time; the key makes its id.
    #[arg(
        long,
        value_name = "KEY",
        requires = "unique_for",
        conflicts_with_all = ["id", "unique", "once", "after", "at"],
        allow_hyphen_values = true
    )]
    unique_key: Option<String>,

    /// How long the windows are, for example 1h; they lie one behind the other since 1970, in UTC.
    #[arg(long, value_name = "DURATION", value_parser = unique::window, requires = "unique_key")]
    unique_for: Option<Duration>,

    /// Run it so much later, for example 10m; a year at most.
    #[arg(
        long = "in",
        value_name = "DURATION",
        value_parser = later::delay,
        conflicts_with = "at",
        allow_hyphen_values = true
    )]
    after: Option<Duration>,

    /// Run it at this time, for example 2027-01-31T12:00:00Z; a time that has passed is now, a year away at most.
    #[arg(long, value_name = "TIME", value_parser = later::moment)]
    at: Option<jiff::Timestamp>,

    /// Drop it if a task with this message id was published within the last two minutes.
    #[arg(long, value_name = "TEXT")]
    message_id: Option<String>,

    /// A header; can be repeated.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<Header>,

    /// Media type of the payload.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,

    /// Wall limit of an attempt; only tightens the queue's.
    #[arg(long, value_name = "DURATION", value_parser = checked_duration)]
    timeout: Option<String>,

    /// Do not start it after this, for example 2030-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    deadline: Option<jiff::Timestamp>,

    /// Wait for the result, and show it.
    #[arg(long)]
    wait: bool,

    /// How long to wait.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "60s", requires = "wait")]
    wait_timeout: Duration,
}

/// A duration, as its author wrote it.
fn checked_duration(text: &str) -> Result<String, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("leaves no time at all".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// Submits a task.
///
/// # Errors
/// There is no such tenant or queue, it was not published, it has no result in time, or NATS does not answer.
pub async fn execute(
    submit: Arguments,
    flags: &ConnectionFlags,
    tenant: &TenantName,
    console: Console,
) -> Result<Exit, Failure> {
    let source = source(&submit)?;
    let mut task = new_task(&submit);
    saggar_jetstream::check_headers(&task.headers)?;
    let nats = connection::connect(flags, console).await?;
    if nats.is_tenants() && task.id.is_none() {
        // What a task is called that is named by its place, only the hosts' account knows.
        task.id = Some(later::drawn(submit.message_id.as_deref())?);
    }
    if let (Some(key), Some(window)) = (&submit.unique_key, submit.unique_for) {
        task.id = Some(unique::id(&nats, tenant, &submit.queue, key, window).await?);
    }
    if submit.after.is_some() {
        // Whoever has no stream yet has no clock yet, and will be told so.
        nats.look_at_clock().await.ok();
    }
    let due = later::due(submit.after, submit.at, nats.now());
    let mut object = None;
    match claim::put(&nats, tenant, source, &task.headers).await? {
        Carried::Inline(payload) => task.payload = payload,
        Carried::Object(name) => {
            task.headers.push((header_name::PAYLOAD.to_owned(), name.header()));
            object = Some(name);
        }
    }
    match due {
        None => now(&nats, tenant, submit, task, object, console).await,
        Some(due) => delayed(&nats, tenant, submit, task, due, object, console).await,
    }
}

fn source(submit: &Arguments) -> Result<Source, Failure> {
    match (&submit.payload, &submit.file) {
        (Some(dash), _) if dash == "-" => Ok(Source::StandardInput),
        (Some(text), _) => Ok(Source::Text(text.clone().into())),
        (None, Some(file)) => Source::open(file),
        (None, None) => Ok(Source::Text(bytes::Bytes::new())),
    }
}

fn new_task(submit: &Arguments) -> NewTask {
    let mut headers = with_content_type(submit.content_type.as_deref(), &submit.headers);
    let once = submit.once || submit.unique_key.is_some();
    let own = [
        (header_name::ONCE, once.then(|| true.to_string())),
        (header_name::TIMEOUT, submit.timeout.clone()),
        (header_name::DEADLINE, submit.deadline.map(|deadline| deadline.to_string())),
    ];
    headers.extend(own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    NewTask {
        id: submit.id.clone(),
        payload: bytes::Bytes::new(),
        headers,
        message_id: submit.message_id.clone(),
        unique: submit.unique || submit.unique_key.is_some(),
    }
}

/// Removes a payload that was put for a task which surely was not published.
async fn take_back(nats: &Nats, tenant: &TenantName, object: Option<PayloadName>, failure: &Failure) {
    match (object, failure.kind) {
        // It may have been published.
        (_, Kind::Unavailable | Kind::TimedOut) | (None, _) => {}
        (Some(name), _) => claim::remove(nats, tenant, name).await,
    }
}

async fn now(
    nats: &Nats,
    tenant: &TenantName,
    submit: Arguments,
    task: NewTask,
    object: Option<PayloadName>,
    console: Console,
) -> Result<Exit, Failure> {
    let Published { id, sequence, duplicate } = match publish(nats, tenant, &submit.queue, task).await {
        Ok(published) => published,
        Err(failure) => {
            take_back(nats, tenant, object, &failure).await;
            return Err(failure);
        }
    };
    let task = TaskRef { queue: submit.queue, id };
    if duplicate {
        if let Some(name) = object {
            claim::remove(nats, tenant, name).await;
        }
        console.note("a task with this message id was published before; this one was dropped");
    }
    if submit.wait {
        let stored = task::wait(nats, tenant, &task, submit.wait_timeout).await?;
        if stored.result.sequence != sequence {
            console.note(format!("{task} has a result already, of an earlier task; that is the one shown"));
        }
        return task::show(nats, tenant, stored, console).await;
    }
    let data = json!({
        "task": task.to_string(), "tenant": tenant, "queue": task.queue, "sequence": sequence, "duplicate": duplicate,
    });
    console.answer(data, task.to_string())?;
    Ok(Exit::Success)
}

async fn delayed(
    nats: &Nats,
    tenant: &TenantName,
    submit: Arguments,
    task: NewTask,
    due: SystemTime,
    object: Option<PayloadName>,
    console: Console,
) -> Result<Exit, Failure> {
    let setting = async {
        connection::queues(nats, tenant, Some(&submit.queue)).await?;
        let timer = later::timer(&submit.queue, task, due)?;
        let id = timer.id.clone();
        Timers::new(nats).put(tenant, timer).await?;
        Ok(id)
    };
    let id = match setting.await {
        Ok(id) => id,
        Err(failure) => {
            take_back(nats, tenant, object, &failure).await;
            return Err(failure);
        }
    };
    let task = TaskRef { queue: submit.queue, id };
    if submit.wait {
        let stored = task::wait(nats, tenant, &task, submit.wait_timeout).await?;
        return task::show(nats, tenant, stored, console).await;
    }
    let data = json!({
        "task": task.to_string(), "tenant": tenant, "queue": task.queue, "state": task::DELAYED, "due_at": rfc3339(due),
    });
    console.answer(data, task.to_string())?;
    Ok(Exit::Success)
}

async fn publish(
    nats: &Nats,
    tenant: &TenantName,
    queue: &QueueName,
    task: NewTask,
) -> Result<Published, Failure> {
    match Tasks::new(nats).publish(tenant, queue, task).await {
        Err(error @ PublishError::UnknownQueue { .. }) => {
            Err(connection::explain_queue(nats, tenant, queue, error.into()).await)
        }
        published => Ok(published?),
    }
}

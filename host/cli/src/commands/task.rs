//! `saggar task`: submitting tasks, looking at them, waiting for them.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Subcommand;
use saggar_jetstream::{
    Nats, NewTask, PublishError, Published, Results, StoredResult, TaskState, Tasks, Timers, WaitingTimer,
};
use saggar_model::{
    QueueName, TaskId, TaskRef, TenantName, format_bytes, format_duration, header_name, parse_duration,
};
use serde_json::json;

use crate::arguments::ConnectionFlags;
use crate::commands::{task_cancel, task_list, task_logs};
use crate::connection::{self, TenantFlag};
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::header::{Header, with_content_type};
use crate::later;
use crate::moment::{ago, ahead, rfc3339};
use crate::report::Stderr;
use crate::{payload, report};

const EXAMPLES: &str = "\
A task is named QUEUE/ID.

Examples:
  saggar task submit hello '{\"name\":\"Ada\"}' --tenant acme --wait
  saggar task get hello/order-17 --tenant acme";

/// The arguments of `saggar task`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    tenant: TenantFlag,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Publish a task, and perhaps wait for its result.
    #[command(after_help = "Examples:\n  saggar task submit hello '{\"name\":\"Ada\"}' --wait\n  \
                            saggar task submit thumbnail --file photo.jpg --id order-17 --unique --wait > thumbnail.jpg\n  \
                            saggar task submit remind '{\"user\":7}' --in 10m")]
    Submit(Box<Submit>),
    /// Show a task's result, or where the task is.
    #[command(after_help = "Example:\n  saggar task get thumbnail/order-17 > thumbnail.jpg")]
    Get {
        /// The task, as QUEUE/ID.
        task: TaskRef,
    },
    /// Wait for a task's result, and show it.
    #[command(after_help = "Example:\n  saggar task wait thumbnail/order-17 --timeout 5m")]
    Wait {
        /// The task, as QUEUE/ID.
        task: TaskRef,

        /// How long to wait.
        #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "60s")]
        timeout: Duration,
    },
    /// End tasks that wait, run or are delayed; their outcome is `cancelled`.
    #[command(after_help = "Example:\n  saggar task cancel thumbnail/order-17 thumbnail/order-18")]
    Cancel {
        /// The tasks, as QUEUE/ID.
        #[arg(required = true)]
        tasks: Vec<TaskRef>,
    },
    /// Show what a task says: live with --follow, and otherwise what is kept of a failure.
    #[command(after_help = "Examples:\n  saggar task logs thumbnail/order-17 --follow\n  \
                            saggar task logs thumbnail/order-17")]
    Logs(task_logs::Arguments),
    /// List tasks that wait or run; with --results, those that ended last.
    #[command(after_help = "Examples:\n  saggar task ls\n  saggar task ls thumbnail --results --limit 100")]
    Ls(task_list::Arguments),
}

#[derive(Debug, clap::Args)]
struct Submit {
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

/// Does what the command line says.
///
/// # Errors
/// There is no such tenant, queue or task, it was not published, or NATS does not answer.
pub async fn execute(
    arguments: Arguments,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    let tenant = arguments.tenant.get()?;
    match arguments.command {
        Command::Submit(submit) => {
            let task = new_task(&submit)?;
            let due = later::due(submit.after, submit.at);
            let nats = connection::connect(flags, console).await?;
            match due {
                None => execute_submit(&nats, &tenant, *submit, task, console).await,
                Some(due) => execute_delayed(&nats, &tenant, *submit, task, due, console).await,
            }
        }
        Command::Get { task } => {
            get(&connection::connect(flags, console).await?, &tenant, &task, console).await
        }
        Command::Wait { task, timeout } => {
            let nats = connection::connect(flags, console).await?;
            if result(&nats, &tenant, &task).await?.is_none()
                && state(&nats, &tenant, &task).await?.is_none()
                && timer(&nats, &tenant, &task).await?.is_none()
            {
                console.note(format!("{task} is not in its queue; waiting for a result all the same"));
            }
            let stored = wait(&nats, &tenant, &task, timeout).await?;
            report::write(console, &tenant, &stored.result, Stderr::Unseen)
        }
        Command::Cancel { tasks } => {
            let nats = connection::connect(flags, console).await?;
            task_cancel::execute(&nats, &tenant, tasks, console).await
        }
        Command::Logs(arguments) => {
            let nats = connection::connect(flags, console).await?;
            task_logs::execute(arguments, &nats, &tenant, console).await
        }
        Command::Ls(arguments) => {
            let nats = connection::connect(flags, console).await?;
            task_list::execute(arguments, &nats, &tenant, console).await
        }
    }
}

fn new_task(submit: &Submit) -> Result<NewTask, Failure> {
    let payload = match (&submit.payload, &submit.file) {
        (Some(dash), _) if dash == "-" => payload::read_standard_input()?,
        (Some(text), _) => text.clone().into(),
        (None, Some(file)) => payload::read(file)?,
        (None, None) => bytes::Bytes::new(),
    };
    let mut headers = with_content_type(submit.content_type.as_deref(), &submit.headers);
    let own = [
        (header_name::TIMEOUT, submit.timeout.clone()),
        (header_name::DEADLINE, submit.deadline.map(|deadline| deadline.to_string())),
    ];
    headers.extend(own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Ok(NewTask {
        id: submit.id.clone(),
        payload,
        headers,
        message_id: submit.message_id.clone(),
        unique: submit.unique,
    })
}

async fn execute_submit(
    nats: &Nats,
    tenant: &TenantName,
    submit: Submit,
    task: NewTask,
    console: Console,
) -> Result<Exit, Failure> {
    let Published { id, sequence, duplicate } = publish(nats, tenant, &submit.queue, task).await?;
    let task = TaskRef { queue: submit.queue, id };
    if duplicate {
        console.note("a task with this message id was published before; this one was dropped");
    }
    if submit.wait {
        let stored = wait(nats, tenant, &task, submit.wait_timeout).await?;
        if stored.result.sequence != sequence {
            console.note(format!("{task} has a result already, of an earlier task; that is the one shown"));
        }
        return report::write(console, tenant, &stored.result, Stderr::Unseen);
    }
    let data = json!({
        "task": task.to_string(), "tenant": tenant, "queue": task.queue, "sequence": sequence, "duplicate": duplicate,
    });
    console.answer(data, task.to_string())?;
    Ok(Exit::Success)
}

async fn execute_delayed(
    nats: &Nats,
    tenant: &TenantName,
    submit: Submit,
    task: NewTask,
    due: SystemTime,
    console: Console,
) -> Result<Exit, Failure> {
    connection::queues(nats, tenant, Some(&submit.queue)).await?;
    let timer = later::timer(&submit.queue, task, due)?;
    let task = TaskRef { queue: submit.queue, id: timer.id.clone() };
    Timers::new(nats).put(tenant, timer).await?;
    if submit.wait {
        let stored = wait(nats, tenant, &task, submit.wait_timeout).await?;
        return report::write(console, tenant, &stored.result, Stderr::Unseen);
    }
    let data = json!({
        "task": task.to_string(), "tenant": tenant, "queue": task.queue, "state": DELAYED, "due_at": rfc3339(due),
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

async fn get(nats: &Nats, tenant: &TenantName, task: &TaskRef, console: Console) -> Result<Exit, Failure> {
    if let Some(stored) = result(nats, tenant, task).await? {
        return report::write(console, tenant, &stored.result, Stderr::Unseen);
    }
    if let Some((state, waiting)) = state(nats, tenant, task).await? {
        let name = state_name(state);
        let data = json!({
            "task": task.to_string(), "tenant": tenant, "queue": task.queue, "state": name,
            "bytes_in": waiting.size, "published_at": rfc3339(waiting.published_at),
        });
        let (size, since) = (format_bytes(waiting.size as u64), ago(waiting.published_at, SystemTime::now()));
        console.answer(data, format!("{name}  {size}, published {since}"))?;
        return Ok(Exit::Success);
    }
    if let Some(timer) = timer(nats, tenant, task).await? {
        let due = rfc3339(timer.due);
        let data = json!({
            "task": task.to_string(), "tenant": tenant, "queue": task.queue, "state": DELAYED,
            "bytes_in": timer.size, "due_at": due,
        });
        let (size, left) = (format_bytes(timer.size as u64), ahead(timer.due, SystemTime::now()));
        console.answer(data, format!("{DELAYED}  {size}, due {left} ({due})"))?;
        return Ok(Exit::Success);
    }
    // It may have ended between the questions.
    match result(nats, tenant, task).await? {
        Some(stored) => report::write(console, tenant, &stored.result, Stderr::Unseen),
        None => Err(missing(tenant, task)),
    }
}

async fn wait(
    nats: &Nats,
    tenant: &TenantName,
    task: &TaskRef,
    timeout: Duration,
) -> Result<StoredResult, Failure> {
    match Results::new(nats).wait(tenant, &task.queue, &task.id, timeout).await {
        Ok(Some(stored)) => Ok(stored),
        Ok(None) => Err(match state(nats, tenant, task).await? {
            None => match timer(nats, tenant, task).await? {
                Some(timer) => still_delayed(task, &timer),
                None => missing(tenant, task),
            },
            Some((state, _)) => {
                let waited = format_duration(timeout);
                Failure::new(
                    Kind::TimedOut,
                    format!("{task} has no result after {waited}; it is {}", state_name(state)),
                )
                .advice(advice_on(state, task))
            }
        }),
        Err(error) => Err(connection::explain(nats, tenant, error.into()).await),
    }
}

fn advice_on(state: TaskState, task: &TaskRef) -> String {
    match state {
        TaskState::Queued => {
            "Does a host run, and is the queue paused or busy? See `saggar queue ls`.".to_owned()
        }
        TaskState::Running => format!("Wait on with `saggar task wait {task}`."),
    }
}

fn still_delayed(task: &TaskRef, timer: &WaitingTimer) -> Failure {
    let due = rfc3339(timer.due);
    Failure::new(Kind::TimedOut, format!("{task} has no result yet; it is delayed until {due}"))
        .advice(format!("Wait on with `saggar task wait {task}`."))
}

/// What to say when there is no such task.
pub fn missing(tenant: &TenantName, task: &TaskRef) -> Failure {
    Failure::new(
        Kind::NotFound,
        format!(
            "tenant {tenant} has no task {task}: it is not in its queue, not delayed, and no result is kept"
        ),
    )
    .advice("See `saggar task ls`, `saggar task ls --results` and `saggar queue ls`.")
}

/// A task's result, if it has one.
///
/// # Errors
/// There is no such tenant, or NATS does not answer.
pub async fn result(
    nats: &Nats,
    tenant: &TenantName,
    task: &TaskRef,
) -> Result<Option<StoredResult>, Failure> {
    match Results::new(nats).get(tenant, &task.queue, &task.id).await {
        Ok(found) => Ok(found),
        Err(error) => Err(connection::explain(nats, tenant, error.into()).await),
    }
}

/// Where a task without a result is; nothing if it is nowhere.
///
/// # Errors
/// NATS does not answer.
pub async fn state(
    nats: &Nats,
    tenant: &TenantName,
    task: &TaskRef,
) -> Result<Option<(TaskState, saggar_jetstream::QueuedTask)>, Failure> {
    Ok(Tasks::new(nats).state_of(tenant, &task.queue, &task.id).await?)
}

async fn timer(nats: &Nats, tenant: &TenantName, task: &TaskRef) -> Result<Option<WaitingTimer>, Failure> {
    Ok(Timers::new(nats).find(tenant, &task.queue, &task.id).await?)
}

/// The state of a task that waits for a point in time, in the words of the documentation.
pub const DELAYED: &str = "delayed";

/// A task's state in the words of the documentation.
#[must_use]
pub fn state_name(state: TaskState) -> &'static str {
    match state {
        TaskState::Queued => "queued",
        TaskState::Running => "running",
    }
}

//! `saggar task`: looking at tasks, waiting for them, and what else can be done with them.

use std::time::{Duration, SystemTime};

use clap::Subcommand;
use saggar_jetstream::{Control, Nats, Results, StoredResult, TaskState};
use saggar_model::{Place, TaskRef, TenantName, Whereabouts, format_bytes, format_duration, parse_duration};

use crate::arguments::ConnectionFlags;
use crate::claim;
use crate::commands::{task_cancel, task_list, task_logs, task_submit};
use crate::connection::{self, TenantFlag};
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::moment::{ago, ahead, rfc3339};
use crate::report;
use crate::report::Stderr;

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
    Submit(Box<task_submit::Arguments>),
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
        Command::Submit(submit) => task_submit::execute(*submit, flags, &tenant, console).await,
        Command::Get { task } => {
            get(&connection::connect(flags, console).await?, &tenant, &task, console).await
        }
        Command::Wait { task, timeout } => {
            let nats = connection::connect(flags, console).await?;
            if result(&nats, &tenant, &task).await?.is_none()
                && whereabouts(&nats, &tenant, &task).await?.is_none()
            {
                console.note(format!("{task} is not in its queue; waiting for a result all the same"));
            }
            let stored = wait(&nats, &tenant, &task, timeout).await?;
            show(&nats, &tenant, stored, console).await
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

async fn get(nats: &Nats, tenant: &TenantName, task: &TaskRef, console: Console) -> Result<Exit, Failure> {
    if let Some(stored) = result(nats, tenant, task).await? {
        return show(nats, tenant, stored, console).await;
    }
    if let Some(found) = whereabouts(nats, tenant, task).await? {
        let text = described(&found);
        console.answer(found, text)?;
        return Ok(Exit::Success);
    }
    // It may have ended between the questions.
    match result(nats, tenant, task).await? {
        Some(stored) => show(nats, tenant, stored, console).await,
        None => Err(missing(tenant, task)),
    }
}

fn described(found: &Whereabouts) -> String {
    let (state, size) = (found.state.as_str(), format_bytes(found.bytes_in));
    let now = SystemTime::now();
    match (found.due_at, found.published_at) {
        (Some(due), _) => format!("{state}  {size}, due {} ({})", ahead(due, now), rfc3339(due)),
        (None, Some(published)) => format!("{state}  {size}, published {}", ago(published, now)),
        (None, None) => format!("{state}  {size}"),
    }
}

/// Writes what became of a task, with its output wherever that lies.
///
/// # Errors
/// The output cannot be had, or standard output cannot be written.
pub async fn show(
    nats: &Nats,
    tenant: &TenantName,
    stored: StoredResult,
    console: Console,
) -> Result<Exit, Failure> {
    let result = claim::whole(nats, tenant, stored.result).await?;
    report::write(console, tenant, &result, Stderr::Unseen)
}

/// Waits for a task's result.
///
/// # Errors
/// There is none in time, or NATS does not answer.
pub async fn wait(
    nats: &Nats,
    tenant: &TenantName,
    task: &TaskRef,
    timeout: Duration,
) -> Result<StoredResult, Failure> {
    match Results::new(nats).wait(tenant, &task.queue, &task.id, timeout).await {
        Ok(Some(stored)) => Ok(stored),
        Ok(None) => Err(match whereabouts(nats, tenant, task).await? {
            None => missing(tenant, task),
            Some(found) => unfinished(task, &found, timeout),
        }),
        Err(error) => Err(connection::explain(nats, tenant, error.into()).await),
    }
}

/// What to say of a task that has no result in time.
fn unfinished(task: &TaskRef, found: &Whereabouts, timeout: Duration) -> Failure {
    let wait_on = format!("Wait on with `saggar task wait {task}`.");
    let (text, advice) = match (found.state, found.due_at) {
        (Place::Delayed, Some(due)) => {
            (format!("{task} has no result yet; it is delayed until {}", rfc3339(due)), wait_on)
        }
        (state, _) => {
            let text =
                format!("{task} has no result after {}; it is {}", format_duration(timeout), state.as_str());
            let asked = "Does a host run, and is the queue paused or busy? See `saggar queue ls`.";
            (text, if state == Place::Queued { asked.to_owned() } else { wait_on })
        }
    };
    Failure::new(Kind::TimedOut, text).advice(advice)
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
/// NATS does not answer; with a tenant's own account also: no host does.
pub async fn whereabouts(
    nats: &Nats,
    tenant: &TenantName,
    task: &TaskRef,
) -> Result<Option<Whereabouts>, Failure> {
    Ok(Control::new(nats).whereabouts(tenant, task).await?)
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

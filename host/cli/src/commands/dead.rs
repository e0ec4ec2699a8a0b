//! `saggar dead`: tasks that will not be retried by themselves.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use clap::Subcommand;
use futures::future;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use saggar_jetstream::{DeadError, DeadLetters, DeadName, Nats, Redriven, StoredDead};
use saggar_model::{NameError, Outcome, QueueName, TenantName, escape, escape_and_cut, header_name};
use serde::Serialize;
use serde_json::json;

use crate::arguments::ConnectionFlags;
use crate::claim;
use crate::commands::dead_letter;
use crate::confirm::confirm;
use crate::connection::{self, TenantFlag};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::moment::{ago, rfc3339};
use crate::newest::{Placed, newest};
use crate::report::style;
use crate::several::{Done, each};
use crate::table::{self, Cell, Column};

/// How much of a reason stands in a table.
const REASON_BYTES: usize = 80;

const EXAMPLES: &str = "\
Examples:
  saggar dead ls --tenant acme
  saggar dead redrive thumbnail/order-17 --tenant acme";

/// The arguments of `saggar dead`.
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
    /// List failed tasks, newest first.
    #[command(after_help = "Example:\n  saggar dead ls thumbnail --limit 100")]
    Ls {
        /// Only those of this queue.
        queue: Option<QueueName>,

        /// Rows at most.
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Show why a task failed, and the task itself.
    #[command(after_help = "Example:\n  saggar dead show thumbnail/order-17")]
    Show {
        /// The task, as QUEUE/ID.
        task: DeadRef,
    },
    /// Put failed tasks back into their queues, with all their attempts before them.
    #[command(after_help = "Examples:\n  saggar dead redrive thumbnail/order-17 thumbnail/order-18\n  \
                            saggar dead redrive --queue thumbnail --outcome timed-out")]
    Redrive {
        #[command(flatten)]
        selection: Selection,
    },
    /// Remove failed tasks for good.
    #[command(after_help = "Examples:\n  saggar dead rm thumbnail/order-17\n  \
                            saggar dead rm --queue thumbnail --outcome rejected --yes")]
    Rm {
        #[command(flatten)]
        selection: Selection,

        /// Do not ask whether many may go.
        #[arg(long)]
        yes: bool,
    },
}

/// Which dead letters: some by name, or all that fit.
#[derive(Debug, clap::Args)]
struct Selection {
    /// The tasks, as QUEUE/ID.
    #[arg(required_unless_present_any = ["queue", "outcome", "all"], conflicts_with_all = ["queue", "outcome", "all"])]
    tasks: Vec<DeadRef>,

    /// All of this queue.
    #[arg(long, value_name = "QUEUE")]
    queue: Option<QueueName>,

    /// All that ended so, for example timed-out.
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<Outcome>,

    /// All of the tenant.
    #[arg(long)]
    all: bool,
}

/// A dead letter as commands name it: `QUEUE/ID`, and `QUEUE/ID~SEQUENCE` for a second one of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadRef {
    queue: QueueName,
    name: DeadName,
}

impl FromStr for DeadRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (queue, name) = text.split_once('/').unwrap_or((text, ""));
        Ok(Self { queue: queue.parse()?, name: name.parse()? })
    }
}

impl fmt::Display for DeadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.queue, self.name)
    }
}

impl From<&StoredDead> for DeadRef {
    fn from(dead: &StoredDead) -> Self {
        Self { queue: dead.queue.clone(), name: dead.name.clone() }
    }
}

/// Does what the command line says.
///
/// # Errors
/// There is no such tenant or dead letter, or NATS does not answer.
pub async fn execute(
    arguments: Arguments,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    let tenant = arguments.tenant.get()?;
    let nats = connection::connect(flags, console).await?;
    match arguments.command {
        Command::Ls { queue, limit } => list(&nats, &tenant, queue.as_ref(), limit, console).await,
        Command::Show { task } => {
            let dead = get(&nats, &tenant, &task).await?;
            let dead = claim::whole_dead(&nats, &tenant, dead, console).await?;
            dead_letter::write(console, &tenant, &task.to_string(), &dead)?;
            Ok(Exit::Success)
        }
        Command::Redrive { selection } => {
            let redrive = async |task: DeadRef| {
                let done = DeadLetters::new(&nats).redrive(&tenant, &task.queue, &task.name).await;
                let done = explained(&nats, &tenant, done).await?;
                Ok(redriven(&task, &done))
            };
            each(selection.find(&nats, &tenant).await?, redrive, console).await
        }
        Command::Rm { selection, yes } => {
            if selection.tasks.is_empty() {
                let from = selection.queue.as_ref().map_or(tenant.to_string(), ToString::to_string);
                confirm(yes, &format!("removing dead letters of {from}"), &from)?;
            }
            let remove = async |task: DeadRef| {
                let dead = get(&nats, &tenant, &task).await?;
                let removed = DeadLetters::new(&nats).remove(&tenant, dead.sequence).await;
                explained(&nats, &tenant, removed).await?;
                Ok(Done {
                    row: json!({ "task": task.to_string(), "removed": true }),
                    line: format!("{task} removed"),
                })
            };
            each(selection.find(&nats, &tenant).await?, remove, console).await
        }
    }
}

/// Dead letters read in one go.
const PAGE: usize = 256;

impl Selection {
    /// The dead letters that are meant, oldest first: those of now. One whose task fails again meanwhile is left, or
    /// there would be no end.
    async fn find(
        self,
        nats: &Nats,
        tenant: &TenantName,
    ) -> Result<BoxStream<'static, Result<DeadRef, Failure>>, Failure> {
        if !self.tasks.is_empty() {
            return Ok(stream::iter(self.tasks.into_iter().map(Ok)).boxed());
        }
        connection::queues(nats, tenant, self.queue.as_ref()).await?;
        let letters = DeadLetters::new(nats);
        let (tenant, Self { queue, outcome, .. }) = (tenant.clone(), self);
        let Some(last) = explained(nats, &tenant, letters.last(&tenant).await).await? else {
            return Ok(stream::empty().boxed());
        };
        let pages = stream::try_unfold(0, move |after| {
            let (letters, tenant, queue) = (letters.clone(), tenant.clone(), queue.clone());
            async move {
                let page = letters.list(&tenant, queue.as_ref(), after, PAGE).await?;
                let next = page.last().map(|dead| dead.sequence);
                Ok::<_, Failure>(next.map(|next| (page, next)))
            }
        });
        let meant = move |dead: &StoredDead| {
            dead.sequence <= last
                && outcome.is_none_or(|outcome| dead.header(header_name::STATUS) == Some(outcome.as_str()))
        };
        let within = pages.try_take_while(move |page| {
            future::ready(Ok(page.first().is_some_and(|first| first.sequence <= last)))
        });
        let found = within.map_ok(move |page| {
            let meant: Vec<_> =
                page.iter().filter(|dead| meant(dead)).map(|dead| Ok(DeadRef::from(dead))).collect();
            stream::iter(meant)
        });
        Ok(found.try_flatten().boxed())
    }
}

fn redriven(task: &DeadRef, done: &Redriven) -> Done {
    let queue = &task.queue;
    let (result, id, line) = match done {
        Redriven::Published { id, .. } if *id == task.name.id => {
            ("published", Some(id), format!("{task} is back in its queue"))
        }
        Redriven::Published { id, .. } => {
            ("published", Some(id), format!("{task} is back in its queue, as {queue}/{id}"))
        }
        Redriven::Waiting => ("waiting", None, format!("{task} was in its queue already")),
        Redriven::Done => ("done", None, format!("{task} has succeeded since; its result stands")),
    };
    let now = id.map(|id| format!("{queue}/{id}"));
    Done { row: json!({ "task": task.to_string(), "result": result, "published_as": now }), line }
}

async fn get(nats: &Nats, tenant: &TenantName, task: &DeadRef) -> Result<StoredDead, Failure> {
    let got = DeadLetters::new(nats).get(tenant, &task.queue, &task.name).await;
    let missing = || DeadError::Missing { queue: task.queue.clone(), name: task.name.clone() };
    explained(nats, tenant, got).await?.ok_or_else(|| missing().into())
}

async fn explained<T>(nats: &Nats, tenant: &TenantName, done: Result<T, DeadError>) -> Result<T, Failure> {
    match done {
        Ok(value) => Ok(value),
        Err(error) => Err(connection::explain(nats, tenant, error.into()).await),
    }
}

#[derive(Debug, Serialize)]
struct Row {
    task: String,
    queue: String,
    outcome: Option<Outcome>,
    attempt: Option<u32>,
    reason: String,
    bytes_in: usize,
    stored_at: String,
    #[serde(skip)]
    since: String,
}

impl From<StoredDead> for Row {
    fn from(dead: StoredDead) -> Self {
        Self {
            task: DeadRef::from(&dead).to_string(),
            queue: dead.queue.to_string(),
            outcome: dead.header(header_name::STATUS).and_then(|status| status.parse().ok()),
            attempt: dead.header(header_name::ATTEMPT).and_then(|attempt| attempt.parse().ok()),
            reason: dead.header(header_name::REASON).unwrap_or_default().to_owned(),
            bytes_in: dead.letter.payload.len(),
            stored_at: rfc3339(dead.stored_at),
            since: ago(dead.stored_at, SystemTime::now()),
        }
    }
}

impl table::Row for Row {
    const COLUMNS: &'static [Column] = &[
        Column::text("task"),
        Column::text("outcome"),
        Column::number("attempt"),
        Column::text("ended"),
        Column::text("reason"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let outcome = self.outcome.map_or(Cell::from("?"), |outcome| Cell::styled(outcome, style(outcome)));
        vec![
            escape(&self.task).into(),
            outcome,
            self.attempt.map_or(Cell::from("?"), Cell::from),
            (&self.since).into(),
            escape_and_cut(&self.reason, REASON_BYTES).into(),
        ]
    }
}

impl Placed for StoredDead {
    fn place(&self) -> u64 {
        self.sequence
    }
}

async fn list(
    nats: &Nats,
    tenant: &TenantName,
    queue: Option<&QueueName>,
    limit: u32,
    console: Console,
) -> Result<Exit, Failure> {
    // A queue that does not exist would have no dead letters, and nobody would learn that its name is misspelt.
    connection::queues(nats, tenant, queue).await?;
    let letters = DeadLetters::new(nats);
    let read = async |after, limit| Ok(letters.list(tenant, queue, after, limit).await?);
    let found = match newest(read, usize::try_from(limit).unwrap_or(usize::MAX)).await {
        Ok(found) => found,
        Err(error) => return Err(connection::explain(nats, tenant, error).await),
    };
    let rows: Vec<Row> = found.into_iter().map(Row::from).collect();
    table::write(console, &rows, json!({ "limit": limit }), "no dead letters")?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_is_named_like_its_task_and_a_second_one_by_its_sequence_too() {
        for name in ["thumbnail/order-17", "thumbnail/order-17~42", "thumbnail/seq-abc-3"] {
            assert_eq!(name.parse::<DeadRef>().unwrap().to_string(), name);
        }
        for bad in ["", "thumbnail", "thumbnail/", "/x", "a/b/c", "a/b~", "a/b~c"] {
            assert!(bad.parse::<DeadRef>().is_err(), "{bad}");
        }
    }
}

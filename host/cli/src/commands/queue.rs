//! `saggar queue`: what a tenant's queues are bound to, how full they are, and whether they give out tasks.

use clap::Subcommand;
use futures::{StreamExt as _, TryStreamExt as _};
use owo_colors::Style;
use saggar_jetstream::{Nats, PullError, QueueDepth, TaskQueue};
use saggar_model::{Figures, QueueName, QueueSpec, Rates, RolloutStep, TenantName};
use serde::Serialize;
use serde_json::json;

use crate::arguments::ConnectionFlags;
use crate::commands::{queue_control, queue_rollout};
use crate::connection::{self, TenantFlag};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::observer::{LISTED, Observer};
use crate::report::count;
use crate::short;
use crate::table::{self, Cell, Column};

/// Questions under way at once: each asks the server about one queue.
const AT_ONCE: usize = 16;

const EXAMPLES: &str = "\
Examples:
  saggar queue ls --tenant acme
  saggar queue pause thumbnail --tenant acme";

/// The arguments of `saggar queue`.
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
    /// List the queues of a tenant: how full they are, and what is done of them in half a second.
    #[command(after_help = "Example:\n  saggar queue ls --tenant acme --output json")]
    Ls,
    /// Let no task out of a queue; those that run go on.
    #[command(
        after_help = "Examples:\n  saggar queue pause thumbnail\n  saggar queue pause thumbnail --for 2h"
    )]
    Pause(queue_control::Pause),
    /// Let tasks out again.
    #[command(after_help = "Example:\n  saggar queue resume thumbnail")]
    Resume {
        /// The queues.
        #[arg(required = true)]
        queues: Vec<QueueName>,
    },
    /// Have a queue run the version it tries, for all tasks and for good.
    #[command(after_help = "Example:\n  saggar queue promote thumbnail --tenant acme")]
    Promote {
        /// The queue.
        queue: QueueName,
    },
    /// Give up the version that a queue tries; if it tries none, have it run the one it ran before.
    #[command(after_help = "Example:\n  saggar queue rollback thumbnail --tenant acme")]
    Rollback {
        /// The queue.
        queue: QueueName,
    },
    /// Remove every task that waits in a queue, for good; those that hosts have go on.
    #[command(after_help = "Example:\n  saggar queue purge thumbnail --yes")]
    Purge {
        /// The queue.
        queue: QueueName,

        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Serialize)]
struct Row {
    queue: String,
    tenant: String,
    plugin: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    canary: Option<saggar_model::Canary>,
    state: State,
    pending: u64,
    oldest_ms: Option<u64>,
    running: u64,
    #[serde(flatten)]
    rates: Rates,
    share: f64,
    entitlement: f64,
    concurrency: u32,
    weight: u32,
    /// What its tasks may do beyond computing, without the values of the configuration.
    grants: Vec<String>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// Hosts take tasks out of it.
    Active,
    /// An operator paused it.
    Paused,
    /// No host has made it yet.
    Waiting,
}

impl State {
    fn cell(self) -> Cell {
        match self {
            Self::Active => Cell::from("active"),
            Self::Paused => Cell::styled("paused", Style::new().yellow()),
            Self::Waiting => Cell::styled("waiting for a host", Style::new().yellow()),
        }
    }
}

impl table::Row for Row {
    const COLUMNS: &'static [Column] = &[
        Column::text("queue"),
        Column::text("plugin"),
        Column::number("pending"),
        Column::number("oldest"),
        Column::number("running"),
        Column::number("rate/s"),
        Column::number("fail/s"),
        Column::number("share"),
        Column::number("concurrency"),
        Column::number("weight"),
        Column::text("state"),
        Column::text("grants"),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            (&self.queue).into(),
            match &self.canary {
                Some(canary) => format!("{}, {} % {}", self.plugin, canary.percent, canary.version).into(),
                None => (&self.plugin).into(),
            },
            count(self.pending).into(),
            short::oldest(self.oldest_ms).into(),
            count(self.running).into(),
            short::amount(self.rates.rate).into(),
            short::amount(self.rates.failures).into(),
            short::part(self.share).into(),
            self.concurrency.into(),
            self.weight.into(),
            self.state.cell(),
            granted(&self.grants),
        ]
    }
}

/// Does what the command line says.
///
/// # Errors
/// There is no such tenant, or NATS does not answer.
pub async fn execute(
    arguments: Arguments,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    let tenant = arguments.tenant.get()?;
    let nats = connection::connect(flags, console).await?;
    match arguments.command {
        Command::Ls => list(&nats, &tenant, console).await,
        Command::Pause(pause) => queue_control::pause(&nats, &tenant, pause, console).await,
        Command::Resume { queues } => queue_control::resume(&nats, &tenant, queues, console).await,
        Command::Promote { queue } => {
            queue_rollout::roll(&nats, &tenant, &queue, RolloutStep::Promoted, console).await
        }
        Command::Rollback { queue } => {
            queue_rollout::roll(&nats, &tenant, &queue, RolloutStep::RolledBack, console).await
        }
        Command::Purge { queue, yes } => queue_control::purge(&nats, &tenant, &queue, yes, console).await,
    }
}

async fn list(nats: &Nats, tenant: &TenantName, console: Console) -> Result<Exit, Failure> {
    let queues = connection::tenant(nats, tenant).await?.record.spec.queues;
    let mut seen = Observer::new(nats, Some(tenant.clone())).measure(LISTED).await?.overview.queues;
    let queues = queues.into_iter().map(|(name, spec)| {
        let figures = seen.remove(&(tenant.clone(), name.clone())).unwrap_or_default();
        (name, spec, figures)
    });
    let rows: Vec<Row> = futures::stream::iter(queues)
        .map(|(name, spec, figures)| row(nats, tenant, name, spec, figures))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    table::write(console, &rows, json!({}), &format!("tenant {tenant} has no queue"))?;
    Ok(Exit::Success)
}

async fn row(
    nats: &Nats,
    tenant: &TenantName,
    queue: QueueName,
    spec: QueueSpec,
    figures: Figures,
) -> Result<Row, Failure> {
    let Figures { oldest_ms, rates, share, entitlement, .. } = figures;
    let depth = depth(nats, tenant, &queue).await?;
    Ok(Row {
        queue: queue.to_string(),
        tenant: tenant.to_string(),
        plugin: spec.plugin.to_string(),
        canary: spec.canary,
        state: match depth {
            None => State::Waiting,
            Some(QueueDepth { paused: true, .. }) => State::Paused,
            Some(_) => State::Active,
        },
        pending: depth.map_or(0, |depth| depth.pending),
        oldest_ms,
        running: depth.map_or(0, |depth| depth.running),
        rates,
        share,
        entitlement,
        concurrency: spec.concurrency,
        weight: spec.weight,
        grants: spec.grants.summary(),
    })
}

fn granted(grants: &[String]) -> Cell {
    if grants.is_empty() {
        Cell::styled("none", Style::new().dimmed())
    } else {
        Cell::from(grants.join("; "))
    }
}

/// How full a queue is; nothing, if no host has made it yet.
///
/// # Errors
/// NATS does not answer.
pub async fn depth(
    nats: &Nats,
    tenant: &TenantName,
    queue: &QueueName,
) -> Result<Option<QueueDepth>, Failure> {
    let opened = async { TaskQueue::open(nats, tenant, queue).await?.depth().await };
    match opened.await {
        Ok(depth) => Ok(Some(depth)),
        Err(PullError::Gone { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

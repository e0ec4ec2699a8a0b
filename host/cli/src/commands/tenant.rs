//! `saggar tenant`: who there is, what they use, and who is to go.

use clap::Subcommand;
use saggar_jetstream::{Fault, Nats, TenantEntry, Tenants, Usages};
use saggar_model::{Day, Figures, Quota, Rates, Tally, TenantName, format_bytes};
use serde::Serialize;
use serde_json::json;

use crate::arguments::ConnectionFlags;
use crate::commands::{tenant_creds, tenant_remove, tenant_usage};
use crate::connection;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::observer::{LISTED, Observer};
use crate::report::count;
use crate::short;
use crate::table::{self, Cell, Column};

const EXAMPLES: &str = "\
Examples:
  saggar tenant ls
  saggar tenant creds acme --out /etc/nats/saggar
  saggar tenant usage acme --from 2026-11-01 --by queue
  saggar tenant rm acme";

/// The arguments of `saggar tenant`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the tenants: their weights and quotas, what waits, and what is done of it in half a second.
    #[command(after_help = "Example:\n  saggar tenant ls --output json")]
    Ls,
    /// Make NATS accounts for tenants that are not trusted, and one for the hosts.
    #[command(after_help = "Examples:\n  saggar tenant creds acme globex --out /etc/nats/saggar\n  \
                            saggar tenant creds --all --out /etc/nats/saggar --jwt")]
    Creds(tenant_creds::Arguments),
    /// Remove a tenant, with its queues, tasks, results, dead letters, schedules, plugins and all that they keep.
    #[command(after_help = "Example:\n  saggar tenant rm acme --yes")]
    Rm {
        /// The tenant.
        tenant: TenantName,

        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Show what tenants have used: tasks, fuel, processor time, memory, bytes.
    #[command(
        after_help = "Examples:\n  saggar tenant usage\n  saggar tenant usage acme --from 2026-11-01 --to \
                            2026-11-30 --by queue --output csv"
    )]
    Usage(tenant_usage::Arguments),
}

impl Arguments {
    /// Whether the output can be CSV.
    #[must_use]
    pub fn has_csv(&self) -> bool {
        matches!(self.command, Command::Usage(_))
    }
}

#[derive(Debug, Serialize)]
struct Row {
    tenant: String,
    state: &'static str,
    weight: u32,
    queues: Vec<String>,
    /// Queues that are on their way out.
    leaving: Vec<String>,
    #[serde(flatten)]
    figures: Figures,
    quota: Quota,
    today: Today,
    revision: u64,
}

/// What was used since midnight, in UTC.
#[derive(Debug, Default, Serialize)]
struct Today {
    tasks: u64,
    fuel: u64,
}

/// Of a tenant that has nothing to do.
const IDLE: Figures = Figures {
    pending: Some(0),
    oldest_ms: None,
    running: Some(0),
    rates: Rates { rate: 0.0, failures: 0.0, fuel: 0.0, processors: 0.0 },
    share: 0.0,
    entitlement: 0.0,
};

impl Row {
    fn new(entry: TenantEntry, used: Option<&Tally>, figures: Option<&Figures>) -> Self {
        let used = used.map(Tally::by_queue).unwrap_or_default();
        let (spec, removal) = (entry.record.spec, entry.record.removal);
        Self {
            tenant: spec.name.to_string(),
            state: if removal.tenant { "leaving" } else { "active" },
            weight: spec.weight,
            leaving: removal.queues.iter().map(ToString::to_string).collect(),
            queues: spec.queues.keys().map(ToString::to_string).collect(),
            figures: figures.copied().unwrap_or(IDLE),
            quota: spec.quota,
            today: Today { tasks: used.ended(), fuel: used.charged().fuel },
            revision: entry.revision,
        }
    }
}

impl table::Row for Row {
    const COLUMNS: &'static [Column] = &[
        Column::text("tenant"),
        Column::number("weight"),
        Column::number("queues"),
        Column::number("pending"),
        Column::number("oldest"),
        Column::number("running"),
        Column::number("rate/s"),
        Column::number("fail/s"),
        Column::number("share"),
        Column::number("entitled"),
        Column::number("tasks today"),
        Column::number("fuel today"),
        Column::number("max tasks"),
        Column::number("max bytes"),
        Column::text("leaving"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let Figures { pending, oldest_ms, running, rates, share, entitlement } = self.figures;
        let known = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), count);
        vec![
            (&self.tenant).into(),
            self.weight.into(),
            self.queues.len().into(),
            known(pending).into(),
            short::oldest(oldest_ms).into(),
            known(running).into(),
            short::amount(rates.rate).into(),
            short::amount(rates.failures).into(),
            short::part(share).into(),
            short::part(entitlement).into(),
            count(self.today.tasks).into(),
            count(self.today.fuel).into(),
            count(self.quota.tasks).into(),
            format_bytes(self.quota.bytes).into(),
            match (self.state, self.leaving.as_slice()) {
                ("leaving", _) => "all of it".into(),
                (_, []) => "-".into(),
                (_, queues) => queues.join(", ").into(),
            },
        ]
    }
}

/// Does what the command line says.
///
/// # Errors
/// NATS does not answer, or a record cannot be read.
pub async fn execute(
    arguments: Arguments,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    // Accounts are made where no server runs yet, too.
    if let Command::Creds(arguments) = arguments.command {
        return tenant_creds::execute(arguments, flags, console).await;
    }
    let nats = connection::connect(flags, console).await?;
    match arguments.command {
        Command::Rm { tenant, yes } => tenant_remove::remove(&nats, &tenant, yes, console).await,
        Command::Usage(arguments) => tenant_usage::execute(arguments, &nats, console).await,
        Command::Ls | Command::Creds(_) => list(&nats, console).await,
    }
}

async fn list(nats: &Nats, console: Console) -> Result<Exit, Failure> {
    let entries = match Tenants::new(nats).list().await {
        // The records' bucket is made by the first `apply`.
        Err(error) if error.fault() == Fault::NotFound => Vec::new(),
        listed => listed?,
    };
    let today = Day::of(nats.now());
    let used = Usages::new(nats).account(None, today, today).await?;
    let seen = Observer::new(nats, None).measure(LISTED).await?.overview.tenants;
    let row = |entry: TenantEntry| {
        let (used, figures) = (used.get(&entry.record.spec.name), seen.get(&entry.record.spec.name));
        Row::new(entry, used, figures)
    };
    let rows: Vec<Row> = entries.into_iter().map(row).collect();
    table::write(console, &rows, json!({}), "there is no tenant yet; make one with `saggar apply FILE`")?;
    Ok(Exit::Success)
}

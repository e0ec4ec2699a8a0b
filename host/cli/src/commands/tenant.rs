//! `saggar tenant`: who there is.

use clap::Subcommand;
use saggar_jetstream::{Fault, TenantEntry, Tenants};
use saggar_model::{Quota, format_bytes};
use serde::Serialize;
use serde_json::json;

use crate::arguments::ConnectionFlags;
use crate::connection;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::report::count;
use crate::table::{self, Cell, Column};

const EXAMPLES: &str = "\
Example:
  saggar tenant ls";

/// The arguments of `saggar tenant`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the tenants, their weights and their quotas.
    #[command(after_help = "Example:\n  saggar tenant ls --output json")]
    Ls,
}

#[derive(Debug, Serialize)]
struct Row {
    tenant: String,
    weight: u32,
    queues: Vec<String>,
    quota: Quota,
    revision: u64,
}

impl From<TenantEntry> for Row {
    fn from(entry: TenantEntry) -> Self {
        let spec = entry.record.spec;
        Self {
            tenant: spec.name.to_string(),
            weight: spec.weight,
            queues: spec.queues.keys().map(ToString::to_string).collect(),
            quota: spec.quota,
            revision: entry.revision,
        }
    }
}

impl table::Row for Row {
    const COLUMNS: &'static [Column] = &[
        Column::text("tenant"),
        Column::number("weight"),
        Column::number("queues"),
        Column::number("max tasks"),
        Column::number("max bytes"),
        Column::number("results"),
        Column::number("dead"),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            (&self.tenant).into(),
            self.weight.into(),
            self.queues.len().into(),
            count(self.quota.tasks).into(),
            format_bytes(self.quota.bytes).into(),
            format_bytes(self.quota.results).into(),
            format_bytes(self.quota.dead).into(),
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
    let Command::Ls = arguments.command;
    let nats = connection::connect(flags, console).await?;
    let entries = match Tenants::new(&nats).list().await {
        // The records' bucket is made by the first `apply`.
        Err(error) if error.fault() == Fault::NotFound => Vec::new(),
        listed => listed?,
    };
    let rows: Vec<Row> = entries.into_iter().map(Row::from).collect();
    table::write(console, &rows, json!({}), "there is no tenant yet; make one with `saggar apply FILE`")?;
    Ok(Exit::Success)
}

//! `saggar host ls` and `drain`: the hosts that run.

use std::time::{Duration, SystemTime};

use clap::Subcommand;
use owo_colors::Style;
use saggar_jetstream::{Control, ControlError, Fault, HostInfo, Hosts, Nats};
use saggar_model::{HostName, format_bytes, format_duration, parse_duration};
use serde::Serialize;
use serde_json::json;

use crate::arguments::ConnectionFlags;
use crate::connection;
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::moment::{ago, rfc3339};
use crate::table::{self, Cell, Column};

/// How often it is looked whether a host is gone.
const LOOK: Duration = Duration::from_millis(250);

/// What can be done about hosts that run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the hosts that live.
    #[command(after_help = "Example:\n  saggar host ls --output json")]
    Ls,
    /// Tell a host to take on nothing more, to let running tasks end, and to leave.
    #[command(after_help = "Examples:\n  saggar host drain host-1\n  saggar host drain host-1 --wait 5m")]
    Drain {
        /// The host.
        host: HostName,

        /// Wait until it has left, for so long.
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        wait: Option<Duration>,
    },
}

/// Does what the command line says.
///
/// # Errors
/// There is no such host, it did not leave in time, or NATS does not answer.
pub async fn execute(command: Command, flags: &ConnectionFlags, console: Console) -> Result<Exit, Failure> {
    let nats = connection::connect(flags, console).await?;
    match command {
        Command::Ls => list(&nats, console).await,
        Command::Drain { host, wait } => drain(&nats, &host, wait, console).await,
    }
}

#[derive(Debug, Serialize)]
struct Row {
    host: String,
    state: &'static str,
    slots: u32,
    memory: u64,
    version: String,
    started_at: String,
    #[serde(skip)]
    since: String,
}

impl From<HostInfo> for Row {
    fn from(info: HostInfo) -> Self {
        let started = SystemTime::UNIX_EPOCH + Duration::from_millis(info.started_at);
        Self {
            host: info.name,
            state: if info.draining { "draining" } else { "active" },
            slots: info.slots,
            memory: info.memory,
            version: info.version,
            started_at: rfc3339(started),
            since: ago(started, SystemTime::now()),
        }
    }
}

impl table::Row for Row {
    const COLUMNS: &'static [Column] = &[
        Column::text("host"),
        Column::text("state"),
        Column::number("slots"),
        Column::number("memory"),
        Column::text("version"),
        Column::text("started"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let style = if self.state == "active" { Style::new() } else { Style::new().yellow() };
        vec![
            (&self.host).into(),
            Cell::styled(self.state, style),
            self.slots.into(),
            format_bytes(self.memory).into(),
            (&self.version).into(),
            (&self.since).into(),
        ]
    }
}

async fn list(nats: &Nats, console: Console) -> Result<Exit, Failure> {
    let rows: Vec<Row> = hosts(nats).await?.into_iter().map(Row::from).collect();
    table::write(console, &rows, json!({}), "no host runs; start one with `saggar host`")?;
    Ok(Exit::Success)
}

async fn hosts(nats: &Nats) -> Result<Vec<HostInfo>, Failure> {
    match Hosts::new(nats).list().await {
        // Their bucket is made by the first host.
        Err(error) if error.fault() == Fault::NotFound => Ok(Vec::new()),
        listed => Ok(listed?),
    }
}

async fn drain(
    nats: &Nats,
    host: &HostName,
    wait: Option<Duration>,
    console: Console,
) -> Result<Exit, Failure> {
    match Control::new(nats).drain(host).await {
        Ok(()) => {}
        Err(ControlError::NoHost) => {
            return Err(Failure::new(Kind::NotFound, format!("there is no host {host}"))
                .advice("See `saggar host ls`."));
        }
        Err(error) => return Err(error.into()),
    }
    let Some(patience) = wait else {
        console.answer(json!({ "host": host, "state": "draining" }), format!("{host} is draining"))?;
        return Ok(Exit::Success);
    };
    let gone = async {
        let mut look = tokio::time::interval(LOOK);
        loop {
            look.tick().await;
            if !hosts(nats).await?.iter().any(|info| info.name == host.as_str()) {
                return Ok::<_, Failure>(());
            }
        }
    };
    let Ok(left) = tokio::time::timeout(patience, gone).await else {
        let waited = format_duration(patience);
        return Err(Failure::new(Kind::TimedOut, format!("{host} is still draining after {waited}")));
    };
    left?;
    console.answer(json!({ "host": host, "state": "left" }), format!("{host} has left"))?;
    Ok(Exit::Success)
}

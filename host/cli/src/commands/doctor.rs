//! `saggar doctor`: whether an installation keeps what the durability page promises, and what to change where not.

use std::path::{Path, PathBuf};

use owo_colors::Style;
use saggar_jetstream::{Fault, Hosts, Nats, Provisioner, Tenants, monitored};
use saggar_model::TenantRecord;
use saggar_model::checkup::{self, CacheFacts, Check, Mark, Rules, ServerSettings};
use saggar_model::config::HostConfig;
use serde::Serialize;
use serde_json::json;

use crate::arguments::ConnectionFlags;
use crate::cache_dir::cache_dir;
use crate::commands::host;
use crate::connection::connect_to;
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::table::{self, Cell, Column};

const EXAMPLES: &str = "\
Each row is ok, warn (it works, and costs something that should have been decided), fail, or unknown (with how to find
out). Exits with 0 if nothing failed, and with 1 otherwise. What the rows are about: docs/durability.md.

Examples:
  saggar doctor --config host.toml
  saggar doctor --config host.toml --monitor 127.0.0.1:8222 --output json";

/// The arguments of `saggar doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The file of a host that runs here, or is to [default: none, so that everything has its default].
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where nats-server's monitoring listens: what it says of itself to nobody else.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    monitor: Option<String>,
}

fn address(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').and_then(|(host, port)| {
        let plain = !host.is_empty() && !host.contains(['/', '@', ' ']);
        port.parse::<u16>().ok().filter(|port| plain && *port > 0)
    });
    port.map(|_| text.to_owned()).ok_or_else(|| "write HOST:PORT, for example 127.0.0.1:8222".to_owned())
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Row(Check);

impl table::Row for Row {
    const COLUMNS: &'static [Column] = &[Column::text("check"), Column::text("mark"), Column::text("found")];

    fn cells(&self) -> Vec<Cell> {
        let Self(Check { check, mark, found, .. }) = self;
        let style = match mark {
            Mark::Ok => Style::new().green(),
            Mark::Unknown => Style::new().dimmed(),
            Mark::Warn => Style::new().yellow(),
            Mark::Fail => Style::new().red().bold(),
        };
        vec![(*check).into(), Cell::styled(mark.as_str(), style), found.into()]
    }
}

/// Looks at everything and says how it stands.
///
/// # Errors
/// The configuration has mistakes, or NATS cannot be reached.
pub async fn execute(
    arguments: Arguments,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    let mut config = host::read(arguments.config.as_deref())?;
    config.nats.url = flags.nats.clone().or(config.nats.url);
    config.nats.creds = flags.creds.clone().or(config.nats.creds);
    let nats = connect_to(&config.nats, "saggar doctor").await?;
    let settings = match &arguments.monitor {
        Some(address) => Some(monitored(address).await.ok_or_else(|| {
            Failure::new(
                Kind::Unavailable,
                format!("nothing that monitors a nats-server listens at {address}"),
            )
            .advice("Set `http_port` in nats-server's configuration, and name that port.")
        })?),
        None => nats.server_settings().await,
    };
    let mut checks = of_nats(&nats, config.nats.replicas, settings).await?;
    checks.push(checkup::cache(&cache_facts(&config)));
    let failed = checks.iter().any(|check| check.mark == Mark::Fail);
    let rows: Vec<Row> = checks.into_iter().map(Row).collect();
    table::write(console, &rows, json!({}), "there was nothing to look at")?;
    for Row(Check { check, advice, .. }) in &rows {
        if let Some(advice) = advice {
            console.line(format!("\n{check}: {advice}"))?;
        }
    }
    Ok(if failed { Exit::TaskFailed } else { Exit::Success })
}

async fn of_nats(
    nats: &Nats,
    replicas: u32,
    settings: Option<ServerSettings>,
) -> Result<Vec<Check>, Failure> {
    let records: Vec<TenantRecord> = match Tenants::new(nats).list().await {
        // Of a tenant that is on its way out things are missing that should be.
        Ok(entries) => {
            let records = entries.into_iter().map(|entry| entry.record);
            records.filter(|record| !record.removal.tenant).collect()
        }
        Err(error) if error.fault() == Fault::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let streams = nats.list_streams().await?;
    let provisioner = Provisioner::new(nats, replicas);
    let (mut looked_at, mut dangerous, mut others, mut missing) = (0, Vec::new(), Vec::new(), Vec::new());
    for record in &records {
        let found = provisioner.differences(record).await?;
        looked_at += found.looked_at;
        missing.extend(found.missing);
        for difference in found.settings {
            let list = if difference.dangerous { &mut dangerous } else { &mut others };
            list.push(difference.to_string());
        }
    }
    let promised = records.iter().map(|record| {
        let quota = &record.spec.quota;
        quota.bytes + quota.results + quota.dead + quota.kv + quota.blobs + quota.checkpoints + quota.payloads
    });
    let (publish, subscribe) = nats.rules().await.unwrap_or((Rules::default(), Rules::default()));
    let live = match Hosts::new(nats).list().await {
        Ok(hosts) => hosts.len(),
        Err(error) if error.fault() == Fault::NotFound => 0,
        Err(error) => return Err(error.into()),
    };
    let mut checks = vec![checkup::server(&nats.server_version().to_string(), nats.warning())];
    checks.push(checkup::permissions(&publish, &subscribe, &nats.inbox()));
    checks.push(checkup::hosts(live));
    checks.push(checkup::settings(looked_at, &dangerous, &others, &missing));
    checks.extend(checkup::durability(&streams, settings.map(|settings| settings.sync)));
    let most = settings.map(|settings| settings.max_file_store);
    checks.push(checkup::storage(promised.sum(), &streams, most));
    checks.push(checkup::consumers(&streams));
    // Nobody has joined a NATS without records, and so there is nothing to ask the time of.
    if let Ok(Some(skew)) = nats.skew().await {
        checks.push(checkup::clock(skew.apart, skew.about));
    }
    Ok(checks)
}

fn cache_facts(config: &HostConfig) -> CacheFacts {
    let size = config.host.cache_size;
    let found = cache_dir(config.host.cache.as_deref(), |name| std::env::var(name).ok());
    let Some(directory) = found else {
        let writable = Err("HOME is not set".to_owned());
        return CacheFacts { path: "no directory".to_owned(), writable, mode: None, free: 0, size };
    };
    // A host makes its directory; before the first one, what counts is where it would be.
    let there = directory.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    let writable = tempfile::NamedTempFile::new_in(there).map(drop).map_err(|error| error.to_string());
    let free = rustix::fs::statvfs(there).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    let mode = std::fs::metadata(&directory).ok().map(|metadata| {
        use std::os::unix::fs::PermissionsExt as _;
        metadata.permissions().mode()
    });
    CacheFacts { path: directory.display().to_string(), writable, mode, free, size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monitoring_address_is_a_host_and_a_port() {
        for good in ["127.0.0.1:8222", "nats-0.nats:8222", "[::1]:8222"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in ["", "8222", ":8222", "h:0", "h:99999", "http://h:8222", "u@h:1"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}

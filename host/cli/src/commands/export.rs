//! `saggar export`: writes tenants as the files that `saggar apply` takes.

use std::path::PathBuf;

use saggar_jetstream::{Fault, Nats, TenantEntry, Tenants};
use saggar_model::TenantName;
use saggar_model::config::write_tenant;
use serde_json::json;

use crate::arguments::ConnectionFlags;
use crate::connection;
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::tenant_files::added_by_command;

const EXAMPLES: &str = "\
Examples:
  saggar export acme > acme.toml
  saggar export --dir tenants         # a file for each tenant";

/// The arguments of `saggar export`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The tenants [default: all].
    #[arg(value_name = "TENANT")]
    tenants: Vec<TenantName>,

    /// Write a file for each tenant into this directory, over one that is there.
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
}

/// Writes them.
///
/// # Errors
/// There is no such tenant, a file cannot be written, or NATS does not answer.
pub async fn execute(
    arguments: Arguments,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    let nats = connection::connect(flags, console).await?;
    let mut entries = Vec::new();
    for tenant in &arguments.tenants {
        entries.push(connection::tenant(&nats, tenant).await?);
    }
    if arguments.tenants.is_empty() {
        entries = match Tenants::new(&nats).list().await {
            Err(error) if error.fault() == Fault::NotFound => Vec::new(),
            listed => listed?,
        };
    }
    // What is on its way out is not to come back with the next `apply`.
    entries.retain(|entry| !entry.record.removal.tenant);
    if entries.len() > 1 && arguments.dir.is_none() && !console.is_json() {
        let text = format!("{} tenants do not fit into one file", entries.len());
        return Err(Failure::new(Kind::Usage, text).advice("Name one, or add `--dir DIRECTORY`."));
    }
    if let Some(dir) = &arguments.dir {
        std::fs::create_dir_all(dir).map_err(|error| Failure::file(dir, "made", &error))?;
    }
    let mut rows = Vec::new();
    for entry in entries {
        let tenant = entry.record.spec.name.clone();
        let text = file(&nats, &entry).await?;
        let path = arguments.dir.as_ref().map(|dir| dir.join(format!("{tenant}.toml")));
        match &path {
            Some(path) => {
                std::fs::write(path, &text).map_err(|error| Failure::file(path, "written", &error))?;
                console.line(path.display().to_string())?;
            }
            None => console.line(text.trim_end())?,
        }
        rows.push(json!({ "tenant": tenant, "toml": text, "file": path, "revision": entry.revision }));
    }
    let meta = json!({ "count": rows.len() });
    console.object(json!({ "rows": rows }), &meta)?;
    Ok(Exit::Success)
}

/// The file of a tenant. What no file describes is said, and not written.
async fn file(nats: &Nats, entry: &TenantEntry) -> Result<String, Failure> {
    let spec = &entry.record.spec;
    let mut text = write_tenant(spec);
    for schedule in added_by_command(nats, &spec.name).await? {
        text +=
            &format!("\n# Schedule {} was added by command, and is not part of this file.\n", schedule.name);
    }
    Ok(text)
}

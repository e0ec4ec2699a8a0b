//! `saggar plugin`: bringing components to a tenant, and looking at them.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Subcommand;
use owo_colors::{OwoColorize, Style};
use saggar_jetstream::{Declared, Fault, PluginInfo, Plugins, PluginsError};
use saggar_model::config::PluginFile;
use saggar_model::{
    Digest, PluginName, PluginRef, PluginVersion, QueueName, TenantRecord, escape, format_bytes,
};
use saggar_sandbox::{Inspection, inspect};
use serde::Serialize;
use serde_json::json;

use crate::arguments::ConnectionFlags;
use crate::connection::{self, TenantFlag};
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::local::Local;
use crate::moment::{ago, rfc3339};
use crate::report::short_digest;
use crate::table::{self, Cell, Column};
use crate::{component, manifest};

const EXAMPLES: &str = "\
Examples:
  saggar plugin push target/wasm32-wasip2/release/thumbnail.wasm --tenant acme
  saggar plugin ls --tenant acme";

/// The arguments of `saggar plugin`.
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
    /// Store a component as a version of a tenant's plugin. A version once pushed never changes.
    #[command(after_help = PUSH_HELP)]
    Push(Push),
    /// List a tenant's plugins.
    #[command(after_help = "Example:\n  saggar plugin ls --tenant acme")]
    Ls,
    /// Show what a component imports and exports.
    #[command(after_help = "Examples:\n  saggar plugin inspect thumbnail.wasm\n  \
                            saggar plugin inspect thumbnail@1.2.0 --tenant acme")]
    Inspect {
        /// A component's file, or a plugin of the tenant's.
        #[arg(value_name = "FILE|NAME@VERSION")]
        plugin: String,
    },
}

const PUSH_HELP: &str = "\
What the plugin is called is said by --name and --version, or else by the manifest: --manifest FILE,
or the first `plugin.toml` found
  1. beside the component,
  2. in the workspace whose `target` directory holds the component, or in a directory of that
     workspace, if it names the plugin as the component's file is named,
  3. in the current directory.

Examples:
  saggar plugin push target/wasm32-wasip2/release/thumbnail.wasm --tenant acme
  saggar plugin push thumbnail.wasm --tenant acme --name thumbnail --version 1.2.0";

#[derive(Debug, clap::Args)]
struct Push {
    /// The component.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// What the tenant calls the plugin [default: the manifest's].
    #[arg(long)]
    name: Option<PluginName>,

    /// Which version it is [default: the manifest's].
    #[arg(long)]
    version: Option<PluginVersion>,

    /// The manifest [default: see below].
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
}

/// Does what the command line says.
///
/// # Errors
/// The component is none, there is no such plugin, or NATS does not answer.
pub async fn execute(
    arguments: Arguments,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    match arguments.command {
        Command::Push(push) => execute_push(push, &arguments.tenant, flags, console).await,
        Command::Ls => list(&arguments.tenant, flags, console).await,
        Command::Inspect { plugin } => execute_inspect(&plugin, &arguments.tenant, flags, console).await,
    }
}

async fn execute_push(
    push: Push,
    tenant: &TenantFlag,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    let tenant = tenant.get()?;
    let component = component::read(&push.file)?;
    let (name, version, wants) = identity(&push)?;
    // What cannot be compiled here cannot be compiled on any host, and nothing of it is to be stored.
    Local::new(console)?.prepare(&component).await?;

    let nats = connection::connect(flags, console).await?;
    connection::ensure_stores(&nats).await?;
    let declared = Declared { memory: component.inspection.memory, wants };
    let pushed = Plugins::new(&nats).push(&tenant, &name, &version, component.wasm, &declared).await?;
    let wants = declared.wants;
    let size = format_bytes(component.inspection.size);
    let done = if pushed.already_there { "was there already" } else { "pushed" };
    let data = json!({
        "tenant": tenant, "name": name, "version": version, "digest": pushed.digest,
        "size": component.inspection.size, "wants": wants, "already_there": pushed.already_there,
    });
    let dim = Style::new().dimmed();
    let about = format!("{}, {size}, {done} for tenant {tenant}", pushed.digest);
    console.answer(data, format!("{name}@{version} {}", about.style(dim)))?;
    if !wants.is_empty() {
        console.note(format!("  its manifest asks for {}; nothing is granted by pushing", wants.join("; ")));
    }
    Ok(Exit::Success)
}

fn identity(push: &Push) -> Result<(PluginName, PluginVersion, Vec<String>), Failure> {
    let found = push.manifest.clone().or_else(|| manifest::find(&push.file, Path::new("")));
    let said = match (&push.name, &push.version, &push.manifest) {
        // Nothing but its wishes is left to learn, and a broken manifest of somebody else's must not matter.
        (Some(_), Some(_), None) => found.and_then(|path| manifest::read(&path).ok()),
        _ => found.as_deref().map(manifest::read).transpose()?,
    };
    let wants = said.as_ref().map(|manifest| manifest.wants.clone()).unwrap_or_default();
    let (said_name, said_version) = match said {
        Some(PluginFile { name, version, .. }) => (Some(name), Some(version)),
        None => (None, None),
    };
    if let (Some(name), Some(version)) =
        (push.name.clone().or(said_name), push.version.clone().or(said_version))
    {
        Ok((name, version, wants))
    } else {
        let file = push.file.display();
        Err(Failure::new(
            Kind::Usage,
            format!("nothing says what {file} is called: there is no plugin.toml for it"),
        )
        .advice("Add `--name NAME --version VERSION`, or `--manifest FILE`."))
    }
}

/// A version of a plugin, for programs and people.
#[derive(Debug, Serialize)]
struct Row {
    name: PluginName,
    version: PluginVersion,
    tenant: String,
    digest: Digest,
    size: u64,
    pushed_at: String,
    wants: Vec<String>,
    #[serde(skip)]
    pushed: String,
}

impl From<PluginInfo> for Row {
    fn from(info: PluginInfo) -> Self {
        Self {
            name: info.name,
            version: info.version,
            tenant: info.tenant.to_string(),
            digest: info.digest,
            size: info.size,
            pushed_at: rfc3339(info.pushed_at),
            wants: info.declared.wants,
            pushed: ago(info.pushed_at, SystemTime::now()),
        }
    }
}

impl table::Row for Row {
    const COLUMNS: &'static [Column] = &[
        Column::text("name"),
        Column::text("version"),
        Column::text("digest"),
        Column::number("size"),
        Column::text("pushed"),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            (&self.name).into(),
            (&self.version).into(),
            Cell::styled(short_digest(&self.digest), Style::new().dimmed()),
            format_bytes(self.size).into(),
            (&self.pushed).into(),
        ]
    }
}

async fn list(tenant: &TenantFlag, flags: &ConnectionFlags, console: Console) -> Result<Exit, Failure> {
    let tenant = tenant.get()?;
    let nats = connection::connect(flags, console).await?;
    let listed = match Plugins::new(&nats).list(&tenant).await {
        // The store is made by the first push.
        Err(PluginsError::Request(error)) if error.fault() == Fault::NotFound => Vec::new(),
        listed => listed?,
    };
    let rows: Vec<Row> = listed.into_iter().map(Row::from).collect();
    let nothing =
        format!("tenant {tenant} has no plugin; bring one with `saggar plugin push FILE --tenant {tenant}`");
    table::write(console, &rows, json!({}), &nothing)?;
    Ok(Exit::Success)
}

/// What a queue grants to the plugin it runs.
#[derive(Debug, Serialize)]
struct QueueGrants {
    queue: QueueName,
    grants: Vec<String>,
}

/// A component, and what is known about it.
struct Inspected {
    title: String,
    inspection: Inspection,
    wants: Vec<String>,
    /// The tenant's queues that run it; nothing for a file, which no queue runs.
    granted: Vec<QueueGrants>,
}

async fn execute_inspect(
    plugin: &str,
    tenant: &TenantFlag,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    let file = Path::new(plugin);
    let inspected = match plugin.parse::<PluginRef>() {
        Ok(reference) if !file.exists() => inspect_pushed(&reference, tenant, flags, console).await?,
        _ => inspect_file(file)?,
    };
    let Inspected { title, inspection, wants, granted } = &inspected;
    let data = json!({
        "plugin": title, "digest": inspection.digest, "size": inspection.size, "memory": inspection.memory,
        "imports": inspection.imports, "exports": inspection.exports, "wants": wants, "granted": granted,
    });
    console.answer(data, described(&inspected))?;
    Ok(Exit::Success)
}

fn inspect_file(file: &Path) -> Result<Inspected, Failure> {
    let component = component::read(file)?;
    let manifest = manifest::find(file, Path::new("")).and_then(|path| manifest::read(&path).ok());
    let title = match &manifest {
        Some(PluginFile { name, version, .. }) => format!("{name}@{version}"),
        None => file.display().to_string(),
    };
    let wants = manifest.map(|manifest| manifest.wants).unwrap_or_default();
    Ok(Inspected { title, inspection: component.inspection, wants, granted: Vec::new() })
}

async fn inspect_pushed(
    reference: &PluginRef,
    tenant: &TenantFlag,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Inspected, Failure> {
    let tenant = tenant.get()?;
    let nats = connection::connect(flags, console).await?;
    let plugins = Plugins::new(&nats);
    let found = match plugins.resolve(&tenant, reference).await {
        Err(PluginsError::Request(error)) if error.fault() == Fault::NotFound => None,
        found => found?,
    };
    let info = found.ok_or_else(|| {
        Failure::new(Kind::NotFound, format!("tenant {tenant} has no plugin {reference}"))
            .advice(format!("See `saggar plugin ls --tenant {tenant}`."))
    })?;
    let inspection = inspect(&plugins.fetch(&info.digest).await?)?;
    let granted = match connection::tenant(&nats, &tenant).await {
        Ok(entry) => granted(&entry.record, &info.digest),
        // A plugin may be there before its tenant's file is applied.
        Err(failure) if failure.kind == Kind::NotFound => Vec::new(),
        Err(failure) => return Err(failure),
    };
    let title = format!("{}@{}", info.name, info.version);
    Ok(Inspected { title, inspection, wants: info.declared.wants, granted })
}

fn granted(record: &TenantRecord, digest: &Digest) -> Vec<QueueGrants> {
    let queues = record.spec.queues.iter();
    queues
        .filter(|(_, spec)| record.digest(&spec.plugin) == Some(*digest))
        .map(|(queue, spec)| QueueGrants { queue: queue.clone(), grants: spec.grants.summary() })
        .collect()
}

fn described(inspected: &Inspected) -> String {
    let Inspected { title, inspection, wants, granted } = inspected;
    let dim = Style::new().dimmed();
    let mut lines = vec![escape(title).bold().to_string()];
    lines.push(format!("  digest   {}", inspection.digest));
    lines.push(format!("  size     {}", format_bytes(inspection.size)));
    lines.push(format!("  memory   {} from the start", format_bytes(inspection.memory)));
    let granted: Vec<String> = granted.iter().map(shown).collect();
    let lists = [
        ("exports", &inspection.exports),
        ("imports", &inspection.imports),
        ("wants", wants),
        ("granted", &granted),
    ];
    for (name, values) in lists {
        let first = values.first().map_or_else(|| "nothing".style(dim).to_string(), |value| escape(value));
        lines.push(format!("  {name:<8} {first}"));
        lines.extend(values.iter().skip(1).map(|value| format!("           {}", escape(value))));
    }
    lines.join("\n")
}

fn shown(QueueGrants { queue, grants }: &QueueGrants) -> String {
    let grants = if grants.is_empty() { "nothing".to_owned() } else { grants.join("; ") };
    format!("queue {queue}: {grants}")
}

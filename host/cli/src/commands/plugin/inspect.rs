//! `saggar plugin inspect`: what a component is, asks for, and who signed it.

use std::path::Path;

use owo_colors::{OwoColorize, Style};
use saggar_jetstream::Plugins;
use saggar_model::{Digest, PluginRef, QueueName, TenantRecord, escape, format_bytes};
use saggar_sandbox::Inspection;
use serde::Serialize;
use serde_json::{Value, json};

use crate::arguments::ConnectionFlags;
use crate::connection::{self, TenantFlag};
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::{component, manifest};

/// What there is to say about a component.
struct Description {
    title: String,
    inspection: Inspection,
    wants: Vec<String>,
    source: Option<String>,
    /// For programs; absent for a file, which has no place for any.
    signatures: Option<Vec<Value>>,
    signers: Vec<String>,
    /// The tenant's queues that run it; nothing for a file, which no queue runs.
    granted: Vec<QueueGrants>,
}

/// What a queue grants to the plugin it runs.
#[derive(Debug, Serialize)]
struct QueueGrants {
    queue: QueueName,
    grants: Vec<String>,
}

/// Shows it.
///
/// # Errors
/// There is no such component, it is none, or NATS does not answer.
pub async fn execute(
    plugin: &str,
    tenant: &TenantFlag,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    let file = Path::new(plugin);
    let description = match plugin.parse::<PluginRef>() {
        Ok(reference) if !file.exists() => stored(&reference, tenant, flags, console).await?,
        _ => local(file, plugin)?,
    };
    let Description { title, inspection, wants, source, signatures, granted, .. } = &description;
    let data = json!({
        "plugin": title, "digest": inspection.digest, "size": inspection.size, "memory": inspection.memory,
        "world": inspection.world.as_str(), "adapted_from": inspection.adapted_from, "imports": inspection.imports,
        "exports": inspection.exports, "wants": wants, "granted": granted, "source": source,
        "signatures": signatures,
    });
    console.answer(data, described(&description))?;
    Ok(Exit::Success)
}

async fn stored(
    plugin: &PluginRef,
    tenant: &TenantFlag,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Description, Failure> {
    let tenant = tenant.get()?;
    let nats = connection::connect(flags, console).await?;
    let info = super::find(&nats, &tenant, plugin).await?;
    let wasm = Plugins::new(&nats).fetch(&info.digest).await?;
    let granted = match connection::tenant(&nats, &tenant).await {
        Ok(entry) => granted(&entry.record, &info.digest),
        // A plugin may be there before its tenant's file is applied.
        Err(failure) if failure.kind == Kind::NotFound => Vec::new(),
        Err(failure) => return Err(failure),
    };
    Ok(Description {
        title: format!("{}@{}", info.name, info.version),
        inspection: saggar_sandbox::inspect(&wasm)?,
        signatures: Some(super::signatures(&info)),
        signers: super::signers(&info),
        wants: info.declared.wants,
        source: info.declared.source,
        granted,
    })
}

fn local(file: &Path, plugin: &str) -> Result<Description, Failure> {
    let component = component::read(file)?;
    let manifest = manifest::find(file, Path::new("")).and_then(|path| manifest::read(&path).ok());
    let title = manifest.as_ref().map(|manifest| format!("{}@{}", manifest.name, manifest.version));
    Ok(Description {
        title: title.unwrap_or_else(|| plugin.to_owned()),
        inspection: component.inspection,
        wants: manifest.map(|manifest| manifest.wants).unwrap_or_default(),
        source: None,
        signatures: None,
        signers: Vec::new(),
        granted: Vec::new(),
    })
}

fn granted(record: &TenantRecord, digest: &Digest) -> Vec<QueueGrants> {
    let queues = record.spec.queues.iter();
    queues
        .filter(|(_, spec)| record.digest(&spec.plugin) == Some(*digest))
        .map(|(queue, spec)| QueueGrants { queue: queue.clone(), grants: spec.grants.summary() })
        .collect()
}

fn shown(QueueGrants { queue, grants }: &QueueGrants) -> String {
    let grants = if grants.is_empty() { "nothing".to_owned() } else { grants.join("; ") };
    format!("queue {queue}: {grants}")
}

fn described(description: &Description) -> String {
    let Description { title, inspection, wants, source, signatures, signers, granted } = description;
    let dim = Style::new().dimmed();
    let mut lines = vec![escape(title).bold().to_string()];
    lines.push(format!("  digest   {}", inspection.digest));
    lines.push(format!("  size     {}", format_bytes(inspection.size)));
    lines.push(format!("  world    {}", inspection.world));
    if let Some(module) = &inspection.adapted_from {
        lines.push(format!("  adapted  from the preview-1 module {module}"));
    }
    lines.push(format!("  memory   {} from the start", format_bytes(inspection.memory)));
    if let Some(source) = source {
        lines.push(format!("  source   {}", escape(source)));
    }
    let granted: Vec<String> = granted.iter().map(shown).collect();
    let mut lists = vec![
        ("exports", "nothing", &inspection.exports[..]),
        ("imports", "nothing", &inspection.imports[..]),
        ("wants", "nothing", &wants[..]),
        ("granted", "nothing", &granted[..]),
    ];
    if signatures.is_some() {
        lists.push(("signed", "by nobody", &signers[..]));
    }
    for (name, nothing, values) in lists {
        let first = values.first().map_or_else(|| nothing.style(dim).to_string(), |value| escape(value));
        lines.push(format!("  {name:<8} {first}"));
        lines.extend(values.iter().skip(1).map(|value| format!("           {}", escape(value))));
    }
    lines.join("\n")
}

//! Tenants' files, held against NATS: which plugins they mean, and what applying them would change.
//!
//! Everything is checked before anything is written, and all mistakes of all files are reported together.

use std::collections::BTreeMap;
use std::path::PathBuf;

use saggar_jetstream::{Expected, Fault, Nats, Plugins, PluginsError, Schedules};
use saggar_model::config::{Problem, Problems, TenantFile, parse_tenant};
use saggar_model::{
    Ceilings, Digest, Plan, PluginRef, QueueName, Schedule, TenantName, TenantRecord, format_bytes,
};

use crate::connection;
use crate::failure::{Failure, Kind};
use crate::policy;

/// What is to become of one tenant.
pub struct Step {
    /// The record there will be.
    pub wanted: TenantRecord,
    /// The record there is.
    pub current: Option<TenantRecord>,
    /// What the stored record must be for it to be written.
    pub expected: Expected,
    /// What changes.
    pub plan: Plan,
    /// Queues that are there now and will not be.
    pub removed: Vec<QueueName>,
    /// Schedules that were added by command. The file does not have them, and they stay.
    pub kept: Vec<Schedule>,
}

impl Step {
    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> &TenantName {
        &self.wanted.spec.name
    }
}

/// Reads the files.
///
/// # Errors
/// One cannot be read, or has mistakes.
pub fn read(files: &[PathBuf]) -> Result<Vec<TenantFile>, Failure> {
    let mut read: Vec<TenantFile> = Vec::new();
    let mut mistakes = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).map_err(|error| Failure::file(file, "read", &error))?;
        let name = file.display().to_string();
        match parse_tenant(&name, &text, &Ceilings::default()) {
            Ok(file) => match read.iter().find(|other| other.spec.name == file.spec.name) {
                Some(other) => mistakes.push(twice(name, other)),
                None => read.push(file),
            },
            Err(problems) => mistakes.push(problems),
        }
    }
    if mistakes.is_empty() { Ok(read) } else { Err(Failure::mistakes(mistakes)) }
}

fn twice(file: String, other: &TenantFile) -> Problems {
    let (tenant, other) = (&other.spec.name, &other.file);
    let message = format!("is `{tenant}`, and so it is in {other}; a tenant is described by one file");
    Problems { file, problems: vec![Problem { line: None, key: "tenant.name".to_owned(), message }] }
}

/// Finds out what applying the files would change.
///
/// # Errors
/// A plugin is missing or could never start, a tenant or a queue is still on its way out, or NATS does not answer.
pub async fn compare(nats: &Nats, files: Vec<TenantFile>) -> Result<Vec<Step>, Failure> {
    let wanted = resolve(nats, files).await?;
    let mut steps = Vec::with_capacity(wanted.len());
    let mut failures = Vec::new();
    for record in wanted {
        let step = step(nats, record).await?;
        failures.extend(leaving(&step));
        steps.push(step);
    }
    Failure::all(failures).map_or(Ok(steps), Err)
}

/// Finds the components behind all plugins of all tenants, or names all that are missing or could never start.
async fn resolve(nats: &Nats, files: Vec<TenantFile>) -> Result<Vec<TenantRecord>, Failure> {
    let store = Plugins::new(nats);
    let hosts = policy::hosts(nats).await?;
    let mut records = Vec::with_capacity(files.len());
    let mut failures = Vec::new();
    for TenantFile { spec, file, plugins: lines } in files {
        let tenant = spec.name.clone();
        let mut plugins: BTreeMap<String, Digest> = BTreeMap::new();
        for (name, queue) in &spec.queues {
            let lines = lines.get(name).copied().unwrap_or_default();
            let canary = queue.canary.as_ref().map(|canary| canary.plugin(&queue.plugin));
            let runs = std::iter::once((&queue.plugin, "queue.plugin", lines.plugin))
                .chain(canary.as_ref().map(|canary| (canary, "queue.canary.version", lines.canary)));
            for (plugin, key, line) in runs {
                let mistake = |kind, message: String| {
                    let key = key.to_owned();
                    Failure::mistake(kind, &file, Problem { line, key, message })
                };
                let found = match store.resolve(&tenant, plugin).await {
                    // The store is made by the first push.
                    Err(PluginsError::Request(error)) if error.fault() == Fault::NotFound => None,
                    found => found?,
                };
                let Some(info) = found else {
                    let text =
                        format!("of {tenant}/{name} is {plugin}, and tenant {tenant} has no such plugin");
                    failures.push(mistake(Kind::NotFound, text).advice(push_first(&tenant, plugin)));
                    continue;
                };
                let (needs, limit) = (info.declared.memory, queue.limits.memory);
                if needs > limit {
                    let (needs, limit) = (format_bytes(needs), format_bytes(limit));
                    let text = format!(
                        "of {tenant}/{name} is {plugin}, which needs {needs} of memory from the start, and the limit is {limit}"
                    );
                    let advice = "Raise `limits.memory` of the queue.";
                    failures.push(mistake(Kind::BadConfiguration, text).advice(advice));
                    continue;
                }
                match policy::objection(nats, &hosts, &tenant, plugin, &info.digest).await? {
                    Some(objection) => {
                        let text = format!("of {tenant}/{name}: {}", objection.text(plugin));
                        let advice = objection.advice(&tenant, plugin);
                        failures.push(mistake(Kind::BadConfiguration, text).advice(advice));
                    }
                    None => _ = plugins.insert(plugin.to_string(), info.digest),
                }
            }
        }
        records.push(TenantRecord::new(spec, plugins));
    }
    Failure::all(failures).map_or(Ok(records), Err)
}

fn push_first(tenant: &TenantName, plugin: &PluginRef) -> String {
    let name = plugin.name();
    let version = plugin.version().map(|version| format!(" --version {version}")).unwrap_or_default();
    format!("Push it first: `saggar plugin push FILE --tenant {tenant} --name {name}{version}`.")
}

async fn step(nats: &Nats, wanted: TenantRecord) -> Result<Step, Failure> {
    let tenant = &wanted.spec.name;
    let entry = connection::look_up(nats, tenant).await?;
    let (expected, current) = match entry {
        None => (Expected::Absent, None),
        Some(entry) => (Expected::Revision(entry.revision), Some(entry.record)),
    };
    let plan = Plan::between(current.as_ref(), &wanted);
    let before = current.iter().flat_map(|record| record.spec.queues.keys());
    let removed = before.filter(|queue| !wanted.spec.queues.contains_key(*queue)).cloned().collect();
    let mut kept = added_by_command(nats, tenant).await?;
    kept.retain(|schedule| !wanted.spec.schedules.contains_key(&schedule.name));
    let wanted = match &current {
        Some(current) => wanted.replacing(current),
        None => wanted,
    };
    Ok(Step { wanted, current, expected, plan, removed, kept })
}

/// The schedules of a tenant that no file describes.
///
/// # Errors
/// NATS does not answer.
pub async fn added_by_command(nats: &Nats, tenant: &TenantName) -> Result<Vec<Schedule>, Failure> {
    let schedules = match Schedules::new(nats).list(Some(tenant)).await {
        Ok((schedules, _)) => schedules,
        // The first host, or the first `apply`, makes their bucket.
        Err(error) if error.fault() == Fault::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let schedules = schedules.into_iter().map(|stored| stored.schedule);
    Ok(schedules.filter(|schedule| !schedule.from_file).collect())
}

/// What is still on its way out cannot come back before it is gone.
fn leaving(step: &Step) -> Option<Failure> {
    let removal = &step.current.as_ref()?.removal;
    let tenant = step.tenant();
    let again: Vec<_> =
        step.wanted.spec.queues.keys().filter(|queue| removal.queues.contains(*queue)).collect();
    let what = match again.as_slice() {
        _ if removal.tenant => format!("tenant {tenant} is"),
        [] => return None,
        queues => {
            let queues: Vec<_> = queues.iter().map(|queue| format!("{tenant}/{queue}")).collect();
            format!("queue {} is", queues.join(", "))
        }
    };
    let text = format!("{what} still on its way out, and can come back when it is gone");
    Some(Failure::new(Kind::Conflict, text).advice(
        "Hosts remove it when nothing of it runs any more: repeat this then. `saggar tenant ls` shows what is on its way.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mistakes_of_all_files_are_reported_together() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let files = [
            file("a.toml", "[tenant]\nname = 'acme'"),
            file("b.toml", "[tenant]\nname = 'Acme'\nwait = 1"),
            file("c.toml", "[tenant]\nname = 'acme'"),
        ];
        let failure = read(&files).unwrap_err();
        assert_eq!(failure.kind.exit().code(), 64);
        let text = failure.to_string();
        for part in ["b.toml", "`tenant.name`", "`tenant.wait`", "c.toml", "a.toml; a tenant"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(read(&files[..1]).unwrap()[0].spec.name.as_str(), "acme");
    }
}

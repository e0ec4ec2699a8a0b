//! `saggar apply`: makes tenants and their queues what files say, after showing what that changes.
//!
//! Everything is checked before anything is written: all files, all plugins, all queues that would go. A tenant's
//! record is written in one step, and only if nobody else has changed it since it was looked at.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use saggar_jetstream::{Expected, Fault, Hosts, Nats, Plugins, PluginsError, Tasks, Tenants};
use saggar_model::config::{Problem, Problems, parse_tenant};
use saggar_model::{
    Ceilings, Plan, PluginRef, QueueName, QueueSpec, TenantName, TenantRecord, TenantSpec, format_bytes,
};
use serde_json::json;

use crate::arguments::ConnectionFlags;
use crate::commands::queue::depth;
use crate::connection;
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::plan::{changes, shown};
use crate::policy::{self, Objection};

/// How long the hosts may take to make what is new: they are told at once, and a cluster makes each stream in a
/// fraction of a second.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(10);

/// How often to look whether they have.
const LOOK: Duration = Duration::from_millis(50);

/// Tasks counted at most in a queue that is to go.
const COUNT_MAX: usize = 1000;

const EXAMPLES: &str = "\
A tenant's file:

  [tenant]
  name = \"acme\"
  [[queue]]
  name = \"thumbnail\"
  plugin = \"thumbnail@1.2.0\"        # pushed before, with `saggar plugin push`
  limits = { memory = \"256MiB\", timeout = \"10s\" }

Examples:
  saggar apply acme.toml --dry-run
  saggar apply tenants/*.toml";

/// The arguments of `saggar apply`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Tenants' files.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Show what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What is to become of one tenant.
struct Step {
    wanted: TenantRecord,
    expected: Expected,
    plan: Plan,
    /// Queues that are there now and will not be.
    removed: Vec<QueueName>,
}

/// Applies the files.
///
/// # Errors
/// A file has mistakes, a plugin is missing, a queue that would go holds tasks, or NATS does not answer.
pub async fn execute(
    arguments: Arguments,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    let specs = read(&arguments.files)?;
    let nats = connection::connect(flags, console).await?;
    let wanted = resolve(&nats, specs).await?;
    let mut steps = Vec::with_capacity(wanted.len());
    for record in wanted {
        steps.push(step(&nats, record).await?);
    }
    refuse_losing_tasks(&nats, &steps).await?;
    for step in &steps {
        console.line(shown(&step.wanted.spec.name, &step.plan))?;
    }
    let changed = steps.iter().any(|step| !step.plan.is_empty());
    let effective = match (changed, arguments.dry_run) {
        (false, _) => "unchanged",
        (true, true) => "dry-run",
        (true, false) => write(&nats, &steps, console).await?,
    };
    let rows: Vec<_> = steps.iter().map(|step| changes(&step.wanted.spec.name, &step.plan)).collect();
    let meta = json!({ "count": rows.len(), "dry_run": arguments.dry_run, "effective": effective });
    console.object(json!({ "rows": rows }), &meta)?;
    Ok(Exit::Success)
}

fn read(files: &[PathBuf]) -> Result<Vec<TenantSpec>, Failure> {
    let mut specs: Vec<TenantSpec> = Vec::new();
    let mut mistakes = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).map_err(|error| Failure::file(file, "read", &error))?;
        let name = file.display().to_string();
        match parse_tenant(&name, &text, &Ceilings::default()) {
            Ok(spec) if specs.iter().any(|other| other.name == spec.name) => {
                mistakes.push(twice(name, &spec.name));
            }
            Ok(spec) => specs.push(spec),
            Err(problems) => mistakes.push(problems),
        }
    }
    if mistakes.is_empty() { Ok(specs) } else { Err(Failure::mistakes(mistakes)) }
}

fn twice(file: String, tenant: &TenantName) -> Problems {
    let message =
        format!("is `{tenant}`, and so it is in an earlier file; a tenant is described by one file");
    Problems { file, problems: vec![Problem { line: None, key: "tenant.name".to_owned(), message }] }
}

/// Finds the components behind all plugins of all tenants, or names all that are missing or could never start.
async fn resolve(nats: &Nats, specs: Vec<TenantSpec>) -> Result<Vec<TenantRecord>, Failure> {
    let store = Plugins::new(nats);
    let hosts = policy::hosts(nats).await?;
    let mut records = Vec::with_capacity(specs.len());
    let mut failures = Vec::new();
    for spec in specs {
        let mut plugins = BTreeMap::new();
        for (name, queue) in &spec.queues {
            let plugin = &queue.plugin;
            let found = match store.resolve(&spec.name, plugin).await {
                // The store is made by the first push.
                Err(PluginsError::Request(error)) if error.fault() == Fault::NotFound => None,
                found => found?,
            };
            match found {
                Some(info) if info.declared.memory > queue.limits.memory => {
                    failures.push(too_little_memory(&spec.name, name, queue, info.declared.memory));
                }
                Some(info) => {
                    match policy::objection(nats, &hosts, &spec.name, plugin, &info.digest).await? {
                        Some(objection) => failures.push(not_run(&spec.name, name, plugin, &objection)),
                        None => _ = plugins.insert(plugin.to_string(), info.digest),
                    }
                }
                None => failures.push(no_plugin(&spec.name, name, plugin)),
            }
        }
        records.push(TenantRecord { spec, plugins });
    }
    Failure::all(failures).map_or(Ok(records), Err)
}

fn too_little_memory(tenant: &TenantName, name: &QueueName, queue: &QueueSpec, needs: u64) -> Failure {
    let (needs, limit) = (format_bytes(needs), format_bytes(queue.limits.memory));
    let plugin = &queue.plugin;
    let text = format!(
        "queue {tenant}/{name}: plugin {plugin} needs {needs} of memory from the start, and the limit is {limit}"
    );
    Failure::new(Kind::BadConfiguration, text).advice("Raise `limits.memory` of the queue.")
}

fn not_run(tenant: &TenantName, queue: &QueueName, plugin: &PluginRef, objection: &Objection) -> Failure {
    let text = format!("queue {tenant}/{queue}: {}", objection.text(plugin));
    Failure::new(Kind::BadConfiguration, text).advice(objection.advice(tenant, plugin))
}

fn no_plugin(tenant: &TenantName, queue: &QueueName, plugin: &PluginRef) -> Failure {
    let name = plugin.name();
    let version = plugin.version().map(|version| format!(" --version {version}")).unwrap_or_default();
    Failure::new(Kind::NotFound, format!("queue {tenant}/{queue}: tenant {tenant} has no plugin {plugin}"))
        .advice(format!("Push it first: `saggar plugin push FILE --tenant {tenant} --name {name}{version}`."))
}

async fn step(nats: &Nats, wanted: TenantRecord) -> Result<Step, Failure> {
    let current = connection::look_up(nats, &wanted.spec.name).await?;
    let plan = Plan::between(current.as_ref().map(|entry| &entry.record), &wanted);
    let (expected, before) = match current {
        None => (Expected::Absent, BTreeMap::new()),
        Some(entry) => (Expected::Revision(entry.revision), entry.record.spec.queues),
    };
    let removed = before.into_keys().filter(|queue| !wanted.spec.queues.contains_key(queue)).collect();
    Ok(Step { wanted, expected, plan, removed })
}

/// Tasks of a queue that is gone are run by nobody, and found by nobody.
async fn refuse_losing_tasks(nats: &Nats, steps: &[Step]) -> Result<(), Failure> {
    let mut failures = Vec::new();
    for step in steps {
        let tenant = &step.wanted.spec.name;
        for queue in &step.removed {
            let (held, running) = match depth(nats, tenant, queue).await? {
                Some(depth) => (depth.pending + depth.running, depth.running),
                None => (
                    Tasks::new(nats)
                        .list(tenant, queue, 0, COUNT_MAX)
                        .await
                        .map_or(0, |list| list.len() as u64),
                    0,
                ),
            };
            if held > 0 {
                let text = format!(
                    "queue {tenant}/{queue} would go and still holds {held} task(s), {running} running"
                );
                failures.push(Failure::new(Kind::Conflict, text).advice(
                    "Nothing was changed. Let the tasks finish, or keep the queue in the file until they have.",
                ));
            }
        }
    }
    Failure::all(failures).map_or(Ok(()), Err)
}

/// Writes the records, and waits until the hosts have made of them what is to be made.
async fn write(nats: &Nats, steps: &[Step], console: Console) -> Result<&'static str, Failure> {
    connection::ensure_stores(nats).await?;
    let tenants = Tenants::new(nats);
    let changing: Vec<_> = steps.iter().filter(|step| !step.plan.is_empty()).collect();
    for (done, step) in changing.iter().enumerate() {
        if let Err(error) = tenants.put(&step.wanted, step.expected).await {
            let written: Vec<_> =
                changing[..done].iter().map(|step| step.wanted.spec.name.to_string()).collect();
            let failure = Failure::from(error);
            return Err(match written.as_slice() {
                [] => failure,
                names => failure
                    .advice(format!("Changed before that: {}. The rest is as it was.", names.join(", "))),
            });
        }
    }
    if Hosts::new(nats).list().await?.is_empty() {
        console.note("applied; it takes effect when a host starts: `saggar host`");
        return Ok("when-a-host-starts");
    }
    let waiting = async {
        for step in changing {
            taken_up(nats, step).await?;
        }
        Ok::<_, Failure>(())
    };
    if let Ok(done) = tokio::time::timeout(TAKEN_UP_WITHIN, waiting).await {
        done?;
    } else {
        let seconds = TAKEN_UP_WITHIN.as_secs();
        let text = format!("applied, but no host has made the queues within {seconds} s");
        return Err(Failure::new(Kind::TimedOut, text).advice(
            "A host's log says why; most often the quotas of all tenants are more than the NATS server may store.",
        ));
    }
    console.note("applied, and in effect");
    Ok("now")
}

/// Waits until every queue has its consumer, and no removed one has.
async fn taken_up(nats: &Nats, step: &Step) -> Result<(), Failure> {
    let spec = &step.wanted.spec;
    let wanted = spec.queues.keys().map(|queue| (queue, true));
    for (queue, there) in wanted.chain(step.removed.iter().map(|queue| (queue, false))) {
        while depth(nats, &spec.name, queue).await?.is_some() != there {
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
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
        for part in ["b.toml", "`tenant.name`", "`tenant.wait`", "c.toml", "an earlier file"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(read(&files[..1]).unwrap()[0].name.as_str(), "acme");
    }
}

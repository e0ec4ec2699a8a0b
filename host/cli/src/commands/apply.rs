//! `saggar apply`: makes tenants, their queues and their schedules what files say, after showing what that changes.
//!
//! Everything is checked before anything is written: all files, all plugins, all that would be lost. A tenant's record is
//! written in one step, and only if nobody else has changed it since it was looked at; hosts do the rest, in an order in
//! which nothing is lost that was not said.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use saggar_jetstream::{Hosts, Nats, Provisioner, Tenants};
use saggar_model::{Losses, QueueName};
use serde_json::{Value, json};

use crate::arguments::ConnectionFlags;
use crate::commands::diff;
use crate::commands::queue::depth;
use crate::confirm::confirm;
use crate::connection;
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::plan::{changes, shown};
use crate::tenant_files::{self, Step};

/// How long the hosts may take to make what is new: they are told at once, and a cluster makes each stream in a
/// fraction of a second, or in some seconds where it has just lost a server.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(30);

/// How long to wait until what is removed is gone: what runs of it may run for an hour.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// How long one look at what a tenant has may take. What a cluster has just made has nobody yet who answers for it, and
/// whoever asked then gets no answer ever.
const LOOKED_AT_WITHIN: Duration = Duration::from_secs(2);

/// How often to look.
const LOOK: Duration = Duration::from_millis(50);

const EXAMPLES: &str = "\
A tenant's file:

  [tenant]
  name = \"acme\"
  [[queue]]
  name = \"thumbnail\"
  plugin = \"thumbnail@1.2.0\"        # pushed before, with `saggar plugin push`
  limits = { memory = \"256MiB\", timeout = \"10s\" }
  [[schedule]]
  name = \"nightly\"
  queue = \"thumbnail\"
  cron = \"0 3 * * *\"

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

    /// Do not ask before queues go that hold something.
    #[arg(long)]
    yes: bool,
}

/// A queue that would go, and what would be lost with it.
struct Loss<'a> {
    step: &'a Step,
    queue: &'a QueueName,
    losses: Losses,
}

impl Loss<'_> {
    fn name(&self) -> String {
        format!("{}/{}", self.step.tenant(), self.queue)
    }
}

/// Applies the files.
///
/// # Errors
/// A file has mistakes, a plugin is missing, nobody agreed to what would be lost, or NATS does not answer.
pub async fn execute(
    arguments: Arguments,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    let files = tenant_files::read(&arguments.files)?;
    let nats = connection::connect(flags, console).await?;
    let steps = tenant_files::compare(&nats, files).await?;
    let lost = losses(&nats, &steps).await?;
    for step in &steps {
        console.line(shown(step.tenant(), &step.plan))?;
        say_what_is_kept(step, console);
    }
    for loss in lost.iter().filter(|loss| !loss.losses.is_nothing()) {
        console.warn(format!("queue {} would go with {}", loss.name(), loss.losses.words().join(", ")));
    }
    let changed = steps.iter().any(|step| !step.plan.is_empty());
    let effective = match (changed, arguments.dry_run) {
        (false, _) => "unchanged",
        (true, true) => "dry-run",
        (true, false) => {
            for loss in lost.iter().filter(|loss| !loss.losses.is_nothing()) {
                let what = format!("removing queue {} with {}", loss.name(), loss.losses.words().join(", "));
                confirm(arguments.yes, &what, loss.queue.as_str())?;
            }
            write(&nats, &steps, console).await?
        }
    };
    let rows: Vec<_> = steps.iter().map(|step| row(step, &lost)).collect();
    let meta = json!({ "count": rows.len(), "dry_run": arguments.dry_run, "effective": effective });
    console.object(json!({ "rows": rows }), &meta)?;
    Ok(Exit::Success)
}

fn row(step: &Step, lost: &[Loss]) -> Value {
    let mut row = changes(step.tenant(), &step.plan);
    let of_step = lost.iter().filter(|loss| loss.step.tenant() == step.tenant());
    row["removed"] = of_step.map(|loss| json!({ "queue": loss.queue, "lost": loss.losses })).collect();
    row["kept_schedules"] = step.kept.iter().map(|schedule| json!(schedule.name)).collect();
    row
}

/// Says which schedules stay although the file does not have them.
pub(super) fn say_what_is_kept(step: &Step, console: Console) {
    let tenant = step.tenant();
    for schedule in &step.kept {
        let name = &schedule.name;
        if step.wanted.spec.queues.contains_key(&schedule.queue) {
            console.note(format!(
                "schedule {tenant}/{name} was added by command and stays; `saggar schedule rm` removes it"
            ));
        } else {
            let queue = &schedule.queue;
            console.warn(format!(
                "schedule {tenant}/{name} was added by command and makes tasks for queue {queue}, which the file does not \
                 have: remove it with `saggar schedule rm {name} --tenant {tenant}`"
            ));
        }
    }
}

async fn losses<'a>(nats: &Nats, steps: &'a [Step]) -> Result<Vec<Loss<'a>>, Failure> {
    let provisioner = Provisioner::new(nats, 1);
    let mut lost = Vec::new();
    for step in steps {
        let Some(current) = &step.current else { continue };
        for queue in &step.removed {
            lost.push(Loss { step, queue, losses: provisioner.losses(current, Some(queue)).await? });
        }
    }
    Ok(lost)
}

/// Writes the records, and waits until the hosts have made of them what is to be made.
async fn write(nats: &Nats, steps: &[Step], console: Console) -> Result<&'static str, Failure> {
    connection::ensure_stores(nats).await?;
    let tenants = Tenants::new(nats);
    let changing: Vec<_> = steps.iter().filter(|step| !step.plan.is_empty()).collect();
    for (done, step) in changing.iter().enumerate() {
        if let Err(error) = tenants.put(&step.wanted, step.expected).await {
            let written: Vec<_> = changing[..done].iter().map(|step| step.tenant().to_string()).collect();
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
        for step in &changing {
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
    let left = set_right(nats, &changing).await?;
    if !left.is_empty() {
        console.note(format!(
            "applied, and not all is as it should be; the hosts' log says why:\n{}",
            left.join("\n")
        ));
        return Ok("in-part");
    }
    let going = changing.iter().any(|step| !step.removed.is_empty());
    if going && tokio::time::timeout(GONE_WITHIN, gone(nats, &changing)).await.is_err() {
        console.note("applied, and in effect; what runs of the removed queues ends first, and then they go by themselves");
        return Ok("when-running-tasks-have-ended");
    }
    console.note("applied, and in effect");
    Ok("now")
}

/// Waits until every queue has its consumer.
async fn taken_up(nats: &Nats, step: &Step) -> Result<(), Failure> {
    let spec = &step.wanted.spec;
    for queue in spec.queues.keys() {
        loop {
            let looking = depth(nats, &spec.name, queue);
            if let Ok(found) = tokio::time::timeout(LOOKED_AT_WITHIN, looking).await
                && found?.is_some()
            {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

/// Waits until streams, consumers and schedules are as the records say: a quota that was lowered refuses from then on.
/// The answer is what is not, if that lasts.
async fn set_right(nats: &Nats, steps: &[&Step]) -> Result<Vec<String>, Failure> {
    let provisioner = Provisioner::as_found(nats).await?;
    let end = Instant::now() + TAKEN_UP_WITHIN;
    let mut left = Vec::new();
    for step in steps {
        loop {
            let looking = diff::drift(nats, &provisioner, &step.wanted);
            let lines = match tokio::time::timeout(LOOKED_AT_WITHIN, looking).await {
                Ok(Ok(drift)) if drift.is_none() => break,
                Ok(Ok(drift)) => drift.lines(),
                Ok(Err(failure)) => vec![failure.to_string()],
                Err(_) => vec![format!("tenant {}: NATS does not say how it is", step.tenant())],
            };
            if Instant::now() >= end {
                left.extend(lines);
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(left)
}

/// Waits until nothing is left of the queues that were removed. Whoever cannot be asked has not said so.
async fn gone(nats: &Nats, steps: &[&Step]) {
    for step in steps {
        let left = async || match connection::look_up(nats, step.tenant()).await {
            Ok(entry) => entry.is_some_and(|entry| !entry.record.removal.is_nothing()),
            Err(_) => true,
        };
        while left().await {
            tokio::time::sleep(LOOK).await;
        }
    }
}

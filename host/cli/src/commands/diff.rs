//! `saggar diff`: what applying files would change, and where the streams and schedules of NATS are not what is stored.

use std::path::PathBuf;

use owo_colors::{OwoColorize, Style};
use saggar_jetstream::{Difference, Fault, Nats, Provisioner, Schedules, Tenants};
use saggar_model::{TenantRecord, escape};
use serde_json::{Value, json};

use crate::arguments::ConnectionFlags;
use crate::commands::apply::say_what_is_kept;
use crate::connection;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::plan::{changes, shown};
use crate::tenant_files::{self, Step};

const EXAMPLES: &str = "\
Exit codes: 0 nothing differs, 1 something does.

Examples:
  saggar diff tenants/*.toml        # what `saggar apply` would change, and what is not as it was applied
  saggar diff                       # only the latter, of all tenants";

/// The arguments of `saggar diff`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Tenants' files [default: none; all tenants are looked at as they were applied].
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Where what is there is not what is stored of a tenant.
#[derive(Default)]
pub(super) struct Drift {
    settings: Vec<Difference>,
    /// Streams, consumers and schedules that are not there, or, of schedules, are not as they should be.
    missing: Vec<String>,
}

impl Drift {
    pub(super) fn is_none(&self) -> bool {
        self.settings.is_empty() && self.missing.is_empty()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let settings = self.settings.iter().map(|difference| {
            let danger = if difference.dangerous { " (dangerous: no host starts with it)" } else { "" };
            format!("{}{danger}", escape(&difference.to_string()))
        });
        settings.chain(self.missing.iter().cloned()).collect()
    }

    fn row(&self) -> Value {
        let settings = self.settings.iter().map(|it| {
            json!({
                "place": it.place, "setting": it.setting, "found": it.found, "wanted": it.wanted,
                "dangerous": it.dangerous,
            })
        });
        json!({ "settings": settings.collect::<Vec<_>>(), "missing": self.missing })
    }
}

/// Compares.
///
/// # Errors
/// A file has mistakes, a plugin is missing, or NATS does not answer.
pub async fn execute(
    arguments: Arguments,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    let files = tenant_files::read(&arguments.files)?;
    let nats = connection::connect(flags, console).await?;
    let provisioner = Provisioner::as_found(&nats).await?;
    let (mut rows, mut differs) = (Vec::new(), false);
    if arguments.files.is_empty() {
        let entries = match Tenants::new(&nats).list().await {
            Err(error) if error.fault() == Fault::NotFound => Vec::new(),
            listed => listed?,
        };
        for entry in entries {
            let drift = drift(&nats, &provisioner, &entry.record).await?;
            let tenant = &entry.record.spec.name;
            if drift.is_none() {
                console.line(format!("tenant {tenant}: as it was applied"))?;
            }
            say_drift(&entry.record, &drift, console)?;
            differs |= !drift.is_none();
            rows.push(json!({ "tenant": tenant, "drift": drift.row() }));
        }
    }
    for step in tenant_files::compare(&nats, files).await? {
        console.line(shown(step.tenant(), &step.plan))?;
        say_what_is_kept(&step, console);
        let by_command = by_command(&step);
        for line in &by_command {
            console.note(line);
        }
        let drift = match &step.current {
            Some(current) => drift(&nats, &provisioner, current).await?,
            None => Drift::default(),
        };
        if let Some(current) = &step.current {
            say_drift(current, &drift, console)?;
        }
        differs |= !drift.is_none() || !step.plan.is_empty();
        let mut row = changes(step.tenant(), &step.plan);
        row["drift"] = drift.row();
        row["by_command"] = json!(by_command);
        row["kept_schedules"] = step.kept.iter().map(|schedule| json!(schedule.name)).collect();
        rows.push(row);
    }
    let meta = json!({ "count": rows.len(), "differs": differs });
    console.object(json!({ "rows": rows }), &meta)?;
    Ok(if differs { Exit::Different } else { Exit::Success })
}

/// What a command changed since the file was applied, where applying it would take that back.
fn by_command(step: &Step) -> Vec<String> {
    let rollouts = step.current.iter().flat_map(|current| &current.rollouts);
    let changed = rollouts.filter_map(|(queue, rollout)| {
        let (now, wanted) =
            (step.current.as_ref()?.spec.queues.get(queue)?, step.wanted.spec.queues.get(queue)?);
        let differs = (&now.plugin, &now.canary) != (&wanted.plugin, &wanted.canary);
        let command = rollout.by.filter(|_| differs)?.command();
        let (tenant, plugin) = (step.tenant(), &now.plugin);
        Some(format!(
            "queue {tenant}/{queue} was changed by `{command}` and runs {plugin}: write that into the file, or applying \
             it takes it back"
        ))
    });
    changed.collect()
}

fn say_drift(record: &TenantRecord, drift: &Drift, console: Console) -> Result<(), Failure> {
    if drift.is_none() {
        return Ok(());
    }
    let tenant = &record.spec.name;
    console.line(
        format!("! tenant {tenant}: not as it was applied").style(Style::new().yellow().bold()).to_string(),
    )?;
    for line in drift.lines() {
        console.line(format!("    ! {line}"))?;
    }
    console.note("a host sets this right within 30 s; if it stays, the hosts' log says why");
    Ok(())
}

/// Where what is there is not what a tenant's record says.
pub(super) async fn drift(
    nats: &Nats,
    provisioner: &Provisioner,
    record: &TenantRecord,
) -> Result<Drift, Failure> {
    if record.removal.tenant {
        return Ok(Drift::default());
    }
    let differences = provisioner.differences(record).await?;
    let missing = differences.missing.iter().map(|place| format!("{place}: is missing"));
    let mut drift = Drift { settings: differences.settings, missing: missing.collect() };
    let tenant = &record.spec.name;
    let (stored, _) = match Schedules::new(nats).list(Some(tenant)).await {
        Err(error) if error.fault() == Fault::NotFound => (Vec::new(), Vec::new()),
        listed => listed?,
    };
    for (name, spec) in &record.spec.schedules {
        match stored.iter().map(|stored| &stored.schedule).find(|schedule| schedule.name == *name) {
            Some(schedule) if spec.record(name, Some(schedule), schedule.decided()) == *schedule => {}
            Some(_) => drift.missing.push(format!("schedule {tenant}/{name}: is not what the file said")),
            None => drift.missing.push(format!("schedule {tenant}/{name}: is missing")),
        }
    }
    Ok(drift)
}

//! `saggar schedule`: tasks that are made again and again.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Subcommand;
use owo_colors::Style;
use saggar_jetstream::{Expected, Nats, Schedules, SchedulesError, StoredSchedule};
use saggar_model::{
    CatchUp, Overlap, QueueName, Schedule, ScheduleName, TaskRef, TenantName, escape, format_bytes,
    header_name,
};
use serde::Serialize;
use serde_json::json;

use crate::arguments::ConnectionFlags;
use crate::connection::{self, TenantFlag};
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::header::{Header, with_content_type};
use crate::moment::{ahead, rfc3339};
use crate::payload;
use crate::table::{self, Cell, Column};

const EXAMPLES: &str = "\
Examples:
  saggar schedule add nightly export '{\"table\":\"orders\"}' --cron '0 3 * * *' --zone Europe/Berlin
  saggar schedule ls --tenant acme";

/// How often a change is tried again that a host was faster with.
const TRIES: usize = 5;

/// The arguments of `saggar schedule`.
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
    /// List the schedules of a tenant, and when each is due next.
    #[command(after_help = "Example:\n  saggar schedule ls --output json")]
    Ls,
    /// Add a schedule. Its tasks are called NAME and when they were due, as in nightly-20300131T020000Z.
    #[command(
        after_help = "Examples:\n  saggar schedule add nightly export --cron '0 3 * * *' --zone Europe/Berlin\n  \
                            saggar schedule add poll fetch '{}' --cron '*/5 * * * *' --overlap skip --catch-up none"
    )]
    Add(Add),
    /// Have a schedule make nothing until it is resumed.
    #[command(after_help = "Example:\n  saggar schedule pause nightly")]
    Pause {
        /// The schedule.
        name: ScheduleName,
    },
    /// Have a schedule go on. What was due meanwhile is left out.
    #[command(after_help = "Example:\n  saggar schedule resume nightly")]
    Resume {
        /// The schedule.
        name: ScheduleName,
    },
    /// Remove a schedule. The tasks that it made stay.
    #[command(after_help = "Example:\n  saggar schedule rm nightly")]
    Rm {
        /// The schedule.
        name: ScheduleName,
    },
}

#[derive(Debug, clap::Args)]
struct Add {
    /// What it is called.
    name: ScheduleName,

    /// The queue its tasks go into.
    queue: QueueName,

    /// The payload of its tasks, `-` for standard input [default: an empty payload].
    #[arg(conflicts_with = "file", allow_hyphen_values = true)]
    payload: Option<String>,

    /// File with the payload, `-` for standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// When tasks are due: minute, hour, day of month, month and day of week.
    #[arg(long, value_name = "EXPRESSION")]
    cron: String,

    /// The time zone that this is meant in.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    zone: String,

    /// When one is due while the one before it has not ended: skip it, queue it, or replace the one before it.
    #[arg(long, value_name = "skip|queue|replace", default_value = "skip")]
    overlap: Overlap,

    /// Of those that were due while no host was there: make none, the last, or all (100 at most).
    #[arg(long, value_name = "none|last|all", default_value = "last")]
    catch_up: CatchUp,

    /// A header of its tasks; can be repeated.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<Header>,

    /// Media type of the payload.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,

    /// Have it make nothing until it is resumed.
    #[arg(long)]
    paused: bool,
}

/// Does what the command line says.
///
/// # Errors
/// There is no such tenant, queue or schedule, what was asked for makes no sense, or NATS does not answer.
pub async fn execute(
    arguments: Arguments,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    let tenant = arguments.tenant.get()?;
    match arguments.command {
        Command::Add(add) => {
            let queue = add.queue.clone();
            let schedule = schedule(add)?;
            let nats = connection::connect(flags, console).await?;
            connection::queues(&nats, &tenant, Some(&queue)).await?;
            execute_add(&nats, &tenant, &schedule, console).await
        }
        Command::Ls => {
            let nats = connection::connect(flags, console).await?;
            connection::tenant(&nats, &tenant).await?;
            list(&nats, &tenant, console).await
        }
        Command::Pause { name } => {
            let nats = connection::connect(flags, console).await?;
            set_paused(&nats, &tenant, &name, true, console).await
        }
        Command::Resume { name } => {
            let nats = connection::connect(flags, console).await?;
            set_paused(&nats, &tenant, &name, false, console).await
        }
        Command::Rm { name } => {
            let nats = connection::connect(flags, console).await?;
            let schedules = Schedules::new(&nats);
            refuse_if_from_file(&schedules, &tenant, &name).await?;
            let remove =
                async |stored: StoredSchedule| schedules.remove(&tenant, &name, stored.revision).await;
            change(&schedules, &tenant, &name, remove).await?;
            console.answer(json!({ "schedule": name, "removed": true }), format!("{name} removed"))?;
            Ok(Exit::Success)
        }
    }
}

fn schedule(add: Add) -> Result<Schedule, Failure> {
    let payload = match (&add.payload, &add.file) {
        (Some(dash), _) if dash == "-" => payload::read_standard_input()?,
        (Some(text), _) => text.clone().into(),
        (None, Some(file)) => payload::read(file)?,
        (None, None) => bytes::Bytes::new(),
    };
    let now = SystemTime::now();
    let mut schedule = Schedule {
        name: add.name,
        cron: add.cron,
        zone: add.zone,
        queue: add.queue,
        overlap: add.overlap,
        catch_up: add.catch_up,
        payload: payload.to_vec(),
        headers: with_content_type(add.content_type.as_deref(), &add.headers),
        paused: add.paused,
        decided_ms: 0,
        last: None,
        from_file: false,
    };
    schedule.decide_until(now);
    schedule.check(now).map_err(|error| Failure::new(Kind::Usage, error))?;
    saggar_jetstream::check_headers(&schedule.headers)?;
    if schedule.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(header_name::PAYLOAD)) {
        // It goes with the first of the tasks.
        return Err(Failure::new(
            Kind::Usage,
            "a payload in the object store belongs to one task, not to many",
        ));
    }
    Ok(schedule)
}

async fn execute_add(
    nats: &Nats,
    tenant: &TenantName,
    schedule: &Schedule,
    console: Console,
) -> Result<Exit, Failure> {
    let name = &schedule.name;
    match Schedules::new(nats).put(tenant, schedule, Expected::Absent).await {
        Err(SchedulesError::Conflict { .. }) => {
            Err(Failure::new(Kind::Conflict, format!("tenant {tenant} has a schedule {name} already"))
                .advice(format!("Remove it with `saggar schedule rm {name}`, or choose another name.")))
        }
        Err(error) => Err(connection::explain(nats, tenant, error.into()).await),
        Ok(_) => {
            let next = schedule.next_after(SystemTime::now());
            let said = next.map_or_else(String::new, |next| {
                format!(", due next {} ({})", ahead(next, SystemTime::now()), rfc3339(next))
            });
            let data = json!({ "schedule": name, "tenant": tenant, "next": next.map(rfc3339) });
            console.answer(data, format!("{name} added{said}"))?;
            Ok(Exit::Success)
        }
    }
}

async fn set_paused(
    nats: &Nats,
    tenant: &TenantName,
    name: &ScheduleName,
    paused: bool,
    console: Console,
) -> Result<Exit, Failure> {
    let schedules = Schedules::new(nats);
    let set = async |stored: StoredSchedule| {
        let mut schedule = stored.schedule;
        if schedule.paused && !paused {
            schedule.decide_until(SystemTime::now());
        }
        schedule.paused = paused;
        schedules.put(tenant, &schedule, Expected::Revision(stored.revision)).await.map(|_| ())
    };
    change(&schedules, tenant, name, set).await?;
    let word = if paused { "paused" } else { "goes on" };
    console.answer(json!({ "schedule": name, "paused": paused }), format!("{name} {word}"))?;
    Ok(Exit::Success)
}

/// The hosts would put back what its file still describes.
async fn refuse_if_from_file(
    schedules: &Schedules,
    tenant: &TenantName,
    name: &ScheduleName,
) -> Result<(), Failure> {
    if schedules.get(tenant, name).await?.is_some_and(|stored| stored.schedule.from_file) {
        let text = format!("schedule {name} comes from the file of tenant {tenant}");
        return Err(Failure::new(Kind::Conflict, text).advice(
            "Take it out there and `saggar apply` the file; `saggar schedule pause` stops it until then.",
        ));
    }
    Ok(())
}

/// Changes a schedule, again if a host has written it meanwhile.
async fn change(
    schedules: &Schedules,
    tenant: &TenantName,
    name: &ScheduleName,
    change: impl AsyncFn(StoredSchedule) -> Result<(), SchedulesError>,
) -> Result<(), Failure> {
    let mut tries = 0;
    loop {
        let stored = schedules.get(tenant, name).await?.ok_or_else(|| {
            Failure::new(Kind::NotFound, format!("tenant {tenant} has no schedule {name}"))
                .advice("See `saggar schedule ls`.")
        })?;
        tries += 1;
        match change(stored).await {
            Err(SchedulesError::Conflict { .. }) if tries < TRIES => {}
            changed => return Ok(changed?),
        }
    }
}

#[derive(Debug, Serialize)]
struct Row {
    schedule: String,
    tenant: String,
    queue: String,
    cron: String,
    zone: String,
    overlap: &'static str,
    catch_up: &'static str,
    paused: bool,
    from_file: bool,
    bytes_in: usize,
    next: Option<String>,
    last: Option<String>,
    #[serde(skip)]
    until: Option<String>,
}

impl From<StoredSchedule> for Row {
    fn from(stored: StoredSchedule) -> Self {
        let StoredSchedule { tenant, schedule, .. } = stored;
        let now = SystemTime::now();
        let next = if schedule.paused { None } else { schedule.next_after(now) };
        let task = |id| TaskRef { queue: schedule.queue.clone(), id }.to_string();
        Self {
            tenant: tenant.to_string(),
            queue: schedule.queue.to_string(),
            overlap: schedule.overlap.as_str(),
            catch_up: schedule.catch_up.as_str(),
            paused: schedule.paused,
            from_file: schedule.from_file,
            bytes_in: schedule.payload.len(),
            next: next.map(rfc3339),
            last: schedule.last.clone().map(task),
            until: next.map(|next| ahead(next, now)),
            schedule: schedule.name.to_string(),
            cron: schedule.cron,
            zone: schedule.zone,
        }
    }
}

impl table::Row for Row {
    const COLUMNS: &'static [Column] = &[
        Column::text("schedule"),
        Column::text("queue"),
        Column::text("cron"),
        Column::text("zone"),
        Column::text("overlap"),
        Column::text("catch up"),
        Column::number("size"),
        Column::text("next"),
        Column::text("last"),
        Column::text("from"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let next = match (&self.until, self.paused) {
            (_, true) => Cell::styled("paused", Style::new().yellow()),
            (Some(until), false) => Cell::from(until),
            (None, false) => Cell::from("never"),
        };
        vec![
            (&self.schedule).into(),
            (&self.queue).into(),
            escape(&self.cron).into(),
            escape(&self.zone).into(),
            self.overlap.into(),
            self.catch_up.into(),
            format_bytes(self.bytes_in as u64).into(),
            next,
            self.last.as_deref().unwrap_or("-").into(),
            if self.from_file { "file" } else { "command" }.into(),
        ]
    }
}

async fn list(nats: &Nats, tenant: &TenantName, console: Console) -> Result<Exit, Failure> {
    let (schedules, unreadable) = Schedules::new(nats).list(Some(tenant)).await?;
    for error in unreadable {
        console.warn(error.to_string());
    }
    let rows: Vec<Row> = schedules.into_iter().map(Row::from).collect();
    table::write(console, &rows, json!({}), &format!("tenant {tenant} has no schedule"))?;
    Ok(Exit::Success)
}

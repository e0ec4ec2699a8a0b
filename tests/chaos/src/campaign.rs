//! One campaign from its first server to its table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::jetstream::{self, Context};
use saggar_harness::guests;
use tokio::time::Instant;

use crate::arguments::Arguments;
use crate::auditor::{self, Audit};
use crate::clock::{Clock, ClockMaker};
use crate::disk::SmallDisk;
use crate::generator::{Acknowledged, generate};
use crate::hosts::{Host, HostOptions};
use crate::job::TENANTS;
use crate::ledger::Ledger;
use crate::nemesis::{self, Diary};
use crate::operator::Operator;
use crate::probe;
use crate::proxy::Proxy;
use crate::report::Report;
use crate::schedule::{HOSTS, Schedule};
use crate::servers::Servers;
use crate::streams::Inventory;
use crate::verdict::Verdict;

/// How long the hosts may take to be up at the beginning and after the last fault.
const UP: Duration = Duration::from_mins(2);

/// How long the last task may take once nothing is broken any more: the server's patience with hosts that are gone,
/// and the turns of all tasks they had.
const RECOVERY: Duration = Duration::from_mins(6);

/// Runs one campaign. Its files stay in `target/chaos`.
pub async fn run(arguments: &Arguments, seed: u64) -> anyhow::Result<Report> {
    let Arguments { seconds, nodes, rate, .. } = *arguments;
    let directory = directory()?;
    let schedule = Schedule::of(seed, seconds, nodes);
    let disk = (nodes == 1).then(|| SmallDisk::mount(seconds * u64::from(rate))).flatten();
    let servers = Servers::start(nodes, disk).await?;
    let client = servers.client().await?;
    let context = jetstream::new(client.clone());
    let operator = operator(&servers, &directory)?;
    let lines = lines(&servers).await?;
    let clocks = clocks(&directory).map_err(|error| format!("{error:#}"));
    let hosts = hosts(&operator, &lines, clocks.as_deref().unwrap_or_default(), &directory, nodes)?;
    all_ready(&hosts).await?;
    operator.begin().await?;

    let diary = Diary::begin(&directory.join("faults.log"))?;
    let (ledger, writing) = Ledger::begin(&directory.join("ledger"))?;
    let acknowledged = Acknowledged::default();
    let until = Instant::now() + Duration::from_secs(seconds);
    let generating = tokio::spawn(generate(context.clone(), seed, rate, until, ledger, acknowledged.clone()));
    // A connection of its own, so that answers to those who look are not behind those to the generator.
    let looking = jetstream::new(servers.client().await?);
    let auditing = tokio::spawn(auditor::look_on(looking, seed, acknowledged, nodes, until));
    let broken_wires = nemesis::break_wires(schedule.wires, until, servers, lines, diary.clone());
    let broken_hosts =
        nemesis::break_hosts(schedule.hosts, until, hosts, clocks, operator.clone(), diary.clone());
    let (broken_wires, (hosts, version)) = tokio::join!(tokio::spawn(broken_wires), broken_hosts);
    let (servers, _lines) = broken_wires??;
    diary.note("everything is mended");
    let healed = Instant::now();
    generating.await?;
    let audit: Audit = auditing.await?;
    let ledger = writing.read().await?;

    all_ready(&hosts).await?;
    let recovery = emptied(&context).await.map(|()| healed.elapsed());
    diary.note(if recovery.is_ok() { "the queues are empty" } else { "the queues do not become empty" });
    let updated = newest(&operator, &context, version + 1).await;
    let reached = probe::all_queues(&context).await;
    let mut found = BTreeMap::new();
    for tenant in TENANTS {
        found.insert(tenant, Inventory::of(&context, tenant).await?);
    }
    let mut stories = Vec::new();
    for (n, host) in hosts.into_iter().enumerate() {
        let (story, words) = host.leave().await;
        std::fs::write(directory.join(format!("host-{n}.log")), words.join("\n"))?;
        stories.push(story);
    }
    // When no host is there any more: what they count they have written by then.
    for (tenant, inventory) in &mut found {
        inventory.account = operator.usage(tenant).await?;
    }
    let verdict = Verdict::of(seed, &ledger, &found);
    drop(servers);
    Ok(Report { diary, recovery, stories, audit, updated, reached, verdict })
}

/// A directory of the build, empty.
fn directory() -> anyhow::Result<PathBuf> {
    let directory = guests::root().join("target/chaos");
    match std::fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| directory.display().to_string());
        }
        _ => {}
    }
    std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    Ok(directory)
}

fn operator(servers: &Servers, directory: &Path) -> anyhow::Result<Operator> {
    let saggar = std::env::current_exe()?.with_file_name("saggar");
    ensure!(saggar.is_file(), "{} is missing; `make build` makes it", saggar.display());
    let (nats, cache) = (servers.urls().join(","), directory.join("cache").display().to_string());
    Ok(Operator { saggar, directory: directory.to_owned(), nats, cache })
}

/// A line from each host to each server.
async fn lines(servers: &Servers) -> anyhow::Result<Vec<Vec<Proxy>>> {
    let mut lines = Vec::new();
    for _ in 0..HOSTS {
        let mut to_each = Vec::new();
        for server in servers.addresses() {
            to_each.push(Proxy::to(server).await?);
        }
        lines.push(to_each);
    }
    Ok(lines)
}

/// A clock for each host.
fn clocks(directory: &Path) -> anyhow::Result<Vec<Clock>> {
    let maker = ClockMaker::compile(directory)?;
    (0..HOSTS).map(|n| maker.make(&format!("host-{n}"))).collect()
}

fn hosts(
    operator: &Operator,
    lines: &[Vec<Proxy>],
    clocks: &[Clock],
    directory: &Path,
    nodes: u8,
) -> anyhow::Result<Vec<Host>> {
    let mut hosts = Vec::new();
    for (n, lines) in lines.iter().enumerate() {
        let name = format!("host-{n}");
        let config = directory.join(format!("{name}.toml"));
        // Memory for all tasks that all queues may run at once, since the slots are looked at, not the memory.
        let text = format!(
            "[nats]\nreplicas = {nodes}\n[host]\nname = '{name}'\nslots = 512\nmemory = '16GiB'\ndrain = '3s'\n\
             [admin]\nlisten = '127.0.0.1:0'\n[log]\nformat = 'pretty'\n"
        );
        std::fs::write(&config, text)?;
        let urls: Vec<_> = lines.iter().map(|line| format!("nats://{}", line.address())).collect();
        let env = [("NATS_URL", urls.join(",")), ("XDG_CACHE_HOME", operator.cache.clone())];
        let env = env.map(|(name, value)| (name.to_owned(), value)).into_iter();
        let env = env.chain(clocks.get(n).into_iter().flat_map(Clock::env)).collect();
        hosts.push(Host::keep(HostOptions { saggar: operator.saggar.clone(), name, config, env }));
    }
    Ok(hosts)
}

async fn all_ready(hosts: &[Host]) -> anyhow::Result<()> {
    let all = async {
        for host in hosts {
            host.ready().await;
        }
    };
    tokio::time::timeout(UP, all).await.with_context(|| format!("not all hosts are up within {UP:?}"))
}

/// Waits until there is nothing left to do.
async fn emptied(context: &Context) -> anyhow::Result<()> {
    let until = Instant::now() + RECOVERY;
    for tenant in TENANTS {
        probe::empty(context, tenant, until.saturating_duration_since(Instant::now())).await?;
    }
    Ok(())
}

/// Binds all queues to one more version, and waits until it is run.
async fn newest(operator: &Operator, context: &Context, version: u32) -> anyhow::Result<()> {
    for tenant in TENANTS {
        operator.update(tenant, version).await?;
    }
    probe::updated(context, version).await
}

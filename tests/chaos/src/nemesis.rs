//! Breaks things as planned, one lane each for hosts and for servers and lines, and mends them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::fault::Fault;
use crate::hosts::{Host, Order};
use crate::operator::Operator;
use crate::proxy::{Line, Proxy};
use crate::schedule::Step;
use crate::servers::Servers;

/// What was broken, and when.
#[derive(Debug, Clone)]
pub struct Diary(Arc<Mutex<Entries>>);

#[derive(Debug)]
struct Entries {
    began: Instant,
    file: File,
    counts: BTreeMap<&'static str, u32>,
    left_out: BTreeMap<&'static str, String>,
}

impl Diary {
    /// Begins a file.
    pub fn begin(path: &Path) -> anyhow::Result<Self> {
        let (counts, left_out) = (BTreeMap::new(), BTreeMap::new());
        let entries = Entries { began: Instant::now(), file: File::create(path)?, counts, left_out };
        Ok(Self(Arc::new(Mutex::new(entries))))
    }

    /// How often each kind of fault was injected.
    pub fn counts(&self) -> BTreeMap<&'static str, u32> {
        self.entries(|entries| entries.counts.clone())
    }

    /// Kinds of faults that could not be injected, and why.
    pub fn left_out(&self) -> BTreeMap<&'static str, String> {
        self.entries(|entries| entries.left_out.clone())
    }

    /// Writes a line.
    pub fn note(&self, text: &str) {
        self.entries(|entries| {
            let at = entries.began.elapsed().as_secs_f64();
            writeln!(entries.file, "{at:8.1} s  {text}").ok();
        });
    }

    fn begins(&self, fault: Fault, lasts: Duration) {
        self.entries(|entries| *entries.counts.entry(fault.name()).or_default() += 1);
        self.note(&format!("{fault}, for {:.1} s", lasts.as_secs_f64()));
    }

    fn leave_out(&self, fault: Fault, why: &str) {
        self.entries(|entries| drop(entries.left_out.insert(fault.name(), why.to_owned())));
    }

    fn entries<T>(&self, with: impl FnOnce(&mut Entries) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The lane that breaks hosts. `versions` counts the versions of the plugin.
pub async fn break_hosts(
    steps: Vec<Step>,
    until: Instant,
    hosts: Vec<Host>,
    clocks: Result<Vec<Clock>, String>,
    operator: Operator,
    diary: Diary,
) -> (Vec<Host>, u32) {
    let mut version = 1;
    for Step { after, fault, lasts } in steps {
        if !rest(after, until).await {
            break;
        }
        if let (Fault::ShiftClock(..), Err(why)) = (fault, &clocks) {
            diary.leave_out(fault, why);
            continue;
        }
        diary.begins(fault, lasts);
        match fault {
            Fault::KillHost(host) => hosts[host].order(Order::Kill(lasts)).await,
            Fault::FreezeHost(host) => hosts[host].order(Order::Freeze(lasts)).await,
            Fault::DrainHost(host) => hosts[host].order(Order::Drain).await,
            Fault::RollHosts => {
                for host in &hosts {
                    host.order(Order::Drain).await;
                    // The next one leaves when this one is back, as in any rolling restart, or when that takes long.
                    tokio::time::timeout(lasts, host.ready()).await.ok();
                }
            }
            Fault::ShiftClock(host, ahead) => {
                for ahead in [ahead, 0] {
                    if let Some(Err(error)) = clocks.iter().flatten().nth(host).map(|clock| clock.set(ahead))
                    {
                        diary.note(&format!("{error:#}"));
                    }
                    if ahead != 0 {
                        tokio::time::sleep(lasts).await;
                    }
                }
            }
            Fault::UpdatePlugin(tenant) => {
                version += 1;
                // The servers may be away at this moment; then the operator tries again another time.
                if let Err(error) = operator.update(tenant, version).await {
                    diary.note(&format!("{error:#}"));
                }
            }
            _ => tokio::time::sleep(lasts).await,
        }
    }
    (hosts, version)
}

/// The lane that breaks servers and lines. Each host has a line to each server.
pub async fn break_wires(
    steps: Vec<Step>,
    until: Instant,
    mut servers: Servers,
    lines: Vec<Vec<Proxy>>,
    diary: Diary,
) -> anyhow::Result<(Servers, Vec<Vec<Proxy>>)> {
    for Step { after, fault, lasts } in steps {
        if !rest(after, until).await {
            break;
        }
        if fault == Fault::FullDisk && !servers.has_small_disk() {
            diary.leave_out(fault, "a small tmpfs cannot be mounted here");
            continue;
        }
        diary.begins(fault, lasts);
        let set = |host: usize, line: Line| lines[host].iter().for_each(|proxy| proxy.set(line));
        match fault {
            Fault::KillServer(which) => {
                let node = servers.find(which).await;
                servers.kill(node).await;
                tokio::time::sleep(lasts).await;
                servers.start_again(node).await?;
            }
            Fault::StopServer(which) => {
                let node = servers.find(which).await;
                servers.stop(node).await;
                tokio::time::sleep(lasts).await;
                servers.start_again(node).await?;
            }
            Fault::FreezeServer(which) => {
                let node = servers.find(which).await;
                servers.freeze(node);
                tokio::time::sleep(lasts).await;
                servers.thaw(node);
            }
            Fault::Cut(host) => broken(&set, host, Line::Cut, lasts).await,
            Fault::Silence(host) => broken(&set, host, Line::Silent, lasts).await,
            Fault::Delay(host, by) => broken(&set, host, Line::Slow(by), lasts).await,
            Fault::FullDisk => {
                servers.fill_disk()?;
                tokio::time::sleep(lasts).await;
                servers.empty_disk().await?;
            }
            _ => tokio::time::sleep(lasts).await,
        }
        diary.note(&format!("{fault}: over"));
    }
    Ok((servers, lines))
}

async fn broken(set: &impl Fn(usize, Line), host: usize, line: Line, lasts: Duration) {
    set(host, line);
    tokio::time::sleep(lasts).await;
    set(host, Line::Open);
}

/// Waits; false if the time for faults is over.
async fn rest(after: Duration, until: Instant) -> bool {
    tokio::time::sleep(after).await;
    Instant::now() < until
}

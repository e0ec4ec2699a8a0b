//! A running host, put together from its parts and taken apart again in order.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use saggar_egress::{Egress, EgressOptions};
use saggar_jetstream::{
    Children, Control, Dangerous, DeadLetters, Events, Fault, Groups, HostInfo, Hosts, JoinError, Membership,
    Nats, Plugins, ProvisionError, Provisioner, RequestError, ResultWriter, Results, States, Stores, Tenants,
    TenantsError, Timers,
};
use saggar_model::{Ceilings, Health, SecretFiles, TrustedKeys};
use saggar_sandbox::{PluginCache, Sandbox};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::books::Books;
use crate::cancel::{self, RecentlyCancelled};
use crate::claim::ClaimRoom;
use crate::dispatch::Dispatcher;
use crate::finish;
use crate::leader;
use crate::lease::Leases;
use crate::limits::{Budgets, Fleet, LogAllowances};
use crate::metrics::Metrics;
use crate::pace::Paces;
use crate::payload_requests;
use crate::pulse;
use crate::pump;
use crate::roster::Roster;
use crate::runner::Workshop;
use crate::scheduler::{Capacity, Scheduler};
use crate::settlement::Records;
use crate::suspects::Suspects;
use crate::tally::Tally;
use crate::task_requests;
use crate::vault::Vault;
use crate::watcher::Feed;

/// How long a drain waits for what is left once the grace is over: guests end within milliseconds, their tasks have
/// to be written down and given back.
const SETTLE: Duration = Duration::from_secs(15);

/// How long what was said last may take to reach the server.
const FLUSH: Duration = Duration::from_secs(5);

/// How often the state of the connection is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What a host takes on.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Its name, unique among the hosts of one NATS.
    pub name: String,
    /// Tasks at once.
    pub slots: u32,
    /// Guest memory at once, in bytes.
    pub memory: u64,
    /// How long running tasks may go on once the host is told to stop.
    pub drain: Duration,
    /// Copies of every stream it makes.
    pub replicas: u32,
    /// The most a queue may set; a record that asks for more is served with these.
    pub ceilings: Ceilings,
    /// The files that hold the tenants' secrets.
    pub secrets: SecretFiles,
    /// The keys of which one must have signed a plugin for it to be run; absent: any plugin is run.
    pub trusted_keys: Option<TrustedKeys>,
}

/// Why a host could not start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The streams that all hosts share could not be made.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// A stream's settings could lose tasks or mix up tenants.
    #[error(transparent)]
    Dangerous(#[from] Dangerous),
    /// The name is taken, or cannot be one.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The tenants' records could not be read.
    #[error(transparent)]
    Tenants(#[from] TenantsError),
    /// NATS does not answer.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl HostError {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Provision(error) => error.fault(),
            Self::Dangerous(error) => error.fault(),
            Self::Join(error) => error.fault(),
            Self::Tenants(error) => error.fault(),
            Self::Request(error) => error.fault(),
        }
    }
}

/// What all lanes and units of a host share.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) memory: u64,
    pub(crate) ceilings: Ceilings,
    pub(crate) nats: Nats,
    pub(crate) sandbox: Sandbox,
    pub(crate) egress: Egress,
    pub(crate) workshop: Workshop,
    pub(crate) records: Records,
    pub(crate) leases: Leases,
    pub(crate) feed: Feed,
    pub(crate) stores: Stores,
    /// Room for payloads out of the object store.
    pub(crate) claims: ClaimRoom,
    pub(crate) metrics: Metrics,
    /// What it has to add to the tenants' accounts.
    pub(crate) books: Books,
    pub(crate) suspects: Suspects,
    /// Who shares what tenants may start and spend.
    pub(crate) fleet: Fleet,
    pub(crate) logs: LogAllowances,
    pub(crate) budgets: Budgets,
    pub(crate) paces: Paces,
    pub(crate) cancelled: RecentlyCancelled,
    /// Tasks that run.
    pub(crate) units: TaskTracker,
    /// Lanes whose requests are not answered.
    pub(crate) deaf_lanes: AtomicU32,
    /// The host has begun to leave: nothing new is started.
    pub(crate) leaving: CancellationToken,
    /// The grace is over: whatever runs is ended.
    pub(crate) leaving_now: CancellationToken,
    /// The client of NATS is dead and will not reconnect.
    lost: CancellationToken,
}

/// A host at work. It goes on until it is drained or its runtime ends, whether this is dropped or not.
pub struct Host {
    shared: Arc<Shared>,
    options: HostOptions,
    membership: Membership,
    roster: JoinHandle<()>,
    leader: JoinHandle<()>,
    pump: JoinHandle<()>,
    /// Writes the books until it is told that nothing more comes.
    books: (CancellationToken, JoinHandle<()>),
    background: Vec<JoinHandle<()>>,
}

/// How a drain went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Tasks that ran when it began and ended within the grace.
    pub finished: u64,
    /// Tasks that were ended and given back.
    pub given_back: u64,
}

impl Host {
    /// Joins the hosts of this NATS and begins to work.
    ///
    /// # Errors
    /// The name is taken, a stream is set up dangerously, or NATS refuses or does not answer.
    pub async fn start(
        nats: Nats,
        cache: PluginCache,
        sandbox: Sandbox,
        options: HostOptions,
        metrics: Metrics,
    ) -> Result<Self, HostError> {
        let provisioner = Provisioner::new(&nats, options.replicas);
        provisioner.ensure_common().await?;
        verify(&nats, &provisioner).await?;
        nats.look_at_clock().await?;
        let info = HostInfo {
            name: options.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            slots: options.slots,
            memory: options.memory,
            started_at: now_ms(),
            trusted_keys: options.trusted_keys.clone(),
            ..HostInfo::default()
        };
        let membership = Hosts::new(&nats).join(info).await?;
        let books = Books::new(&nats, &options.name, &membership.info().instance);

        metrics.slots.set(i64::from(options.slots));
        let results = Results::new(&nats);
        let timers = Timers::new(&nats);
        let groups = Groups::new(&nats, &timers);
        let (writer, answers) = ResultWriter::open(&results).await?;
        let shared = Arc::new(Shared {
            name: options.name.clone(),
            memory: options.memory,
            ceilings: options.ceilings,
            sandbox,
            egress: Egress::new(EgressOptions::default()),
            workshop: Workshop::new(
                Plugins::new(&nats),
                cache,
                metrics.clone(),
                books.clone(),
                options.trusted_keys.clone(),
            ),
            records: Records {
                results,
                writer,
                dead: DeadLetters::new(&nats),
                states: States::new(&nats),
                children: Children::new(&nats, &timers, &groups),
                tally: Tally::new(&groups),
                groups,
                timers,
            },
            leases: Leases::default(),
            feed: Feed::start(Events::new(&nats)),
            stores: Stores::new(&nats, options.replicas),
            claims: ClaimRoom::beside(options.memory),
            metrics: metrics.clone(),
            books: books.clone(),
            suspects: Suspects::new(),
            fleet: Fleet::new(&nats, &options.name),
            logs: LogAllowances::default(),
            budgets: Budgets::default(),
            paces: Paces::default(),
            cancelled: RecentlyCancelled::default(),
            units: TaskTracker::new(),
            deaf_lanes: AtomicU32::new(0),
            leaving: CancellationToken::new(),
            leaving_now: CancellationToken::new(),
            lost: CancellationToken::new(),
            nats: nats.clone(),
        });
        let dispatcher = dispatcher(&options, &metrics);
        let (budgets, fleet, name) = (shared.budgets.clone(), shared.fleet.clone(), shared.name.clone());
        let budgets = budgets.keep(nats.clone(), fleet, name, dispatcher.clone());
        let vault = Vault::open(options.secrets.clone()).await;
        let roster = Roster::new(shared.clone(), dispatcher, vault);
        let roster = tokio::spawn(roster.run(Tenants::new(&nats), shared.leaving.clone()));
        let leader = tokio::spawn(leader::lead(
            nats.clone(),
            options.name.clone(),
            provisioner,
            shared.stores.clone(),
            books.clone(),
            metrics.clone(),
            shared.leaving.clone(),
        ));
        let pump = tokio::spawn(pump::pump(shared.clone()));
        let closing = CancellationToken::new();
        let written = books.keep(closing.clone());
        let books = (closing, tokio::spawn(written));
        let (leases, clock) = (shared.leases.clone(), nats.clone());
        let background = vec![
            tokio::spawn(finish::follow(answers, shared.units.clone())),
            tokio::spawn(async move { leases.keep().await }),
            tokio::spawn(budgets),
            tokio::spawn(task_requests::cancel(shared.clone())),
            tokio::spawn(task_requests::locate(shared.clone())),
            tokio::spawn(cancel::heed(shared.clone())),
            tokio::spawn(payload_requests::answer(shared.clone())),
            tokio::spawn(pulse::answer(shared.clone(), membership.info().instance)),
            tokio::spawn(async move { clock.follow_clock().await }),
            tokio::spawn(watch_connection(nats, metrics, shared.lost.clone())),
        ];
        Ok(Self { shared, options, membership, roster, leader, pump, books, background })
    }

    /// A function that says how the host feels, for as long as one likes to ask.
    pub fn health(&self) -> impl Fn() -> Health + Clone + Send + Sync + 'static {
        let shared = self.shared.clone();
        move || Health {
            connected: shared.nats.is_connected(),
            draining: shared.leaving.is_cancelled(),
            stuck: shared.deaf_lanes.load(Ordering::Relaxed) > 0,
        }
    }

    /// Waits until the host can no longer work, whatever happens: its client of NATS is dead, which is more than a
    /// lost connection. The only remedy is a new process; see `docs/decisions`, malformed headers.
    pub async fn lost(&self) {
        self.shared.lost.cancelled().await;
    }

    /// Waits until somebody tells this host, over NATS, to leave.
    pub async fn told_to_leave(&self) {
        let control = Control::new(&self.shared.nats);
        match self.shared.name.parse() {
            Ok(name) => {
                while let Err(error) = control.drained(&name).await {
                    tracing::warn!(%error, "this host cannot be told to leave over NATS");
                    tokio::time::sleep(LOOK).await;
                }
            }
            // Such a name no order can carry.
            Err(_) => std::future::pending().await,
        }
    }

    /// Leaves: takes on nothing more, lets running tasks end within the grace, gives back the rest uncounted, and
    /// closes the connection.
    pub async fn drain(self) -> Drained {
        let Self { shared, options, membership, roster, leader, pump, books, background } = self;
        let running = shared.units.len() as u64;
        tracing::info!(running, grace = ?options.drain, "draining");
        membership.set_draining(true);
        shared.leaving.cancel();
        let mut ended = pin!(async {
            let _ = roster.await;
            shared.units.close();
            shared.units.wait().await;
        });
        let in_time = tokio::time::timeout(options.drain, &mut ended).await.is_ok();
        let given_back = if in_time { 0 } else { shared.units.len() as u64 };
        if !in_time {
            shared.leaving_now.cancel();
            if tokio::time::timeout(SETTLE, ended).await.is_err() {
                let left = shared.units.len();
                tracing::error!(
                    left,
                    "tasks could not be given back; they will be delivered again by themselves"
                );
            }
        }
        let _ = leader.await;
        // What it was about to move is delivered again.
        let _ = tokio::time::timeout(SETTLE, pump).await;
        let (closing, written) = books;
        closing.cancel();
        if tokio::time::timeout(SETTLE, written).await.is_err() {
            tracing::warn!("usage was not written to the end; the leader finds it in the results");
        }
        membership.leave().await;
        if let Err(error) = shared.nats.flush(FLUSH).await {
            tracing::warn!(%error, "what was said last may not have reached NATS");
        }
        for task in background {
            task.abort();
        }
        shared.nats.close(FLUSH).await;
        let drained = Drained { finished: running.saturating_sub(given_back), given_back };
        tracing::info!(finished = drained.finished, given_back = drained.given_back, "drained");
        drained
    }
}

/// What gives out the slots, the memory and the processors of a host.
fn dispatcher(options: &HostOptions, metrics: &Metrics) -> Dispatcher {
    let capacity = Capacity { slots: options.slots, memory: options.memory, cores: cores() };
    Dispatcher::start(Scheduler::new(capacity), metrics.clone())
}

/// Refuses to work on streams that somebody has set up dangerously. Those that are not there yet are no danger.
async fn verify(nats: &Nats, provisioner: &Provisioner) -> Result<(), HostError> {
    for entry in Tenants::new(nats).list().await? {
        match provisioner.verify_tenant(&entry.record).await {
            Err(Dangerous::Unknown(error)) if error.fault() == Fault::NotFound => {}
            verified => verified?,
        }
    }
    Ok(())
}

/// Measures whether there is a connection, and finds out whether there can be one ever again.
async fn watch_connection(nats: Nats, metrics: Metrics, lost: CancellationToken) {
    /// Once may be a connection that ended at that moment; three seconds in a row are none.
    const CLOSED_FOR_GOOD: u32 = 3;
    let mut closed = 0;
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        metrics.connected.set(i64::from(nats.is_connected()));
        match nats.flush(FLUSH).await {
            Err(RequestError::Closed { .. }) => closed += 1,
            _ => closed = 0,
        }
        if closed == CLOSED_FOR_GOOD {
            metrics.connected.set(0);
            lost.cancel();
            return;
        }
    }
}

/// The processors that guests can have.
pub(crate) fn cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).unwrap_or(u32::MAX)
}

fn now_ms() -> u64 {
    let now =
        std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

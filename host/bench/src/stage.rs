//! Where queues are measured: a nats-server with an empty store, tenants in it, and a host or the raw loop at work.
//!
//! Each measurement has a stage of its own, so that none inherits what another has stored.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use prometheus_client::registry::Registry;
use saggar_jetstream::{
    Expected, LocalServer, Nats, NewTask, Plugins, Provisioner, RawLoop, StartOptions, Target, Tasks, Tenants,
};
use saggar_model::config::WorkerConfig;
use saggar_model::{Ceilings, QueueName, QueueSpec, Quota, TenantName, TenantRecord, TenantSpec};
use saggar_sandbox::{Options, PluginCache, Sandbox};
use saggar_worker::{Host, HostOptions, Metrics};

use crate::bench::BenchError;

/// Tasks being published at once; more would starve the connection of what it should read.
const PUBLISHING: usize = 500;

/// Tenants being set up at once.
const SETTING_UP: usize = 16;

/// Tasks at once, for a host as for the raw loop: the pipeline is equally deep.
pub(crate) const IN_FLIGHT: u32 = WorkerConfig::SLOTS_DEFAULT;

/// How often is looked how many tasks are done: often against seconds, seldom against microseconds.
const LOOK: Duration = Duration::from_millis(5);

/// How long a drain may stand still.
const STANDSTILL: Duration = Duration::from_secs(30);

/// How long closing a connection may take.
const CLOSING: Duration = Duration::from_secs(5);

/// The first of so many parts of a drain is not counted: the worker starts up.
const START_UP: u64 = 10;

/// A server with tenants.
pub(crate) struct Stage {
    pub(crate) server: LocalServer,
    pub(crate) nats: Nats,
    cache: PathBuf,
}

/// What works on the queues.
pub(crate) enum Worker {
    /// A host of Saggar, in this process.
    Host { host: Box<Host>, metrics: Metrics },
    /// Pull, publish, acknowledge, and no more.
    Raw(RawLoop),
}

/// Which worker is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Ours,
    Limit,
}

/// Measures both sides, ours and the limit, and gives them in this order. The one comes first that was last the time
/// before, so that what the first does to the machine is shared fairly.
pub(crate) async fn by_turns<T>(
    round: usize,
    mut measure: impl AsyncFnMut(Side) -> Result<T, BenchError>,
) -> Result<[T; 2], BenchError> {
    if round.is_multiple_of(2) {
        let limit = measure(Side::Limit).await?;
        Ok([measure(Side::Ours).await?, limit])
    } else {
        let ours = measure(Side::Ours).await?;
        Ok([ours, measure(Side::Limit).await?])
    }
}

impl Worker {
    /// Ends it. What it was at work on is given back or forgotten.
    pub(crate) async fn end(self) {
        match self {
            Self::Host { host, .. } => {
                host.drain().await;
            }
            Self::Raw(raw) => raw.end().await,
        }
    }

    pub(crate) fn settled(&self) -> u64 {
        match self {
            Self::Host { metrics, .. } => metrics.settled(),
            Self::Raw(raw) => raw.settled(),
        }
    }
}

impl Stage {
    /// Starts a server. `cache` is where compiled code lies.
    pub(crate) async fn start(cache: PathBuf) -> Result<Self, BenchError> {
        let server = LocalServer::start(StartOptions::default()).await?;
        let nats = Nats::connect(&Target::at(&server.url()), "saggar bench").await?;
        Provisioner::new(&nats, 1).ensure_common().await?;
        Ok(Self { server, nats, cache })
    }

    /// Makes a tenant with one queue, which runs `component`.
    pub(crate) async fn tenant(&self, tenant: &TenantName, component: Bytes) -> Result<(), BenchError> {
        let (name, version) = (plugin_name(), "1.0.0".parse().expect("a version"));
        let pushed = Plugins::new(&self.nats).push(tenant, &name, &version, component, &[]).await?;
        let plugin = saggar_model::PluginRef::Version(name, version);
        let queue = QueueSpec { concurrency: QueueSpec::CONCURRENCY_MAX, ..QueueSpec::new(plugin.clone()) };
        let record = TenantRecord {
            spec: TenantSpec {
                name: tenant.clone(),
                weight: 1,
                quota: Quota { tasks: 10_000_000, bytes: 100 << 30, results: 100 << 30, dead: 1 << 30 },
                queues: [(queue_name(), queue)].into(),
            },
            plugins: [(plugin.to_string(), pushed.digest)].into(),
        };
        Provisioner::new(&self.nats, 1).ensure_tenant(&record).await?;
        Tenants::new(&self.nats).put(&record, Expected::Absent).await?;
        Ok(())
    }

    /// Makes so many tenants, and gives their names.
    pub(crate) async fn tenants(&self, count: u32, component: &Bytes) -> Result<Vec<TenantName>, BenchError> {
        stream::iter(0..count)
            .map(|number| async move {
                let tenant = tenant_name(number);
                self.tenant(&tenant, component.clone()).await.map(|()| tenant)
            })
            .buffered(SETTING_UP)
            .try_collect()
            .await
    }

    /// Publishes so many tasks to each tenant's queue.
    pub(crate) async fn fill(
        &self,
        tenants: &[TenantName],
        each: u64,
        payload: &Bytes,
    ) -> Result<(), BenchError> {
        let tasks = Tasks::new(&self.nats);
        let queue = queue_name();
        stream::iter(0..each)
            .flat_map(|_| stream::iter(tenants))
            .map(|tenant| {
                tasks.publish(tenant, &queue, NewTask { payload: payload.clone(), ..NewTask::default() })
            })
            .buffer_unordered(PUBLISHING)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        Ok(())
    }

    /// Sets a worker to work on these tenants.
    pub(crate) async fn work(&self, side: Side, tenants: &[TenantName]) -> Result<Worker, BenchError> {
        match side {
            Side::Ours => self.host().await,
            Side::Limit => {
                let queues = tenants.iter().map(|tenant| (tenant.clone(), queue_name()));
                Ok(Worker::Raw(RawLoop::start(&self.server.url(), queues, IN_FLIGHT as usize).await?))
            }
        }
    }

    /// Ends the server, once nobody works with it.
    pub(crate) async fn end(mut self) {
        self.nats.close(CLOSING).await;
        self.server.stop().await;
    }

    /// Starts a host with the default settings, which serves all tenants.
    async fn host(&self) -> Result<Worker, BenchError> {
        let nats = Nats::connect(&Target::at(&self.server.url()), "saggar bench host").await?;
        let ceilings = Ceilings::default();
        let slots = WorkerConfig::SLOTS_DEFAULT;
        let sandbox = Sandbox::new(&Options { slots, max_memory: ceilings.0.memory })?;
        let cache = PluginCache::open(sandbox.clone(), &self.cache)?;
        let metrics = Metrics::new(&mut Registry::default());
        let options = HostOptions {
            name: "bench".to_owned(),
            slots,
            memory: WorkerConfig::MEMORY_DEFAULT,
            drain: Duration::ZERO,
            replicas: 1,
            ceilings,
        };
        let host = Host::start(nats, cache, sandbox, options, metrics.clone()).await?;
        Ok(Worker::Host { host: Box::new(host), metrics })
    }
}

/// What a drain came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drained {
    /// Tasks a second.
    pub(crate) rate: f64,
    /// CPU time per task of this process, and of the server, in microseconds.
    pub(crate) cpu: [f64; 2],
}

impl Stage {
    /// Waits until `worker` has settled `total` tasks. What it does while it starts up is left out.
    pub(crate) async fn drained(&self, worker: &Worker, total: u64) -> Result<Drained, BenchError> {
        let mut look = tokio::time::interval(LOOK);
        let mut begun: Option<Moment> = None;
        let mut progress = (Instant::now(), 0);
        loop {
            look.tick().await;
            let (now, settled) = (Instant::now(), worker.settled());
            if settled > progress.1 {
                progress = (now, settled);
            } else if now - progress.0 > STANDSTILL {
                return Err(BenchError::Standstill { settled, total });
            }
            match &begun {
                None if settled >= total / START_UP => begun = Some(self.moment(settled)),
                Some(begun) if settled >= total => return Ok(self.moment(settled).since(begun)),
                None | Some(_) => {}
            }
        }
    }

    fn moment(&self, settled: u64) -> Moment {
        let server = self.server.pid().map_or(f64::NAN, |pid| cpu_time(&pid.to_string()));
        Moment { at: Instant::now(), settled, cpu: [cpu_time("self"), server] }
    }
}

/// How things stand at one moment of a drain.
struct Moment {
    at: Instant,
    settled: u64,
    /// Seconds of CPU time, of this process and of the server.
    cpu: [f64; 2],
}

impl Moment {
    #[expect(clippy::cast_precision_loss, reason = "a number of tasks")]
    fn since(&self, before: &Self) -> Drained {
        let tasks = (self.settled - before.settled) as f64;
        Drained {
            rate: tasks / (self.at - before.at).as_secs_f64(),
            cpu: [0, 1].map(|at| (self.cpu[at] - before.cpu[at]) / tasks * 1e6),
        }
    }
}

/// CPU time of a process so far, in seconds.
#[expect(clippy::cast_precision_loss, reason = "hundredths of a second")]
fn cpu_time(process: &str) -> f64 {
    /// Fields after the name, which stands in brackets.
    const USER: usize = 11;
    const SYSTEM: usize = 12;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    (ticks(USER) + ticks(SYSTEM)) as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// The name of a tenant of the stage.
pub(crate) fn tenant_name(number: u32) -> TenantName {
    format!("tenant-{number}").parse().expect("a number makes a name")
}

/// The name of every tenant's queue.
pub(crate) fn queue_name() -> QueueName {
    "work".parse().expect("a name")
}

fn plugin_name() -> saggar_model::PluginName {
    "measured".parse().expect("a name")
}

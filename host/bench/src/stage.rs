//! Where queues are measured: a nats-server with an empty store, and tenants with one queue each.
//!
//! Each measurement has a stage of its own, so that none inherits what another has stored.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use saggar_jetstream::{
    Declared, Expected, LocalServer, Nats, NewTask, Plugins, Provisioner, RawLoop, StartOptions, Target,
    Tasks, Tenants,
};
use saggar_model::config::WorkerConfig;
use saggar_model::{
    Allowance, Digest, Limits, PluginName, PluginRef, PluginVersion, QueueName, QueueSpec, Quota, TenantName,
    TenantRecord, TenantSpec,
};

use crate::bench::{BenchError, Setting};
use crate::turns::Side;
use crate::worker::{HostSize, Worker};

/// Tasks being published at once; more would starve the connection of what it should read.
const PUBLISHING: usize = 500;

/// Bytes being published at once, for the same reason.
const PUBLISHING_BYTES: usize = 16 << 20;

/// Tenants being set up at once.
const SETTING_UP: usize = 16;

/// Tasks at once, for a host as for the raw loop: the pipeline is equally deep.
pub(crate) const IN_FLIGHT: u32 = WorkerConfig::SLOTS_DEFAULT;

/// What the tenants of a stage may store of each kind together. A local server has room for three times as much.
const STORE: u64 = 300 << 30;

/// How long closing a connection may take.
const CLOSING: Duration = Duration::from_secs(5);

/// What a tenant of a stage is.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    /// What its queue runs.
    pub(crate) component: Bytes,
    pub(crate) weight: u32,
    pub(crate) limits: Limits,
}

/// A server with tenants.
pub(crate) struct Stage {
    pub(crate) server: LocalServer,
    pub(crate) nats: Nats,
    cache: PathBuf,
}

impl Stage {
    /// Starts a server, lets `act` happen, and ends the server however it went.
    pub(crate) async fn with<T>(
        setting: &Setting<'_>,
        act: impl AsyncFnOnce(&Self) -> Result<T, BenchError>,
    ) -> Result<T, BenchError> {
        let stage = Self::start(setting).await?;
        let done = act(&stage).await;
        stage.end().await;
        done
    }

    /// Starts a server.
    pub(crate) async fn start(setting: &Setting<'_>) -> Result<Self, BenchError> {
        let server = LocalServer::start(StartOptions::default()).await?;
        let nats = Nats::connect(&Target::at(&server.url()), "saggar bench").await?;
        setting.server.get_or_init(|| nats.server_version().to_string());
        Provisioner::new(&nats, 1).ensure_common().await?;
        Ok(Self { server, nats, cache: setting.cache.to_owned() })
    }

    /// Makes so many tenants whose queues run `component` within `limits`, and gives their names.
    pub(crate) async fn tenants(
        &self,
        count: u32,
        component: &Bytes,
        limits: Limits,
    ) -> Result<Vec<TenantName>, BenchError> {
        let kind = Kind { component: component.clone(), weight: 1, limits };
        self.tenants_of(&vec![kind; usize::try_from(count).unwrap_or_default()]).await
    }

    /// Makes a tenant of each kind, and gives their names.
    pub(crate) async fn tenants_of(&self, kinds: &[Kind]) -> Result<Vec<TenantName>, BenchError> {
        let count = u32::try_from(kinds.len()).unwrap_or(u32::MAX);
        stream::iter((0..).zip(kinds))
            .map(|(number, kind)| async move {
                let Kind { component, weight, limits } = kind;
                let tenant = tenant_name(number);
                let mut record = record(&tenant, count, Digest::of(component), *limits);
                record.spec.weight = *weight;
                self.push(&tenant, component.clone()).await?;
                self.make_streams(&record).await?;
                self.announce(&record).await?;
                Ok(tenant)
            })
            .buffered(SETTING_UP)
            .try_collect()
            .await
    }

    /// Pushes the component that the tenant's queue runs.
    pub(crate) async fn push(&self, tenant: &TenantName, component: Bytes) -> Result<(), BenchError> {
        let (name, version) = plugin();
        Plugins::new(&self.nats).push(tenant, &name, &version, component, &Declared::default()).await?;
        Ok(())
    }

    /// Makes a tenant's streams.
    pub(crate) async fn make_streams(&self, record: &TenantRecord) -> Result<(), BenchError> {
        Provisioner::new(&self.nats, 1).ensure_tenant(record).await?;
        Ok(())
    }

    /// Tells the hosts of a tenant.
    pub(crate) async fn announce(&self, record: &TenantRecord) -> Result<(), BenchError> {
        Tenants::new(&self.nats).put(record, Expected::Absent).await?;
        Ok(())
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
        let at_once = (PUBLISHING_BYTES / payload.len().max(1)).clamp(1, PUBLISHING);
        stream::iter(0..each)
            .flat_map(|_| stream::iter(tenants))
            .map(|tenant| {
                tasks.publish(tenant, &queue, NewTask { payload: payload.clone(), ..NewTask::default() })
            })
            .buffer_unordered(at_once)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        Ok(())
    }

    /// Sets a worker to work on these tenants, lets `act` happen, and ends the worker however it went.
    pub(crate) async fn work<T>(
        &self,
        side: Side,
        tenants: &[TenantName],
        act: impl AsyncFnOnce(&Worker) -> Result<T, BenchError>,
    ) -> Result<T, BenchError> {
        match side {
            Side::Ours => self.host(HostSize::default(), act).await,
            Side::Limit => {
                let queues = tenants.iter().map(|tenant| (tenant.clone(), queue_name()));
                let raw = RawLoop::start(&self.server.url(), queues, IN_FLIGHT as usize).await?;
                act_with(Worker::Raw(raw), act).await
            }
        }
    }

    /// Sets a host of this size to work on all tenants, lets `act` happen, and ends the host however it went.
    pub(crate) async fn host<T>(
        &self,
        size: HostSize,
        act: impl AsyncFnOnce(&Worker) -> Result<T, BenchError>,
    ) -> Result<T, BenchError> {
        act_with(Worker::host(&self.server.url(), &self.cache, size).await?, act).await
    }

    /// Ends the server, once nobody works with it.
    pub(crate) async fn end(mut self) {
        self.nats.close(CLOSING).await;
        self.server.stop().await;
    }
}

async fn act_with<T>(
    worker: Worker,
    act: impl AsyncFnOnce(&Worker) -> Result<T, BenchError>,
) -> Result<T, BenchError> {
    let done = act(&worker).await;
    worker.end().await;
    done
}

/// One of so many tenants of a stage.
pub(crate) fn record(tenant: &TenantName, of: u32, component: Digest, limits: Limits) -> TenantRecord {
    let share = STORE / u64::from(of.max(1));
    let (name, version) = plugin();
    let plugin = PluginRef::Version(name, version);
    let queue =
        QueueSpec { concurrency: QueueSpec::CONCURRENCY_MAX, limits, ..QueueSpec::new(plugin.clone()) };
    let spec = TenantSpec {
        name: tenant.clone(),
        weight: 1,
        quota: Quota { tasks: 10_000_000, bytes: share, results: share, dead: share, ..Quota::default() },
        allowance: Allowance::default(),
        queues: [(queue_name(), queue)].into(),
        schedules: [].into(),
    };
    TenantRecord::new(spec, [(plugin.to_string(), component)].into())
}

/// The name of a tenant of the stage.
pub(crate) fn tenant_name(number: u32) -> TenantName {
    format!("tenant-{number}").parse().expect("a number makes a name")
}

/// The name of every tenant's queue.
pub(crate) fn queue_name() -> QueueName {
    "work".parse().expect("a name")
}

fn plugin() -> (PluginName, PluginVersion) {
    ("measured".parse().expect("a name"), "1.0.0".parse().expect("a version"))
}

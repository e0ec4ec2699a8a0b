//! Where queues are measured: a nats-server with an empty store, and tenants with one queue each.
//!
//! Each measurement has a stage of its own, so that none inherits what another has stored.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use saggar_jetstream::{
    Expected, LocalServer, Nats, NewTask, Plugins, Provisioner, RawLoop, StartOptions, Target, Tasks, Tenants,
};
use saggar_model::config::WorkerConfig;
use saggar_model::{
    Digest, Limits, PluginName, PluginRef, PluginVersion, QueueName, QueueSpec, Quota, TenantName,
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

/// How long closing a connection may take.
const CLOSING: Duration = Duration::from_secs(5);

/// A server with tenants.
pub(crate) struct Stage {
    pub(crate) server: LocalServer,
    pub(crate) nats: Nats,
    pub(crate) cache: PathBuf,
}

impl Stage {
    /// Starts a server.
    pub(crate) async fn start(setting: &Setting<'_>) -> Result<Self, BenchError> {
        let server = LocalServer::start(StartOptions::default()).await?;
        let nats = Nats::connect(&Target::at(&server.url()), "saggar bench").await?;
        Provisioner::new(&nats, 1).ensure_common().await?;
        Ok(Self { server, nats, cache: setting.cache.path().to_owned() })
    }

    /// Makes a tenant whose queue runs `component` within `limits`.
    pub(crate) async fn tenant(
        &self,
        tenant: &TenantName,
        component: Bytes,
        limits: Limits,
    ) -> Result<(), BenchError> {
        let record = record(tenant, Digest::of(&component), limits);
        self.push(tenant, component).await?;
        self.make_streams(&record).await?;
        self.announce(&record).await
    }

    /// Makes so many tenants, and gives their names.
    pub(crate) async fn tenants(&self, count: u32, component: &Bytes) -> Result<Vec<TenantName>, BenchError> {
        stream::iter(0..count)
            .map(|number| async move {
                let tenant = tenant_name(number);
                self.tenant(&tenant, component.clone(), Limits::default()).await.map(|()| tenant)
            })
            .buffered(SETTING_UP)
            .try_collect()
            .await
    }

    /// Pushes the component that the tenant's queue runs.
    pub(crate) async fn push(&self, tenant: &TenantName, component: Bytes) -> Result<(), BenchError> {
        let (name, version) = plugin();
        Plugins::new(&self.nats).push(tenant, &name, &version, component, &[]).await?;
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

    /// Sets a worker to work on these tenants.
    pub(crate) async fn work(&self, side: Side, tenants: &[TenantName]) -> Result<Worker, BenchError> {
        match side {
            Side::Ours => self.host(HostSize::default()).await,
            Side::Limit => {
                let queues = tenants.iter().map(|tenant| (tenant.clone(), queue_name()));
                Ok(Worker::Raw(RawLoop::start(&self.server.url(), queues, IN_FLIGHT as usize).await?))
            }
        }
    }

    /// Sets a host of this size to work on all tenants.
    pub(crate) async fn host(&self, size: HostSize) -> Result<Worker, BenchError> {
        Worker::host(&self.server.url(), &self.cache, size).await
    }

    /// Ends the server, once nobody works with it.
    pub(crate) async fn end(mut self) {
        self.nats.close(CLOSING).await;
        self.server.stop().await;
    }
}

/// A tenant of the stage, with room for all that is measured.
pub(crate) fn record(tenant: &TenantName, component: Digest, limits: Limits) -> TenantRecord {
    let (name, version) = plugin();
    let plugin = PluginRef::Version(name, version);
    let queue =
        QueueSpec { concurrency: QueueSpec::CONCURRENCY_MAX, limits, ..QueueSpec::new(plugin.clone()) };
    TenantRecord {
        spec: TenantSpec {
            name: tenant.clone(),
            weight: 1,
            quota: Quota { tasks: 10_000_000, bytes: 100 << 30, results: 100 << 30, dead: 1 << 30 },
            queues: [(queue_name(), queue)].into(),
        },
        plugins: [(plugin.to_string(), component)].into(),
    }
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

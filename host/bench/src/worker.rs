//! What works on the queues of a stage: a host of Saggar, or the raw loop.

use std::path::Path;
use std::time::Duration;

use prometheus_client::registry::Registry;
use saggar_jetstream::{Nats, RawLoop, Target};
use saggar_model::config::WorkerConfig;
use saggar_model::{Ceilings, SecretFiles};
use saggar_sandbox::{Compiler, Options, PluginCache, Sandbox};
use saggar_worker::{Host, HostOptions, Metrics};

use crate::bench::BenchError;

/// A worker at work.
pub(crate) enum Worker {
    /// A host, in this process.
    Host {
        host: Box<Host>,
        metrics: Box<Metrics>,
        /// Where the metrics are registered.
        registry: Registry,
    },
    /// Pull, publish, acknowledge, and no more.
    Raw(RawLoop),
}

/// How much a host takes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HostSize {
    /// Tasks at once.
    pub(crate) slots: u32,
    /// Guest memory at once, in bytes.
    pub(crate) memory: u64,
}

impl Default for HostSize {
    fn default() -> Self {
        Self { slots: WorkerConfig::SLOTS_DEFAULT, memory: WorkerConfig::MEMORY_DEFAULT }
    }
}

impl Worker {
    /// Starts a host, which serves all tenants of the server at `url`. `cache` is where its compiled code lies.
    pub(crate) async fn host(url: &str, cache: &Path, size: HostSize) -> Result<Self, BenchError> {
        let nats = Nats::connect(&Target::at(url), "saggar bench host").await?;
        let HostSize { slots, memory } = size;
        let ceilings = Ceilings::default();
        let sandbox = Sandbox::new(&Options { slots, max_memory: ceilings.0.memory, ..Options::default() })?;
        let cache =
            PluginCache::open(sandbox.clone(), Compiler::new()?, cache, WorkerConfig::CACHE_SIZE_DEFAULT)?;
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let name = "bench".to_owned();
        let options = HostOptions {
            name,
            slots,
            memory,
            drain: Duration::ZERO,
            replicas: 1,
            ceilings,
            secrets: SecretFiles::new(),
            trusted_keys: None,
        };
        let host = Host::start(nats, cache, sandbox, options, metrics.clone()).await?;
        Ok(Self::Host { host: Box::new(host), metrics: Box::new(metrics), registry })
    }

    /// How many tasks it has settled.
    pub(crate) fn settled(&self) -> u64 {
        match self {
            Self::Host { metrics, .. } => metrics.settled(),
            Self::Raw(raw) => raw.settled(),
        }
    }

    /// How many tasks it has taken on and not settled yet.
    pub(crate) fn running(&self) -> u64 {
        self.metric("saggar_tasks_running ").and_then(|value| value.parse().ok()).unwrap_or_default()
    }

    /// For how many seconds the guests of a tenant of the stage have computed.
    pub(crate) fn computed(&self, tenant: usize) -> f64 {
        let start = format!("saggar_cpu_seconds_total{{tenant=\"tenant-{tenant}\",");
        let line = self.metric(&start);
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
    }

    /// What stands behind a name in the host's metrics.
    fn metric(&self, start: &str) -> Option<String> {
        let Self::Host { registry, .. } = self else { return None };
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).ok()?;
        text.lines().find_map(|line| line.strip_prefix(start)).map(str::to_owned)
    }

    /// Ends it. What it was at work on is given back or forgotten.
    pub(crate) async fn end(self) {
        match self {
            Self::Host { host, .. } => {
                host.drain().await;
            }
            Self::Raw(raw) => raw.end().await,
        }
    }
}

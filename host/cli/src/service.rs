//! A worker host and its admin listener in this process: what `host` and `dev` share.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use prometheus_client::registry::Registry;
use saggar_admin::AdminServer;
use saggar_jetstream::Nats;
use saggar_model::Health;
use saggar_model::config::HostConfig;
use saggar_sandbox::{Options, PluginCache, Sandbox};
use saggar_worker::{Drained, Host, HostOptions, Metrics};

use crate::failure::{Failure, Kind};
use crate::keys;
use crate::local::compiler;

/// What a host feels like before there is one: it lives, and is not ready.
const STARTING: Health = Health { connected: false, draining: false, stuck: false };

/// A host that runs in this process.
pub struct Service {
    host: Host,
    admin: AdminServer,
}

impl Service {
    /// Starts to listen, then to work. What can fail by itself is tried before the host joins the others.
    ///
    /// # Errors
    /// The address or the host's name is taken, the cache or the sandbox cannot be used, or NATS refuses.
    pub async fn start(nats: Nats, config: &HostConfig, name: String, cache: &Path) -> Result<Self, Failure> {
        let trusted_keys = keys::trusted(&config.plugins)?;
        let sandbox = Sandbox::new(&Options {
            slots: config.host.slots,
            max_memory: config.ceilings.0.memory,
            ..Options::default()
        })?;
        let cache = PluginCache::open(sandbox.clone(), compiler()?, cache, config.host.cache_size).map_err(
            |error| {
                Failure::new(Kind::BadConfiguration, error).advice(
                    "Name a directory that this user may write with host.cache or SAGGAR_HOST__CACHE.",
                )
            },
        )?;
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let health: Arc<OnceLock<Box<dyn Fn() -> Health + Send + Sync>>> = Arc::default();
        let asked = health.clone();
        let ask = move || asked.get().map_or(STARTING, |health| health());
        let admin = saggar_admin::serve(config.admin.listen, ask, Arc::new(registry)).await?;

        let options = HostOptions {
            name,
            slots: config.host.slots,
            memory: config.host.memory,
            drain: config.host.drain,
            replicas: config.nats.replicas,
            ceilings: config.ceilings,
            secrets: config.secrets.clone(),
            trusted_keys,
        };
        let host = Host::start(nats, cache, sandbox, options, metrics).await?;
        // Nobody else sets it.
        let _ = health.set(Box::new(host.health()));
        Ok(Self { host, admin })
    }

    /// Where health and metrics are, as `http://ADDRESS`.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin.address())
    }

    /// Waits until the host can no longer work and only a new process helps; gives what to say about it.
    pub async fn lost(&self) -> Failure {
        self.host.lost().await;
        Failure::new(Kind::Internal, "the NATS client broke down, perhaps on a message that it cannot parse")
            .advice("Start the host again; its tasks will be delivered again.")
    }

    /// Waits until somebody tells this host, over NATS, to leave.
    pub async fn told_to_leave(&self) {
        self.host.told_to_leave().await;
    }

    /// Takes on nothing more, lets running tasks end within the grace, and gives back the rest.
    pub async fn drain(self) -> Drained {
        let Self { host, admin } = self;
        let drained = host.drain().await;
        drop(admin);
        drained
    }
}

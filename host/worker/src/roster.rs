//! The queues this host serves: follows the tenants' records, opens a lane for each queue and closes what is gone.
//!
//! A change of settings reaches a lane without dropping what it runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use saggar_jetstream::{TenantChange, Tenants, TenantsError};
use saggar_model::{QueueName, TenantName, TenantRecord};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::dispatch::Dispatcher;
use crate::host::Shared;
use crate::lane::{self, Lane, LaneConfig};
use crate::scheduler::{LaneId, TenantId};
use crate::vault::Vault;

/// How often all records are read again, should a change have been missed.
const READ_AGAIN: Duration = Duration::from_secs(30);

type Key = (TenantName, QueueName);

struct Served {
    config: watch::Sender<LaneConfig>,
    stop: CancellationToken,
}

/// All lanes of this host.
pub(crate) struct Roster {
    host: Arc<Shared>,
    dispatcher: Dispatcher,
    served: HashMap<Key, Served>,
    lanes: JoinSet<()>,
    opened: u64,
    /// All tenants that were ever seen.
    tenants: HashMap<TenantName, TenantId>,
    vault: Vault,
}

impl Roster {
    pub(crate) fn new(host: Arc<Shared>, dispatcher: Dispatcher, vault: Vault) -> Self {
        Self {
            host,
            dispatcher,
            served: HashMap::new(),
            lanes: JoinSet::new(),
            opened: 0,
            tenants: HashMap::new(),
            vault,
        }
    }

    /// Follows the records until `stop`, then closes all lanes and waits until none holds a task that was not
    /// started.
    pub(crate) async fn run(mut self, tenants: Tenants, stop: CancellationToken) {
        let mut changes = tenants.watch();
        let mut again = tokio::time::interval(READ_AGAIN);
        again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        again.reset();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(change) = changes.next() => self.take(change),
                _ = again.tick() => self.read_again(&tenants).await,
                () = self.vault.changed() => self.read_again(&tenants).await,
                Some(_) = self.lanes.join_next(), if !self.lanes.is_empty() => {}
            }
        }
        for served in self.served.values() {
            served.stop.cancel();
        }
        while self.lanes.join_next().await.is_some() {}
    }

    fn take(&mut self, change: Result<TenantChange, TenantsError>) {
        match change {
            Ok(TenantChange::Put(entry)) => self.serve(&entry.record),
            Ok(TenantChange::Removed(tenant)) => self.keep_only(&tenant, |_| false),
            Ok(TenantChange::UpToDate) => {}
            Err(error) => tracing::warn!(%error, "following the tenants' records"),
        }
    }

    async fn read_again(&mut self, tenants: &Tenants) {
        match tenants.snapshot().await {
            Ok((entries, unreadable)) => {
                for error in unreadable {
                    tracing::warn!(%error, "a tenant's record is left as it was");
                }
                for entry in &entries {
                    self.serve(&entry.record);
                }
            }
            Err(error) => tracing::debug!(%error, "the tenants' records could not be read again"),
        }
    }

    fn serve(&mut self, record: &TenantRecord) {
        let tenant = &record.spec.name;
        self.keep_only(tenant, |queue| record.spec.queues.contains_key(queue));
        for (queue, spec) in &record.spec.queues {
            let secrets = self.vault.secrets(tenant, &spec.grants);
            let canary = spec.canary.as_ref().and_then(|canary| record.digest(&canary.plugin(&spec.plugin)));
            let (digest, tenant_weight) = (record.digest(&spec.plugin), record.spec.weight);
            let config = LaneConfig { digest, canary, tenant_weight, spec: spec.clone(), secrets };
            match self.served.get(&(tenant.clone(), queue.clone())) {
                Some(served) => {
                    served.config.send_if_modified(|current| {
                        let differs = *current != config;
                        if differs {
                            *current = config;
                        }
                        differs
                    });
                }
                None => self.open(tenant.clone(), queue.clone(), config),
            }
        }
    }

    fn open(&mut self, tenant: TenantName, queue: QueueName, config: LaneConfig) {
        self.opened += 1;
        let known = self.tenants.len() as u64;
        let owner = *self.tenants.entry(tenant.clone()).or_insert(TenantId(known));
        let terms = lane::terms(config.tenant_weight, &config.spec);
        let permits = self.dispatcher.open(LaneId(self.opened), owner, terms);
        let stop = CancellationToken::new();
        let (sender, config) = watch::channel(config);
        let key = (tenant.clone(), queue.clone());
        let host = self.host.clone();
        let lane = Lane { host, tenant, queue, config, permits, stop: stop.clone(), signature: None };
        self.lanes.spawn(lane.run());
        self.served.insert(key, Served { config: sender, stop });
    }

    fn keep_only(&mut self, tenant: &TenantName, keep: impl Fn(&QueueName) -> bool) {
        self.served.retain(|(owner, queue), served| {
            let kept = owner != tenant || keep(queue);
            if !kept {
                tracing::info!(%tenant, %queue, "no longer served");
                served.stop.cancel();
            }
            kept
        });
    }
}

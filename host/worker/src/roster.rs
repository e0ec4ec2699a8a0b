//! The queues this host serves: follows the tenants' records, opens a lane for each queue and closes what is gone.
//!
//! A change of settings reaches a lane without dropping what it runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use saggar_jetstream::{TenantChange, Tenants, TenantsError};
use saggar_model::{Allowance, QueueName, RateLimit, TenantName, TenantRecord};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::dispatch::Dispatcher;
use crate::host::Shared;
use crate::lane::{self, Lane, LaneConfig};
use crate::limits::{lane_bounds, tenant_bounds};
use crate::scheduler::{LaneId, TenantId};
use crate::vault::Vault;

/// How often is looked who shares what tenants may start: as long as one that was lost counts as alive.
const LOOK_AT_FLEET: Duration = Duration::from_secs(5);

/// How often all records are read again, should a change have been missed.
const READ_AGAIN: Duration = Duration::from_secs(30);

type Key = (TenantName, QueueName);

struct Served {
    lane: LaneId,
    rate: Option<RateLimit>,
    config: watch::Sender<LaneConfig>,
    stop: CancellationToken,
}

impl Served {
    fn has_keys(&self) -> bool {
        self.config.borrow().spec.key.is_some()
    }
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
    /// What those tenants may start and spend that have a limit.
    limited: HashMap<TenantName, Allowance>,
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
            limited: HashMap::new(),
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
        let mut look = tokio::time::interval(LOOK_AT_FLEET);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(change) = changes.next() => self.take(change),
                _ = again.tick() => self.read_again(&tenants).await,
                _ = look.tick(), if self.has_limits() => self.look_at_fleet().await,
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
            Ok(TenantChange::Removed(tenant)) => {
                self.keep_only(&tenant, |_| false);
                self.limited.remove(&tenant);
                self.host.budgets.set(&tenant, None);
                self.host.logs.forget(&tenant);
            }
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
        self.limit(record);
    }

    /// Tells what a tenant and its queues may start and spend.
    fn limit(&mut self, record: &TenantRecord) {
        let (tenant, allowance) = (&record.spec.name, record.spec.allowance);
        let before = self.limited.get(tenant).copied().unwrap_or_default();
        if allowance.is_unlimited() {
            self.limited.remove(tenant);
        } else {
            self.limited.insert(tenant.clone(), allowance);
        }
        if allowance != before {
            self.bound_tenant(tenant, &allowance);
        }
        for (queue, spec) in &record.spec.queues {
            let Some(served) = self.served.get_mut(&(tenant.clone(), queue.clone())) else { continue };
            if std::mem::replace(&mut served.rate, spec.rate) != spec.rate {
                self.bound_lane(queue, &self.served[&(tenant.clone(), queue.clone())]);
            }
        }
    }

    fn has_limits(&self) -> bool {
        !self.limited.is_empty()
            || self.served.values().any(|served| served.rate.is_some() || served.has_keys())
    }

    /// Looks who shares the limits, and divides them anew.
    async fn look_at_fleet(&self) {
        match self.host.fleet.look().await {
            Ok(false) => {}
            Ok(true) => {
                tracing::debug!(hosts = self.host.fleet.count(), "sharing what tenants may start");
                for (tenant, allowance) in &self.limited {
                    self.bound_tenant(tenant, allowance);
                }
                for ((_, queue), served) in self.served.iter().filter(|(_, served)| served.rate.is_some()) {
                    self.bound_lane(queue, served);
                }
            }
            Err(error) => tracing::debug!(%error, "who else is alive could not be seen"),
        }
    }

    fn bound_tenant(&self, tenant: &TenantName, allowance: &Allowance) {
        let Shared { fleet, budgets, logs, .. } = &*self.host;
        let Some(id) = self.tenants.get(tenant).copied() else { return };
        self.dispatcher.bound_tenant(id, tenant_bounds(allowance, tenant.as_str(), fleet));
        let budget = allowance.cpu_per_day.map(|millis| (id, Duration::from_millis(millis)));
        // Nothing is spent of one before it is known what is left.
        if budgets.set(tenant, budget) {
            self.dispatcher.set_budget(id, Some(Duration::ZERO));
        } else if budget.is_none() {
            self.dispatcher.set_budget(id, None);
        }
        logs.set(tenant, allowance.logs_per_minute, fleet);
    }

    fn bound_lane(&self, queue: &QueueName, served: &Served) {
        self.dispatcher.bound_lane(served.lane, lane_bounds(served.rate, queue.as_str(), &self.host.fleet));
    }

    fn open(&mut self, tenant: TenantName, queue: QueueName, config: LaneConfig) {
        self.opened += 1;
        let known = self.tenants.len() as u64;
        let owner = *self.tenants.entry(tenant.clone()).or_insert(TenantId(known));
        let terms = lane::terms(config.tenant_weight, &config.spec, config.digest);
        let id = LaneId(self.opened);
        let permits = self.dispatcher.open(id, owner, terms);
        // The scheduler forgets a tenant whose last lane has gone.
        if let Some(allowance) = self.limited.get(&tenant) {
            self.bound_tenant(&tenant, allowance);
        }
        let stop = CancellationToken::new();
        let (sender, config) = watch::channel(config);
        let key = (tenant.clone(), queue.clone());
        let host = self.host.clone();
        let keys = Arc::default();
        let lane = Lane { host, tenant, queue, config, permits, stop: stop.clone(), keys, signature: None };
        self.lanes.spawn(lane.run());
        self.served.insert(key, Served { lane: id, rate: None, config: sender, stop });
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

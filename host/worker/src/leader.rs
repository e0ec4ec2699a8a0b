//! Derives streams, subjects and consumers from the tenants' records, and keeps the schedules and the
//! accounts. One host does it at a
//! time, and whatever it does can be done again.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use futures::StreamExt as _;
use saggar_jetstream::{
    Lease, Nats, Provisioner, Schedules, StoredSchedule, Stores, TenantChange, TenantEntry, Tenants,
};
use saggar_model::{TenantName, TenantRecord};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::bookkeeper::Bookkeeper;
use crate::books::Books;
use crate::mend::Mender;
use crate::metrics::Metrics;
use crate::schedules;

/// How often everything is derived again: puts right what somebody removed by hand, and what failed.
const DERIVE_AGAIN: Duration = Duration::from_secs(30);

/// How often a follower looks whether it leads by now, and a leader whether it still does.
const LOOK: Duration = Duration::from_secs(1);

/// What failed is tried again after this, sooner than all the rest.
const RETRY: Duration = Duration::from_secs(2);

/// Campaigns, and leads when it is elected, until `stop`.
pub(crate) async fn lead(
    nats: Nats,
    host: String,
    provisioner: Provisioner,
    stores: Stores,
    books: Books,
    metrics: Metrics,
    stop: CancellationToken,
) {
    let mender = Mender::new(&nats, &host, provisioner.clone(), stores, books, metrics);
    let bookkeeper = Bookkeeper::new(&nats);
    let mut lease = Lease::campaign(&nats, &host);
    let records = Records {
        tenants: Tenants::new(&nats),
        provisioner,
        schedules: Schedules::new(&nats),
        nats: nats.clone(),
        rescheduled: Notify::new(),
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = lease.elected() => {}
        }
        tracing::info!(%host, "leading: deriving streams from the tenants' records");
        tokio::select! {
            () = stop.cancelled() => break,
            () = records.derive(&lease) => {}
            () = schedules::keep(&nats, &lease, &records.rescheduled) => {}
            // These go on for as long as this host leads.
            () = mender.mend() => {}
            () = bookkeeper.keep() => {}
        }
        tracing::info!(%host, "no longer leading");
        tokio::time::sleep(LOOK).await;
    }
    lease.resign().await;
}

/// The tenants' records, and what is derived from them.
struct Records {
    nats: Nats,
    tenants: Tenants,
    provisioner: Provisioner,
    schedules: Schedules,
    /// Whoever keeps the schedules waits at the other end.
    rescheduled: Notify,
}

impl Records {
    /// Follows the records for as long as this host leads.
    async fn derive(&self, lease: &Lease) {
        let mut changes = self.tenants.watch();
        let mut records: HashMap<TenantName, TenantEntry> = HashMap::new();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut again = tokio::time::interval(DERIVE_AGAIN);
        again.reset();
        while lease.is_leader() {
            tokio::select! {
                Some(change) = changes.next() => match change {
                    Ok(TenantChange::Put(entry)) => {
                        let stored = self.stored(Some(&entry.record.spec.name)).await;
                        if !self.ensure(&entry.record, stored.as_deref()).await {
                            again.reset_after(RETRY);
                        }
                        self.remove(&entry).await;
                        records.insert(entry.record.spec.name.clone(), *entry);
                    }
                    Ok(TenantChange::Removed(tenant)) => {
                        records.remove(&tenant);
                    }
                    Ok(TenantChange::UpToDate) => {}
                    Err(error) => tracing::debug!(%error, "following the tenants' records"),
                },
                _ = again.tick() => {
                    if let Err(error) = self.provisioner.ensure_usage().await {
                        tracing::error!(%error, "what is used cannot be written down");
                        again.reset_after(RETRY);
                    }
                    // Once for all of them: a thousand tenants are a thousand questions fewer.
                    let stored = self.stored(None).await;
                    for entry in records.values() {
                        if !self.ensure(&entry.record, stored.as_deref()).await {
                            again.reset_after(RETRY);
                        }
                    }
                }
                _ = look.tick() => {
                    for entry in records.values() {
                        self.remove(entry).await;
                    }
                }
            }
        }
    }

    /// The schedules of a tenant, or of all; nothing if they cannot be read now.
    async fn stored(&self, tenant: Option<&TenantName>) -> Option<Vec<StoredSchedule>> {
        match self.schedules.list(tenant).await {
            Ok((stored, _)) => Some(stored),
            Err(error) => {
                tracing::debug!(%error, "the schedules could not be read");
                None
            }
        }
    }

    /// Makes everything what the record says; false if something has to be tried again.
    async fn ensure(&self, record: &TenantRecord, stored: Option<&[StoredSchedule]>) -> bool {
        let tenant = &record.spec.name;
        let ensured = self.provisioner.ensure_tenant(record).await;
        if let Err(error) = &ensured {
            tracing::error!(%tenant, %error, "the tenant's streams are not as they should be");
        }
        let Some(stored) = stored else { return false };
        let followed = self.schedules.follow(record, stored, self.nats.now()).await;
        match &followed {
            Ok(true) => self.rescheduled.notify_one(),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%tenant, %error, "the schedules of the tenant's file are not kept yet");
            }
        }
        ensured.is_ok() && followed.is_ok()
    }

    /// Goes on with what is on its way out. The mark in the record goes last.
    async fn remove(&self, entry: &TenantEntry) {
        let TenantEntry { record, revision } = entry;
        if record.removal.is_nothing() {
            return;
        }
        let tenant = &record.spec.name;
        let round = match self.provisioner.remove(record).await {
            Ok(round) => round,
            Err(error) => return tracing::warn!(%tenant, %error, "what is on its way out is still there"),
        };
        let forgotten = if round.tenant_is_gone {
            tracing::info!(%tenant, "the tenant is gone, with everything it had");
            self.tenants.remove(tenant, *revision).await
        } else if round.gone.is_empty() || record.removal.tenant {
            return;
        } else {
            tracing::info!(%tenant, queues = ?round.gone, "queues are gone, with everything they held");
            let forget = |record: &mut TenantRecord| {
                record.removal.queues.retain(|queue| !round.gone.contains(queue));
                Ok::<_, Infallible>(())
            };
            self.tenants.change(tenant, forget).await.map(|_| ())
        };
        if let Err(error) = forgotten {
            tracing::warn!(%tenant, %error, "what is gone is still marked as on its way out");
        }
    }
}

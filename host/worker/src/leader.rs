//! Derives streams, subjects and consumers from the tenants' records, and keeps the schedules. One host does it at a
//! time, and whatever it does can be done again.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt as _;
use saggar_jetstream::{Lease, Nats, Provisioner, Stores, TenantChange, Tenants};
use saggar_model::{TenantName, TenantRecord};
use tokio_util::sync::CancellationToken;

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
    metrics: Metrics,
    stop: CancellationToken,
) {
    let tenants = Tenants::new(&nats);
    let mender = Mender::new(&nats, &host, provisioner.clone(), stores, metrics);
    let mut lease = Lease::campaign(&nats, &host);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = lease.elected() => {}
        }
        tracing::info!(%host, "leading: deriving streams from the tenants' records");
        tokio::select! {
            () = stop.cancelled() => break,
            () = derive(&tenants, &provisioner, &lease) => {}
            () = schedules::keep(&nats, &lease) => {}
            // It goes on for as long as this host leads.
            () = mender.mend() => {}
        }
        tracing::info!(%host, "no longer leading");
        tokio::time::sleep(LOOK).await;
    }
    lease.resign().await;
}

/// Follows the records for as long as this host leads.
async fn derive(tenants: &Tenants, provisioner: &Provisioner, lease: &Lease) {
    let mut changes = tenants.watch();
    let mut records: HashMap<TenantName, TenantRecord> = HashMap::new();
    let mut look = tokio::time::interval(LOOK);
    let mut again = tokio::time::interval(DERIVE_AGAIN);
    again.reset();
    while lease.is_leader() {
        tokio::select! {
            Some(change) = changes.next() => match change {
                Ok(TenantChange::Put(entry)) => {
                    let record = entry.record;
                    if !ensure(provisioner, &record).await {
                        again.reset_after(RETRY);
                    }
                    records.insert(record.spec.name.clone(), record);
                }
                Ok(TenantChange::Removed(tenant)) => {
                    records.remove(&tenant);
                }
                Ok(TenantChange::UpToDate) => {}
                Err(error) => tracing::debug!(%error, "following the tenants' records"),
            },
            _ = again.tick() => {
                for record in records.values() {
                    if !ensure(provisioner, record).await {
                        again.reset_after(RETRY);
                    }
                }
            }
            _ = look.tick() => {}
        }
    }
}

async fn ensure(provisioner: &Provisioner, record: &TenantRecord) -> bool {
    let ensured = provisioner.ensure_tenant(record).await;
    if let Err(error) = &ensured {
        tracing::error!(tenant = %record.spec.name, %error, "the tenant's streams are not as they should be");
    }
    ensured.is_ok()
}

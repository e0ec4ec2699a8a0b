//! What the plugins of all tenants keep, as one host reaches it: a bucket and an object store for each tenant, made
//! when they are first written to, with the tenant's quota of that moment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use saggar_model::{STORE_CALL_MAX, StoreError, StoreKind, TenantName};

use crate::api::{RequestError, code};
use crate::{Blobs, Checkpoints, Kv, Nats, Payloads, Provisioner, Tenants};

/// How often a host looks for what aborted uploads left behind in a store that is full. A full store is met by every
/// task of a queue, and a look reads the names of all objects.
const SWEEP_EVERY: Duration = Duration::from_mins(10);

/// The stores of all tenants. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stores {
    nats: Nats,
    provisioner: Provisioner,
    /// By the name of the store.
    swept: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Stores {
    /// The stores in this NATS; those that are made have so many copies.
    #[must_use]
    pub fn new(nats: &Nats, replicas: u32) -> Self {
        Self { nats: nats.clone(), provisioner: Provisioner::new(nats, replicas), swept: Arc::default() }
    }

    /// A tenant's keys and values.
    #[must_use]
    pub fn kv(&self, tenant: &TenantName) -> Kv {
        Kv::new(self.clone(), tenant.clone())
    }

    /// A tenant's objects.
    #[must_use]
    pub fn blobs(&self, tenant: &TenantName) -> Blobs {
        Blobs::new(self.clone(), tenant.clone())
    }

    /// The checkpoints of a tenant's tasks.
    #[must_use]
    pub fn checkpoints(&self, tenant: &TenantName) -> Checkpoints {
        Checkpoints::new(Blobs::of_checkpoints(self.clone(), tenant.clone()))
    }

    /// The payloads of a tenant's tasks and results that are too large for a message.
    #[must_use]
    pub fn payloads(&self, tenant: &TenantName) -> Payloads {
        Payloads::new(Blobs::of_payloads(self.clone(), tenant.clone()))
    }

    pub(crate) fn nats(&self) -> &Nats {
        &self.nats
    }

    /// Makes a tenant's store, with the quota that its record gives it now.
    pub(crate) async fn make(&self, tenant: &TenantName, kind: StoreKind) -> Result<(), StoreError> {
        let record = match Tenants::new(&self.nats).get(tenant).await {
            Ok(Some(entry)) => entry.record,
            Ok(None) => return Err(unavailable(tenant, kind, &"the tenant has no record")),
            Err(error) => return Err(unavailable(tenant, kind, &error)),
        };
        let quota = &record.spec.quota;
        let made = match kind {
            StoreKind::Kv => self.provisioner.ensure_kv(tenant, quota).await,
            StoreKind::Blobs => self.provisioner.ensure_blobs(tenant, quota).await,
            StoreKind::Checkpoints => self.provisioner.ensure_checkpoints(tenant, quota).await,
            StoreKind::Payloads => self.provisioner.ensure_payloads(tenant, quota).await,
        };
        made.map_err(|error| unavailable(tenant, kind, &error))
    }

    /// Whether it is time to look again for what aborted uploads left behind in a store.
    pub(crate) fn sweep_is_due(&self, store: &str) -> bool {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        let due = swept.get(store).is_none_or(|last| last.elapsed() >= SWEEP_EVERY);
        if due {
            swept.insert(store.to_owned(), Instant::now());
        }
        due
    }
}

/// Bounds a call to a store.
pub(crate) async fn within<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(STORE_CALL_MAX, call).await.unwrap_or(Err(StoreError::Unavailable))
}

/// What a guest is told about a request that failed; the log gets the rest.
pub(crate) fn failed(tenant: &TenantName, kind: StoreKind, error: RequestError) -> StoreError {
    match error {
        RequestError::Refused { code: code::STREAM_FULL, .. } => StoreError::Full(kind),
        error if error.is_wrong_sequence() => StoreError::Conflict,
        error => unavailable(tenant, kind, &error),
    }
}

fn unavailable(tenant: &TenantName, kind: StoreKind, error: &dyn std::fmt::Display) -> StoreError {
    tracing::warn!(%tenant, store = %kind, %error, "a storage call failed");
    StoreError::Unavailable
}

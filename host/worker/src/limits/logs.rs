//! How much of what guests log is passed on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use saggar_model::TenantName;

use super::bounds::minutes;
use super::fleet::Fleet;
use crate::scheduler::Bucket;

/// What one tenant may log on this host, in bytes.
#[derive(Debug, Default)]
pub(crate) struct LogAllowance(Mutex<Bucket>);

impl LogAllowance {
    /// Whether a message of so many bytes is passed on.
    pub(crate) fn passes(&self, bytes: usize) -> bool {
        let (mut bucket, now) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        if bucket.burst().is_none() {
            return true;
        }
        let bytes = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
        // One that is longer than all that is allowed in a minute never passes.
        let passes = bucket.level(now) >= bytes;
        if passes {
            bucket.take(bytes, now);
        }
        passes
    }

    fn set(&self, per_minute: Option<u64>, fleet: &Fleet) {
        let flow = per_minute.map(|bytes| minutes(bytes, fleet));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).set(flow, Instant::now());
    }
}

/// What tenants may log on this host.
#[derive(Default)]
pub(crate) struct LogAllowances(Mutex<HashMap<TenantName, Arc<LogAllowance>>>);

impl LogAllowances {
    /// That of a tenant, as it is and as it will be.
    pub(crate) fn of(&self, tenant: &TenantName) -> Arc<LogAllowance> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(tenant.clone()).or_default().clone()
    }

    /// So many bytes in a minute for this tenant, on all hosts together.
    pub(crate) fn set(&self, tenant: &TenantName, per_minute: Option<u64>, fleet: &Fleet) {
        self.of(tenant).set(per_minute, fleet);
    }

    /// Forgets a tenant that is gone.
    pub(crate) fn forget(&self, tenant: &TenantName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(tenant);
    }
}

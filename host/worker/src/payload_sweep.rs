//! Removing large payloads that nothing names any more, for all tenants. The leader does it, a piece at a time.

use std::collections::HashMap;

use saggar_jetstream::{PayloadSweep, Stores};
use saggar_model::{PAYLOAD_GRACE, TenantName};

use crate::metrics::Metrics;

/// What is read of one tenant's tasks and dead letters in a round. A gigabyte of them takes three hours, and no round
/// is noticed.
const BYTES: usize = 32 << 20;

/// Sweeps that have begun, and where they are. A host that leads anew begins anew.
#[derive(Default)]
pub(crate) struct PayloadSweeps(HashMap<TenantName, Option<PayloadSweep>>);

impl PayloadSweeps {
    /// Goes on with the sweep of each of these tenants, or begins one.
    pub(crate) async fn round(&mut self, stores: &Stores, tenants: &[TenantName], metrics: &Metrics) {
        let mut begun = std::mem::take(&mut self.0);
        for tenant in tenants {
            let mut sweep = begun.remove(tenant).flatten();
            match stores.payloads(tenant).sweep(&mut sweep, PAYLOAD_GRACE, BYTES).await {
                Ok(0) => {}
                Ok(removed) => {
                    tracing::info!(%tenant, removed, "removed payloads that nothing names");
                    metrics.payloads_swept.inc_by(removed as u64);
                }
                Err(error) => tracing::debug!(%tenant, %error, "payloads could not be swept"),
            }
            if sweep.is_some() {
                self.0.insert(tenant.clone(), sweep);
            }
        }
    }
}

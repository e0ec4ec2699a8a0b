//! Removing large payloads that nothing names any more, for all tenants. The leader does it, a piece at a time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use saggar_jetstream::{PayloadSweep, Stores};
use saggar_model::{PAYLOAD_GRACE, TenantName};

use crate::metrics::Metrics;

/// How often a tenant's payloads are looked through. What is left behind is an hour old at least when it goes, and a
/// look asks for the result of every output.
const AGAIN: Duration = Duration::from_hours(1);

/// What is read of one tenant's tasks and dead letters in a round. A gigabyte of them takes three hours, and no round
/// is noticed.
const BYTES: usize = 32 << 20;

/// How long one round may take, over all tenants. Who is not reached is the first in the next round.
const ROUND_MAX: Duration = Duration::from_mins(1);

/// Sweeps that have begun, and when. A host that leads anew begins anew.
#[derive(Default)]
pub(crate) struct PayloadSweeps(HashMap<TenantName, Swept>);

/// How far it has come with a tenant.
#[derive(Default)]
struct Swept {
    /// When the last sweep began; nothing before the first.
    began: Option<Instant>,
    /// What is left of it.
    sweep: Option<PayloadSweep>,
}

impl Swept {
    fn is_due(&self, now: Instant) -> bool {
        self.sweep.is_some() || self.began.is_none_or(|began| now.saturating_duration_since(began) >= AGAIN)
    }
}

impl PayloadSweeps {
    /// Goes on with the sweeps of these tenants, and begins those that are due.
    pub(crate) async fn round(&mut self, stores: &Stores, tenants: &[TenantName], metrics: &Metrics) {
        let begin = Instant::now();
        for tenant in self.due(tenants, begin) {
            if begin.elapsed() >= ROUND_MAX {
                tracing::debug!("not all tenants' payloads could be looked through in one round");
                return;
            }
            let Swept { began, sweep } = self.0.entry(tenant.clone()).or_default();
            if sweep.is_none() {
                *began = Some(begin);
            }
            match stores.payloads(&tenant).sweep(sweep, PAYLOAD_GRACE, BYTES).await {
                Ok(0) => {}
                Ok(removed) => {
                    tracing::info!(%tenant, removed, "removed payloads that nothing names");
                    metrics.payloads_swept.inc_by(removed as u64);
                }
                Err(error) => tracing::debug!(%tenant, %error, "payloads could not be swept"),
            }
        }
    }

    /// The tenants whose payloads are to be looked through, those that have waited for the longest first. Others are
    /// forgotten when they are gone.
    fn due(&mut self, tenants: &[TenantName], now: Instant) -> Vec<TenantName> {
        self.0.retain(|tenant, _| tenants.contains(tenant));
        let mut due: Vec<_> = tenants
            .iter()
            .filter(|tenant| self.0.get(tenant).is_none_or(|swept| swept.is_due(now)))
            .map(|tenant| (self.0.get(tenant).and_then(|swept| swept.began), tenant.clone()))
            .collect();
        due.sort_by_key(|(began, _)| *began);
        due.into_iter().map(|(_, tenant)| tenant).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_looked_at_once_an_hour_and_who_waited_longest_is_first() {
        let tenants: Vec<TenantName> = ["a", "b", "c"].map(|name| name.parse().unwrap()).to_vec();
        let names = |due: Vec<TenantName>| due.iter().map(ToString::to_string).collect::<String>();
        let (mut sweeps, begin) = (PayloadSweeps::default(), Instant::now());
        assert_eq!(names(sweeps.due(&tenants, begin)), "abc");
        for (tenant, minutes) in [("a", 20), ("b", 10)] {
            let began = Some(begin + Duration::from_mins(minutes));
            sweeps.0.insert(tenant.parse().unwrap(), Swept { began, sweep: None });
        }
        let after = |minutes| begin + Duration::from_mins(minutes);
        assert_eq!(names(sweeps.due(&tenants, after(69))), "c");
        assert_eq!(names(sweeps.due(&tenants, after(70))), "cb");
        assert_eq!(names(sweeps.due(&tenants, after(80))), "cba");
        assert_eq!(names(sweeps.due(&tenants[2..], after(80))), "c");
        assert!(sweeps.0.is_empty(), "those that are gone are forgotten");
    }
}

//! How many requests over NATS a host has in hands at once: of all tenants together, and of each. Nobody who floods them
//! takes every place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use saggar_model::TenantName;

/// Requests in hands at once: a few megabytes, and enough to keep a server busy.
const AT_ONCE: u32 = 16;

/// Requests of one tenant in hands at once. Clients send one after another, so that this is four of them.
const OF_TENANT: u32 = 4;

/// The requests of one kind that are in hands.
#[derive(Clone, Default)]
pub(crate) struct Hands(Arc<Mutex<HashMap<TenantName, u32>>>);

/// A place for one request; dropped, it is free for another.
pub(crate) struct Taken {
    hands: Hands,
    tenant: TenantName,
}

impl Hands {
    /// A place for a request of this tenant; nothing if it has as many as it may, or all are taken.
    pub(crate) fn take(&self, tenant: &TenantName) -> Option<Taken> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: u32 = taken.values().sum();
        let its = taken.get(tenant).copied().unwrap_or_default();
        if all >= AT_ONCE || its >= OF_TENANT {
            return None;
        }
        taken.insert(tenant.clone(), its + 1);
        Some(Taken { hands: self.clone(), tenant: tenant.clone() })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut taken = self.hands.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.tenant) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.tenant)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_that_floods_leaves_places_for_others_and_gets_its_own_back() {
        let hands = Hands::default();
        let [flood, quiet] = ["flood", "quiet"].map(|tenant| tenant.parse::<TenantName>().unwrap());
        let mut held: Vec<_> = std::iter::from_fn(|| hands.take(&flood)).take(100).collect();
        assert_eq!(held.len(), 4);
        assert!(hands.take(&quiet).is_some());
        held.pop();
        assert!(hands.take(&flood).is_some());
        held.clear();
        assert!(hands.0.lock().unwrap().is_empty(), "nobody is remembered for nothing");
    }

    #[test]
    fn all_tenants_together_have_so_many_places() {
        let hands = Hands::default();
        let held: Vec<_> = (0..100).filter_map(|n| hands.take(&format!("t{n}").parse().unwrap())).collect();
        assert_eq!(held.len(), 16);
    }
}

//! Answering those who put and read large payloads, part by part.
//!
//! Every request brings up to a message of bytes, so that no more are taken in hands than this host bears; the others
//! are told at once to ask again. No tenant takes all places.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use saggar_jetstream::Control;
use saggar_model::TenantName;

use crate::contained::contained;
use crate::host::Shared;

/// Requests in hands at once: a few megabytes, and enough to keep a server busy.
const AT_ONCE: u32 = 16;

/// Requests of one tenant in hands at once. Clients send one part after another, so that this is four of them.
const OF_TENANT: u32 = 4;

/// How long until listening is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How many requests are in hands.
#[derive(Clone, Default)]
struct Hands(Arc<Mutex<HashMap<TenantName, u32>>>);

/// A place for one request; dropped, it is free for another.
struct Place {
    hands: Hands,
    tenant: TenantName,
}

impl Hands {
    fn take(&self, tenant: &TenantName) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: u32 = taken.values().sum();
        let its = taken.get(tenant).copied().unwrap_or_default();
        if all >= AT_ONCE || its >= OF_TENANT {
            return None;
        }
        taken.insert(tenant.clone(), its + 1);
        Some(Place { hands: self.clone(), tenant: tenant.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.hands.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.tenant) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.tenant)),
        }
    }
}

/// Answers for ever.
pub(crate) async fn answer(shared: Arc<Shared>) {
    let (control, hands) = (Control::new(&shared.nats), Hands::default());
    loop {
        match control.payload_requests().await {
            Ok(requests) => {
                let mut requests = pin!(requests);
                while let Some(asked) = requests.next().await {
                    let Some(place) = hands.take(&asked.tenant) else {
                        control.refuse_payload(asked).await;
                        continue;
                    };
                    let (control, shared) = (control.clone(), shared.clone());
                    tokio::spawn(async move {
                        contained("a request about a payload", control.serve_payload(&shared.stores, asked))
                            .await;
                        drop(place);
                    });
                }
            }
            Err(error) => tracing::warn!(%error, "this host takes no large payloads at the moment"),
        }
        tokio::time::sleep(RETRY).await;
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

//! One at a time for each tenant: whoever brings a hundred components that are dear to compile waits for himself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use saggar_model::TenantName;
use tokio::sync::{Mutex as Door, OwnedMutexGuard};

/// The tenants that have a turn or wait for one. Cheap to clone; all clones share the turns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<TenantName, Weak<Door<()>>>>>);

/// A tenant's turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _inside: OwnedMutexGuard<()>,
}

impl Turns {
    /// Waits for the tenant's turn. Those of one tenant come in the order of asking.
    pub(crate) async fn of(&self, tenant: &TenantName) -> Turn {
        let door = self.door(tenant);
        Turn { _inside: door.lock_owned().await }
    }

    fn door(&self, tenant: &TenantName) -> Arc<Door<()>> {
        let mut doors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(door) = doors.get(tenant).and_then(Weak::upgrade) {
            return door;
        }
        doors.retain(|_, door| door.strong_count() > 0);
        let door = Arc::new(Door::new(()));
        doors.insert(tenant.clone(), Arc::downgrade(&door));
        door
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_tenant_waits_for_itself_and_for_nobody_else() {
        let turns = Turns::default();
        let (acme, other) = ("acme".parse().unwrap(), "other".parse().unwrap());
        let first = turns.of(&acme).now_or_never().expect("nobody is before it");
        let mut second = Box::pin(turns.of(&acme));
        assert!((&mut second).now_or_never().is_none());
        assert!(turns.of(&other).now_or_never().is_some());
        drop(first);
        assert!(second.now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_tenant_that_is_done_is_forgotten() {
        let turns = Turns::default();
        for number in 0..1000 {
            drop(turns.of(&format!("tenant-{number}").parse().unwrap()).await);
        }
        assert!(turns.0.lock().unwrap().len() <= 1);
    }
}

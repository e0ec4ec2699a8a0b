//! Counting children that end. Those of one group that end on this host at the same moment are written down together:
//! each by itself would be refused again and again in favour of another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use saggar_jetstream::{GroupError, Groups};
use saggar_model::{Outcome, TaskRef, TenantName};
use tokio::sync::oneshot;

/// The groups that children of this host are being counted to. Clones share them.
#[derive(Clone)]
pub(crate) struct Tally {
    groups: Groups,
    open: Arc<Mutex<HashMap<Place, Arc<Open>>>>,
}

/// The task that waits, and whose it is.
type Place = (TenantName, TaskRef);

/// A group that somebody counts to.
#[derive(Default)]
struct Open {
    /// Whoever has it writes for all that have come until then.
    turn: tokio::sync::Mutex<()>,
    ended: Mutex<Vec<Ended>>,
}

struct Ended {
    child: TaskRef,
    outcome: Outcome,
    counted: oneshot::Sender<Result<(), GroupError>>,
}

impl Tally {
    pub(crate) fn new(groups: &Groups) -> Self {
        Self { groups: groups.clone(), open: Arc::default() }
    }

    /// Counts a child that has ended to the group of the task that waits for it. Can be repeated.
    ///
    /// # Errors
    /// NATS refuses or does not answer: the child has to be counted again.
    pub(crate) async fn count(
        &self,
        tenant: &TenantName,
        waiting: &TaskRef,
        child: TaskRef,
        outcome: Outcome,
    ) -> Result<(), GroupError> {
        let (counted, told) = oneshot::channel();
        let place = (tenant.clone(), waiting.clone());
        let group = {
            let mut open = lock(&self.open);
            let group = open.entry(place.clone()).or_default().clone();
            lock(&group.ended).push(Ended { child, outcome, counted });
            group
        };
        let turn = group.turn.lock().await;
        let ended = std::mem::take(&mut *lock(&group.ended));
        if !ended.is_empty() {
            let children: Vec<_> = ended.iter().map(|ended| (ended.child.clone(), ended.outcome)).collect();
            let done = self.groups.count(tenant, waiting, &children).await;
            for Ended { counted, .. } in ended {
                // Whoever does not wait any more is delivered again.
                let _ = counted.send(done.clone());
            }
        }
        drop(turn);
        self.forget(&place, group);
        // Whoever wrote for this one was ended on the way.
        told.await.unwrap_or_else(|_| Err(GroupError::Contended { subject: waiting.to_string() }))
    }

    /// Drops a group that nobody else counts to.
    fn forget(&self, place: &Place, group: Arc<Open>) {
        let mut open = lock(&self.open);
        drop(group);
        if open.get(place).is_some_and(|group| Arc::strong_count(group) == 1) {
            open.remove(place);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use saggar_harness::{LocalServer, StartOptions};
    use saggar_jetstream::{Nats, Provisioner, Target, Timers};

    use super::*;

    #[tokio::test]
    async fn children_of_two_hosts_that_end_at_once_are_each_counted_once() {
        const CHILDREN: u32 = 200;
        let server = LocalServer::start(StartOptions::default()).await.expect("a nats-server starts");
        let nats = Nats::connect(&Target::at(&server.url()), "test").await.expect("it answers");
        Provisioner::new(&nats, 1).ensure_common().await.unwrap();
        let groups = Groups::new(&nats, &Timers::new(&nats));
        let (tenant, waiting): (TenantName, TaskRef) = ("acme".parse().unwrap(), "sum/a".parse().unwrap());
        // One more than will come, so that nobody is released.
        groups.open(&tenant, &waiting, CHILDREN + 1).await.unwrap();
        let hosts = [Tally::new(&groups), Tally::new(&groups)];
        let counting = (0..CHILDREN).flat_map(|n| {
            let child: TaskRef = format!("part/{n}").parse().unwrap();
            let (tenant, waiting) = (&tenant, &waiting);
            // Told twice, once by each.
            hosts.iter().map(move |host| host.count(tenant, waiting, child.clone(), Outcome::Succeeded))
        });
        for counted in join_all(counting).await {
            counted.unwrap();
        }
        let stored = groups.get(&tenant, &waiting).await.unwrap().expect("it is there");
        assert_eq!(stored.group.ended().count(), 200);
        assert!(stored.revision < 100, "{} writes for {CHILDREN} children", stored.revision);
        assert!(hosts.iter().all(|host| lock(&host.open).is_empty()));
    }
}

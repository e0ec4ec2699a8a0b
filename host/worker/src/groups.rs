//! Groups that no host has finished with: looked at by the leader, now and then.
//!
//! A child is counted before its message goes, so that none is forgotten. What is left is a host that was lost between
//! counting the last child and releasing the task that waits, while nobody has the child any more; and what a task
//! waited for that was cancelled, purged or redriven with success.

use saggar_jetstream::{GroupError, Groups, Nats, Timers};
use saggar_model::{TaskRef, TaskResult, TenantName};

use crate::mend::STATE_KEPT;
use crate::metrics::{Mended, Metrics};
use crate::settlement::{Unsettled, persist};

/// Groups looked at in a round.
const GROUPS_MAX: usize = 1_000;

/// Releases tasks that have nothing to wait for any more, and removes groups that nobody waits for.
pub(crate) async fn sweep(nats: &Nats, metrics: &Metrics) {
    let groups = Groups::new(nats, &Timers::new(nats));
    let sweeping = async {
        for place in groups.list(0, GROUPS_MAX).await? {
            let age = nats.now().duration_since(place.stored_at).unwrap_or_default();
            if age < STATE_KEPT {
                continue;
            }
            let Some(stored) = groups.get(&place.tenant, &place.task).await? else { continue };
            if groups.is_over(&place).await? {
                groups.remove(place.revision).await?;
            } else if groups.release_if_due(&place.tenant, &place.task, stored).await? {
                metrics.mended(Mended::Group);
            }
        }
        Ok::<_, GroupError>(())
    };
    sweeping.await.unwrap_or_else(|error| tracing::debug!(%error, "groups could not be swept"));
}

/// Tells the task that waits for a child, if one does, that it has ended.
pub(crate) async fn tell(
    nats: &Nats,
    tenant: &TenantName,
    waiting: Option<TaskRef>,
    result: &TaskResult,
) -> Result<(), Unsettled> {
    let Some(waiting) = waiting else { return Ok(()) };
    let groups = Groups::new(nats, &Timers::new(nats));
    let ended = [(result.task.clone(), result.outcome)];
    let counting = persist("group", GroupError::fault, |_| false, || groups.count(tenant, &waiting, &ended));
    counting.await.map_err(|_| Unsettled)
}

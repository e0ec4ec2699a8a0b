//! Moves tasks whose time has come from the timers into their queues, for all tenants.
//!
//! Every host pumps for every tenant that has timers; what is due goes to one of them. Each tenant has a pump of its
//! own, so that one whose queues are full holds up nobody else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use saggar_jetstream::{Delivery, Moved, PullError, PullMode, TaskQueue, Unmoved};
use saggar_model::TenantName;
use tokio::task::JoinHandle;

use crate::contained::contained;
use crate::host::Shared;

/// How often it is looked for tenants that have their first timer: before any retry that goes into one is due.
const LOOK: Duration = Duration::from_secs(2);

/// How long one standing request waits for something that is due.
const STAND: Duration = Duration::from_secs(30);

/// What one pump has in hands at once. More would not be faster by much, and a host that is lost leaves it for half a
/// minute.
const AT_ONCE: usize = 128;

/// How long a pump rests after it met a full queue, or was not answered.
const REST: Duration = Duration::from_secs(1);

/// How long something stays away that could not be moved, the first time and at most.
const AGAIN_MIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// Pumps until the host leaves.
pub(crate) async fn pump(host: Arc<Shared>) {
    let mut pumps: HashMap<TenantName, JoinHandle<()>> = HashMap::new();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = host.leaving.cancelled() => break,
            _ = look.tick() => {}
        }
        let found = tokio::select! {
            () = host.leaving.cancelled() => break,
            found = host.records.timers.tenants() => found,
        };
        match found {
            Ok(tenants) => {
                pumps.retain(|_, pump| !pump.is_finished());
                for tenant in tenants {
                    let pumping = || {
                        let pumping = pump_for(host.clone(), tenant.clone());
                        tokio::spawn(async move {
                            contained("moving what is due", pumping).await;
                        })
                    };
                    pumps.entry(tenant.clone()).or_insert_with(pumping);
                }
            }
            Err(error) => tracing::debug!(%error, "looking for timers"),
        }
    }
    for pump in pumps.into_values() {
        let _ = pump.await;
    }
}

/// Pumps for one tenant, until the host leaves or the tenant's timers are gone.
async fn pump_for(host: Arc<Shared>, tenant: TenantName) {
    let source = TaskQueue::due(&host.nats, &tenant);
    while !host.leaving.is_cancelled() {
        match pump_once(&host, &tenant, &source).await {
            Ok(Pumped::All) => {}
            Ok(Pumped::Full) => rest(&host).await,
            Err(PullError::Gone { .. }) => return,
            Err(error) => {
                tracing::debug!(%tenant, %error, "taking what is due");
                rest(&host).await;
            }
        }
    }
}

enum Pumped {
    All,
    /// The tenant's queues have no room.
    Full,
}

/// Moves what one pull brings.
async fn pump_once(host: &Shared, tenant: &TenantName, source: &TaskQueue) -> Result<Pumped, PullError> {
    let mut pull = source.pull(AT_ONCE, PullMode::Wait, STAND).await?;
    let mut moving = FuturesUnordered::new();
    let mut pumped = Pumped::All;
    let ended = loop {
        tokio::select! {
            () = host.leaving.cancelled() => {
                for due in pull.cancel().await {
                    give_back(&due, Duration::ZERO).await;
                }
                break Ok(());
            }
            next = pull.next() => match next {
                Some(Ok(due)) => moving.push(move_on(host, tenant, due)),
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            },
            Some(moved) = moving.next() => if let Pumped::Full = moved { pumped = Pumped::Full },
        }
    };
    while let Some(moved) = moving.next().await {
        if let Pumped::Full = moved {
            pumped = Pumped::Full;
        }
    }
    ended.map(|()| pumped)
}

async fn move_on(host: &Shared, tenant: &TenantName, due: Delivery) -> Pumped {
    match host.records.timers.move_on(tenant, &due).await {
        Ok(moved) => {
            if moved == Moved::Published {
                host.metrics.timers.inc();
            }
            // An answer that is lost brings it back, to be found in its queue.
            if let Err(error) = due.ack().await {
                tracing::debug!(%tenant, %error, "acknowledging what was due");
            }
            Pumped::All
        }
        Err(error) => {
            let after = again_after(due.delivered());
            let timer = saggar_model::escape_and_cut(due.subject(), 256);
            tracing::warn!(%tenant, timer, %error, ?after, "a task that is due waits on");
            give_back(&due, after).await;
            if error == Unmoved::Full { Pumped::Full } else { Pumped::All }
        }
    }
}

async fn give_back(due: &Delivery, after: Duration) {
    if let Err(error) = due.nak(after).await {
        tracing::debug!(%error, "giving back what is due; it will be delivered again by itself");
    }
}

async fn rest(host: &Shared) {
    tokio::select! {
        () = host.leaving.cancelled() => {}
        () = tokio::time::sleep(REST) => {}
    }
}

/// How long something stays away that could not be moved at its delivery number `delivered`.
fn again_after(delivered: u64) -> Duration {
    let doublings = u32::try_from(delivered.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    AGAIN_MIN.saturating_mul(1 << doublings).min(AGAIN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_moved_is_tried_less_and_less_often() {
        let seconds = [0, 1, 2, 3, 5, 6, 1000, u64::MAX].map(|delivered| again_after(delivered).as_secs());
        assert_eq!(seconds, [1, 1, 2, 4, 16, 30, 30, 30]);
    }
}

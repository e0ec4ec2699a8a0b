//! Events of running tasks: for watching only, delivered at most once, never waited for.

use saggar_model::{EventKind, QueueName, Subjects, TaskId, TenantName};
use serde::Serialize;

use crate::Nats;

/// Where events go.
#[derive(Debug, Clone)]
pub struct Events {
    nats: Nats,
}

impl Events {
    /// The events in this NATS.
    #[must_use]
    pub fn new(nats: &Nats) -> Self {
        Self { nats: nats.clone() }
    }

    /// Publishes an event with a JSON body. While the connection is down it is lost, and so it is when it is larger
    /// than a message may be.
    pub async fn publish(
        &self,
        tenant: &TenantName,
        queue: &QueueName,
        id: &TaskId,
        kind: EventKind,
        body: &impl Serialize,
    ) {
        // Events that wait for a connection would take the room that acknowledgements need.
        if !self.nats.is_connected() {
            return;
        }
        let Ok(json) = serde_json::to_vec(body) else { return };
        let subject = Subjects::of(tenant).event(queue, id, kind);
        if let Err(error) = self.nats.send("publishing an event", subject, None, json.into()).await {
            tracing::debug!(%error, "an event was lost");
        }
    }
}

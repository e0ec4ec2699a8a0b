//! Events of running tasks: for watching only, delivered at most once, never waited for.

use futures::{Stream, StreamExt as _};
use saggar_model::{EventKind, QueueName, Subjects, TaskId, TaskRef, TenantName};
use serde::Serialize;
use serde_json::Value;

use crate::{Nats, RequestError};

/// Where events go.
#[derive(Debug, Clone)]
pub struct Events {
    nats: Nats,
}

/// An event that was heard.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// What it is about.
    pub kind: EventKind,
    /// What it says. A guest's text in it is hostile.
    pub body: Value,
}

impl Events {
    /// The events in this NATS.
    #[must_use]
    pub fn new(nats: &Nats) -> Self {
        Self { nats: nats.clone() }
    }

    /// Listens to the events of a task from now on. What nobody was listening to is gone.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn listen(
        &self,
        tenant: &TenantName,
        task: &TaskRef,
    ) -> Result<impl Stream<Item = Heard> + use<>, RequestError> {
        let subject = Subjects::of(tenant).events(&task.queue, &task.id);
        let subscribing = self.nats.client().subscribe(subject);
        let heard = subscribing.await.map_err(|_| RequestError::Closed { doing: "listening to a task" })?;
        Ok(heard.filter_map(async |message| {
            let kind = message.subject.rsplit('.').next().and_then(EventKind::read)?;
            Some(Heard { kind, body: serde_json::from_slice(&message.payload).ok()? })
        }))
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

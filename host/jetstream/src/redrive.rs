//! Giving a dead letter's task another life.
//!
//! The old result goes, the task is published again, the dead letter goes: in this order, so that whatever happens
//! between two steps leaves the task somewhere, and doing it all again does no harm.

use saggar_model::{DeadLetter, Outcome, QueueName, TaskId, TenantName};

use crate::blobs::renew_payload;
use crate::dead::{DeadError, DeadLetters, DeadName, StoredDead};
use crate::records::Results;
use crate::tasks::{NewTask, PublishError, Tasks};

/// What a redrive did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redriven {
    /// The task waits in its queue again, under this id.
    Published {
        /// Its id. A task that was published without one has a new one.
        id: TaskId,
        /// Its new place in the tenant's stream.
        sequence: u64,
    },
    /// A task of that id was in the queue already, from an earlier redrive or from its publisher.
    Waiting,
    /// A task of that id has succeeded since. Its result stands.
    Done,
}

impl DeadLetters {
    /// Publishes a dead letter's task again, with all its attempts before it, and removes the dead letter.
    ///
    /// A task that had an id keeps it; its failed result goes. A task without one cannot be told from others of its
    /// kind in the queue: repeated within two minutes, JetStream drops the second.
    ///
    /// # Errors
    /// There is no such dead letter; or a step failed, and the dead letter is still there.
    pub async fn redrive(
        &self,
        tenant: &TenantName,
        queue: &QueueName,
        name: &DeadName,
    ) -> Result<Redriven, DeadError> {
        let dead = self
            .get(tenant, queue, name)
            .await?
            .ok_or_else(|| DeadError::Missing { queue: queue.clone(), name: name.clone() })?;
        let headers = dead.letter.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        renew_payload(&self.nats, tenant, headers).await?;
        let done = if name.id.is_made() {
            self.publish_nameless(tenant, queue, &dead).await?
        } else {
            self.publish_named(tenant, queue, &dead).await?
        };
        self.remove(tenant, dead.sequence).await?;
        Ok(done)
    }

    async fn publish_named(
        &self,
        tenant: &TenantName,
        queue: &QueueName,
        dead: &StoredDead,
    ) -> Result<Redriven, DeadError> {
        let id = &dead.name.id;
        let results = Results::new(&self.nats);
        if let Some(stored) = results.get(tenant, queue, id).await? {
            if stored.result.outcome == Outcome::Succeeded
                && Some(stored.result.sequence) > dead.task_sequence
            {
                return Ok(Redriven::Done);
            }
            results.remove(tenant, stored.sequence).await?;
        }
        let task = NewTask { id: Some(id.clone()), unique: true, ..task_of(dead) };
        match Tasks::new(&self.nats).publish(tenant, queue, task).await {
            Ok(published) => Ok(Redriven::Published { id: published.id, sequence: published.sequence }),
            Err(PublishError::NotUnique { .. }) => Ok(Redriven::Waiting),
            Err(error) => Err(error.into()),
        }
    }

    async fn publish_nameless(
        &self,
        tenant: &TenantName,
        queue: &QueueName,
        dead: &StoredDead,
    ) -> Result<Redriven, DeadError> {
        // Its id names the stream's incarnation and the place, so that no other dead letter has it.
        let message_id = Some(format!("saggar-redrive-{}", dead.name));
        let task = NewTask { message_id, ..task_of(dead) };
        let published = Tasks::new(&self.nats).publish(tenant, queue, task).await?;
        Ok(Redriven::Published { id: published.id, sequence: published.sequence })
    }
}

/// The task as its publisher sent it.
fn task_of(dead: &StoredDead) -> NewTask {
    let headers = dead.letter.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    NewTask {
        payload: dead.letter.payload.clone(),
        headers: DeadLetter::publishers(headers),
        ..NewTask::default()
    }
}

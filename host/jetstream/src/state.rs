//! What tasks have been through between two of their runs.

use std::time::SystemTime;

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use saggar_model::{History, QueueName, Sequence, Subjects, TenantName};

use crate::api::RequestError;
use crate::direct::Kept;
use crate::headers::Headers;
use crate::{Fault, Nats};

/// The histories of all tenants' tasks. Those that never failed have none.
#[derive(Debug, Clone)]
pub struct States {
    nats: Nats,
}

/// A history as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHistory {
    /// The history.
    pub history: History,
    /// Its revision, for changing it.
    pub revision: u64,
}

/// Where a history is stored, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPlace {
    /// The tenant.
    pub tenant: TenantName,
    /// The queue.
    pub queue: QueueName,
    /// The task's place in the tenant's stream.
    pub sequence: Sequence,
    /// The history's revision.
    pub revision: u64,
    /// When it was stored.
    pub stored_at: SystemTime,
}

/// Why a history could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// NATS refused or did not answer. What was written may have been stored.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Another host has written it meanwhile, so the task is no longer ours.
    #[error("another host has written what task {queue} #{sequence} of tenant {tenant} has been through")]
    Conflict {
        /// The tenant.
        tenant: TenantName,
        /// The queue.
        queue: QueueName,
        /// The task's place in the tenant's stream.
        sequence: Sequence,
    },
    /// What is stored is no history.
    #[error("the state on {subject} cannot be read: {reason}")]
    Unreadable {
        /// Where it is stored.
        subject: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl StateError {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Request(error) => error.fault(),
            Self::Conflict { .. } => Fault::Conflict,
            Self::Unreadable { .. } => Fault::Internal,
        }
    }
}

impl States {
    /// The histories in this NATS. [`crate::Provisioner::ensure_common`] makes their stream.
    #[must_use]
    pub fn new(nats: &Nats) -> Self {
        Self { nats: nats.clone() }
    }

    /// What the task at this place has been through; nothing if it never failed.
    ///
    /// # Errors
    /// NATS does not answer, or what is stored cannot be read.
    pub async fn get(
        &self,
        tenant: &TenantName,
        queue: &QueueName,
        sequence: Sequence,
    ) -> Result<Option<StoredHistory>, StateError> {
        let subject = Subjects::of(tenant).state(queue, sequence);
        // Where it was written: whoever gets a task that was just given back must not take it for one that never ran.
        let doing = "reading a task's state";
        let kept = self.nats.last_at_leader(doing, Subjects::STATE_STREAM, &subject).await?;
        let Some(kept) = kept else { return Ok(None) };
        match serde_json::from_slice(&kept.payload) {
            Ok(history) => Ok(Some(StoredHistory { history, revision: kept.sequence })),
            Err(error) => Err(StateError::Unreadable { subject, reason: error.to_string() }),
        }
    }

    /// Writes what a task has been through, if what is stored has revision `expected` (0: nothing is). The answer is
    /// the new revision. Writing the same again is no conflict: the answer to the first time may have been lost.
    ///
    /// # Errors
    /// [`StateError::Conflict`] if it has another.
    pub async fn put(
        &self,
        tenant: &TenantName,
        queue: &QueueName,
        sequence: Sequence,
        history: &History,
        expected: u64,
    ) -> Result<u64, StateError> {
        let subject = Subjects::of(tenant).state(queue, sequence);
        let json = serde_json::to_vec(history).map_err(|error| StateError::Unreadable {
            subject: subject.clone(),
            reason: error.to_string(),
        })?;
        let mut headers = Headers::new();
        headers.set_number(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected);
        let doing = "writing a task's state";
        match self.nats.store(doing, subject, Some(headers.into_map()), json.into()).await {
            Ok(stored) => Ok(stored.sequence),
            Err(error) if error.is_wrong_sequence() => match self.get(tenant, queue, sequence).await? {
                Some(stored) if stored.history == *history => Ok(stored.revision),
                _ => Err(StateError::Conflict { tenant: tenant.clone(), queue: queue.clone(), sequence }),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Up to `limit` histories after revision `after` (0 for the first), oldest first.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn list(&self, after: u64, limit: usize) -> Result<Vec<HistoryPlace>, StateError> {
        let (doing, stream) = ("listing the states of tasks", Subjects::STATE_STREAM);
        let kept = self.nats.scan(doing, stream, Subjects::HISTORIES, after, limit).await?;
        let place = |kept: Kept| {
            let mut tokens = kept.subject.strip_prefix("saggar.state.")?.split('.');
            let (tenant, queue) = (tokens.next()?.parse().ok()?, tokens.next()?.parse().ok()?);
            let sequence = tokens.next()?.parse().ok()?;
            Some(HistoryPlace { tenant, queue, sequence, revision: kept.sequence, stored_at: kept.time })
        };
        Ok(kept.into_iter().filter_map(place).collect())
    }

    /// Whether the task of a history is still in its queue.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn has_task(&self, place: &HistoryPlace) -> Result<bool, StateError> {
        let stream = Subjects::of(&place.tenant).tasks_stream();
        let doing = "looking for the task of a state";
        Ok(self.nats.at_leader(doing, &stream, place.sequence).await?.is_some())
    }

    /// Removes the history with this revision; the answer says whether it was there.
    ///
    /// # Errors
    /// NATS refuses or does not answer.
    pub async fn remove(&self, revision: u64) -> Result<bool, StateError> {
        Ok(self.nats.delete_message("removing a task's state", Subjects::STATE_STREAM, revision).await?)
    }
}

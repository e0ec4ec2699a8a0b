//! The results of tasks. The first writer wins for as long as the result is kept.

use std::time::{Duration, SystemTime};

use async_nats::HeaderMap;
use bytes::Bytes;
use futures::StreamExt as _;
use saggar_model::{QueueName, RecordError, Sequence, Subjects, TaskId, TaskResult, TenantName};

use crate::api::RequestError;
use crate::direct::{Kept, expected};
use crate::headers::HeaderBlock;
use crate::{Fault, Nats};

/// How often a result is looked for that may have come without being noticed.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The results of all tenants.
#[derive(Debug, Clone)]
pub struct Results {
    nats: Nats,
}

/// What became of a result that was to be stored.
#[derive(Debug, Clone, PartialEq)]
pub enum Put {
    /// It is the task's result, at this place in the stream of results.
    Stored(Sequence),
    /// The task has this one already.
    Refused(Box<StoredResult>),
}

/// A result as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredResult {
    /// The result.
    pub result: TaskResult,
    /// Its place in the stream of results.
    pub sequence: u64,
    /// When it was stored.
    pub stored_at: SystemTime,
}

/// Why a record could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// NATS refused or did not answer. After a time-out the record may have been stored.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// What is stored is no record of ours.
    #[error("what is stored on {subject} is no result: {source}")]
    Unreadable {
        /// Where it is stored.
        subject: String,
        /// What is wrong with it.
        source: RecordError,
    },
    /// The result is removed and written by others so fast that it cannot be settled.
    #[error("the result on {subject} keeps changing")]
    Contended {
        /// Where it is stored.
        subject: String,
    },
}

impl RecordsError {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Request(error) => error.fault(),
            Self::Unreadable { .. } => Fault::Internal,
            Self::Contended { .. } => Fault::Conflict,
        }
    }
}

impl Results {
    /// The results in this NATS.
    #[must_use]
    pub fn new(nats: &Nats) -> Self {
        Self { nats: nats.clone() }
    }

    pub(crate) fn nats(&self) -> &Nats {
        &self.nats
    }

    /// Stores a task's result for `ttl`, unless the task has one. Many may be under way at once.
    ///
    /// It is not tried again here. A caller that tries again after a time-out may be refused in favour of its own
    /// result; [`TaskResult::sequence`] tells.
    ///
    /// # Errors
    /// NATS refused or did not answer; it may have been stored all the same.
    pub async fn put(
        &self,
        tenant: &TenantName,
        result: &TaskResult,
        ttl: Duration,
    ) -> Result<Put, RecordsError> {
        const TRIES: usize = 3;
        let ResultMessage { subject, headers, payload } = ResultMessage::new(tenant, result, ttl);
        for _ in 0..TRIES {
            let stored =
                self.nats.store("storing a result", subject.clone(), Some(headers.clone()), payload.clone());
            match stored.await {
                Ok(stored) => return Ok(Put::Stored(stored.sequence)),
                Err(error) if error.is_wrong_sequence() => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(found) = expected(|| self.at_subject(tenant, &subject)).await? {
                return Ok(Put::Refused(Box::new(found)));
            }
            // It has ended or was removed between the two, and there is room for ours.
        }
        Err(RecordsError::Contended { subject })
    }

    /// The result of a task.
    ///
    /// # Errors
    /// NATS does not answer, the tenant does not exist, or what is stored is no result.
    pub async fn get(
        &self,
        tenant: &TenantName,
        queue: &QueueName,
        id: &TaskId,
    ) -> Result<Option<StoredResult>, RecordsError> {
        self.at_subject(tenant, &Subjects::of(tenant).result(queue, id)).await
    }

    async fn at_subject(
        &self,
        tenant: &TenantName,
        subject: &str,
    ) -> Result<Option<StoredResult>, RecordsError> {
        let stream = Subjects::of(tenant).results_stream();
        let kept = self.nats.last_of("reading a result", &stream, subject).await?;
        kept.map(read).transpose()
    }

    /// Waits up to `timeout` for the result of a task; nothing if there is none by then.
    ///
    /// # Errors
    /// As for [`Results::get`], if it fails when the waiting begins. A NATS that goes away later is waited for.
    pub async fn wait(
        &self,
        tenant: &TenantName,
        queue: &QueueName,
        id: &TaskId,
        timeout: Duration,
    ) -> Result<Option<StoredResult>, RecordsError> {
        const DOING: &str = "waiting for a result";
        let subject = Subjects::of(tenant).result(queue, id);
        // What is heard is a hint only: also a result that is then refused can be heard.
        let listening = self.nats.client().subscribe(subject.clone());
        let mut hints = match tokio::time::timeout(timeout, listening).await {
            Ok(Ok(hints)) => hints,
            Ok(Err(_)) => return Err(RequestError::Closed { doing: DOING }.into()),
            Err(_) => return Ok(None),
        };
        if let Some(found) = self.at_subject(tenant, &subject).await? {
            return Ok(Some(found));
        }
        let waiting = async {
            let mut look_again = tokio::time::interval(LOOK_AGAIN);
            look_again.reset();
            loop {
                let found = tokio::select! {
                    // It is heard a moment before it is stored.
                    Some(_) = hints.next() => expected(|| self.at_subject(tenant, &subject)).await,
                    _ = look_again.tick() => self.at_subject(tenant, &subject).await,
                };
                if let Ok(Some(found)) = found {
                    return found;
                }
            }
        };
        Ok(tokio::time::timeout(timeout, waiting).await.ok())
    }

    /// Up to `limit` results of a tenant or of one queue, after place `after` (0 for the first), oldest first.
    /// What is no result is left out.
    ///
    /// # Errors
    /// NATS does not answer, or the tenant does not exist.
    pub async fn list(
        &self,
        tenant: &TenantName,
        queue: Option<&QueueName>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<StoredResult>, RecordsError> {
        let subjects = Subjects::of(tenant);
        let filter = match queue {
            Some(queue) => format!("saggar.{tenant}.result.{queue}.*"),
            None => subjects.results(),
        };
        let kept =
            self.nats.scan("listing results", &subjects.results_stream(), &filter, after, limit).await?;
        Ok(kept.into_iter().filter_map(|kept| read(kept).ok()).collect())
    }

    /// Removes the result at this place, so that the task can have another; the answer says whether it was there.
    ///
    /// # Errors
    /// NATS refuses or does not answer.
    pub async fn remove(&self, tenant: &TenantName, sequence: u64) -> Result<bool, RecordsError> {
        let stream = Subjects::of(tenant).results_stream();
        Ok(self.nats.delete_message("removing a result", &stream, sequence).await?)
    }

    /// Sends a result to where its publisher wants it, too. `reply_to` must have been checked to lie within the
    /// tenant's reply subjects. Nobody may be listening; that is not known.
    ///
    /// # Errors
    /// The connection is down for long.
    pub async fn forward(&self, reply_to: &str, result: &TaskResult) -> Result<(), RecordsError> {
        let mut headers = HeaderBlock::default();
        result.headers(|name, value| headers.push(name, value));
        let headers = headers.into_map();
        let doing = "forwarding a result";
        Ok(self.nats.send(doing, reply_to.to_owned(), Some(headers), result.payload.clone()).await?)
    }
}

/// What JetStream reads of a result: how far its subject must have come, and for how many seconds it is kept.
const EXPECTED_LAST: &str = "Nats-Expected-Last-Subject-Sequence";
const TTL: &str = "Nats-TTL";

/// The message that stores a result, unless the task has one.
#[derive(Debug, Clone)]
pub struct ResultMessage {
    pub(crate) subject: String,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
}

impl ResultMessage {
    /// The message that stores this result for `ttl`.
    #[must_use]
    pub fn new(tenant: &TenantName, result: &TaskResult, ttl: Duration) -> Self {
        let mut headers = HeaderBlock::default();
        headers.push(EXPECTED_LAST, format_args!("0"));
        headers.push(TTL, format_args!("{}", ttl.as_secs().max(1)));
        result.headers(|name, value| headers.push(name, value));
        Self {
            subject: Subjects::of(tenant).result(&result.task.queue, &result.task.id),
            headers: headers.into_map(),
            payload: result.payload.clone(),
        }
    }
}

fn read(kept: Kept) -> Result<StoredResult, RecordsError> {
    match TaskResult::read(|name| kept.header(name), kept.payload.clone()) {
        Ok(result) => Ok(StoredResult { result, sequence: kept.sequence, stored_at: kept.time }),
        Err(source) => Err(RecordsError::Unreadable { subject: kept.subject, source }),
    }
}

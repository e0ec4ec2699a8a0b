//! Publishing tasks, and looking at those that wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use bytes::Bytes;
use saggar_model::{QueueName, Subjects, TaskId, TaskRef, TenantName, Ticket, header_name};

use crate::api::{RequestError, code};
use crate::direct::Kept;
use crate::headers::{Headers, wire_bytes};
use crate::layout::task_max_bytes;
use crate::plugins::unix_ms;
use crate::{Fault, Nats};

/// The tasks of all tenants. Clones share what they have learned.
#[derive(Debug, Clone)]
pub struct Tasks {
    nats: Nats,
    streams: Arc<Mutex<HashMap<TenantName, Incarnation>>>,
}

/// Which of several streams of one name a sequence belongs to.
#[derive(Debug, Clone, Copy)]
struct Incarnation {
    /// Unix milliseconds.
    created_ms: u64,
    /// A sequence at or below this that is not a duplicate's tells that the stream was made anew.
    highest: u64,
}

/// A task to publish.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewTask {
    /// What it is to be called; without, it is named by its place in the stream.
    pub id: Option<TaskId>,
    /// The plugin's input.
    pub payload: Bytes,
    /// Headers, of which none may be the message system's.
    pub headers: Vec<(String, String)>,
    /// Within two minutes, a second task with the same message id is dropped. For the whole tenant.
    pub message_id: Option<String>,
    /// Refuse it while a task of the same id is queued or running.
    pub unique: bool,
}

/// A task that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// What it is called.
    pub id: TaskId,
    /// Its place in the tenant's stream.
    pub sequence: u64,
    /// It is an earlier one with the same message id; this one was dropped.
    pub duplicate: bool,
}

/// Why a task was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no such queue.
    #[error("tenant {tenant} has no queue {queue}; see `saggar queue ls --tenant {tenant}`")]
    UnknownQueue {
        /// The tenant.
        tenant: TenantName,
        /// The queue.
        queue: QueueName,
    },
    /// The tenant's quota of queued tasks is used up.
    #[error(
        "tenant {tenant} has as many tasks queued as its quota allows ({reason}); wait for some to finish, or raise \
         quota.tasks or quota.bytes"
    )]
    QuotaFull {
        /// The tenant.
        tenant: TenantName,
        /// JetStream's words.
        reason: String,
    },
    /// A task of that id is queued or running.
    #[error("task {queue}/{id} is queued or running already")]
    NotUnique {
        /// The queue.
        queue: QueueName,
        /// The id.
        id: TaskId,
    },
    /// It is larger than a task may be. Nothing was sent.
    #[error(
        "the task has {size} bytes with its headers and may have {max}; store a large input elsewhere and publish \
         where it lies"
    )]
    TooLarge {
        /// Its size in bytes, headers included.
        size: usize,
        /// The most it may have.
        max: usize,
    },
    /// A header cannot be sent or is not the publisher's.
    #[error("header `{name}` {reason}")]
    BadHeader {
        /// Its name, escaped.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Only a task with an id can be unique.
    #[error("a task without an id cannot be unique; give it an id")]
    NamelessUnique,
    /// NATS refused or did not answer. After a time-out the task may have been published; publishing it again with
    /// the same message id does no harm.
    #[error(transparent)]
    Request(RequestError),
}

impl PublishError {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::UnknownQueue { .. } => Fault::NotFound,
            Self::QuotaFull { .. } => Fault::Denied,
            Self::NotUnique { .. } => Fault::Conflict,
            Self::TooLarge { .. } | Self::BadHeader { .. } | Self::NamelessUnique => Fault::Invalid,
            Self::Request(error) => error.fault(),
        }
    }
}

/// Where a task without a result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// It waits.
    Queued,
    /// It was delivered to a host.
    Running,
}

/// A task that is in its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedTask {
    /// What it is called.
    pub id: TaskId,
    /// Its place in the tenant's stream.
    pub sequence: u64,
    /// When it was published.
    pub published_at: SystemTime,
    /// Bytes of its payload.
    pub size: usize,
    /// The task that waits for it.
    pub group: Option<TaskRef>,
    /// Where it says that the record lies of what it has been through.
    pub ticket: Option<Ticket>,
}

const PUBLISHING: &str = "publishing a task";

impl Tasks {
    /// The tasks in this NATS.
    #[must_use]
    pub fn new(nats: &Nats) -> Self {
        Self { nats: nats.clone(), streams: Arc::default() }
    }

    /// Publishes a task. When this returns it is stored.
    ///
    /// # Errors
    /// See [`PublishError`]; after a time-out it may be stored all the same.
    pub async fn publish(
        &self,
        tenant: &TenantName,
        queue: &QueueName,
        task: NewTask,
    ) -> Result<Published, PublishError> {
        let NewTask { id, payload, headers, message_id, unique } = task;
        if unique && id.is_none() {
            return Err(PublishError::NamelessUnique);
        }
        let mut built = publishers_headers(&headers)?;
        if let Some(message_id) = message_id {
            built.set_name(NATS_MESSAGE_ID, message_id);
        }
        if unique {
            built.set_number(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, 0);
        }
        let built = built.into_map();
        let max = task_max_bytes(self.nats.max_payload());
        let size = payload.len() + if built.is_empty() { 0 } else { wire_bytes(&built) };
        if size > max {
            return Err(PublishError::TooLarge { size, max });
        }
        let subjects = Subjects::of(tenant);
        let subject = subjects.task(queue, id.as_ref());
        let headers = (!built.is_empty()).then_some(built);
        let stored = match self.nats.store(PUBLISHING, subject, headers, payload).await {
            Ok(stored) => stored,
            Err(error) => return Err(self.explain(tenant, queue, id, size, error).await),
        };
        let id = match id {
            Some(id) => id,
            None => self.id_of(tenant, stored.sequence, stored.duplicate).await?,
        };
        Ok(Published { id, sequence: stored.sequence, duplicate: stored.duplicate })
    }

    async fn explain(
        &self,
        tenant: &TenantName,
        queue: &QueueName,
        id: Option<TaskId>,
        size: usize,
        error: RequestError,
    ) -> PublishError {
        let unknown = || PublishError::UnknownQueue { tenant: tenant.clone(), queue: queue.clone() };
        match (&error, id) {
            (RequestError::NoResponders { .. }, _) if self.nats.is_tenants() => unknown(),
            (RequestError::NoResponders { .. }, _) => {
                // So it is for a moment, too, when a cluster has lost the leader of a stream that does exist.
                let subjects = Subjects::of(tenant);
                match self.nats.stream_info(&subjects.tasks_stream()).await {
                    Ok(info) if info.config.subjects.contains(&subjects.task(queue, None)) => {
                        PublishError::Request(error)
                    }
                    Ok(_) => unknown(),
                    Err(missing) if missing.is_not_found() => unknown(),
                    Err(other) => PublishError::Request(other),
                }
            }
            (RequestError::Refused { code: code::STREAM_FULL, description, .. }, _) => {
                PublishError::QuotaFull { tenant: tenant.clone(), reason: description.clone() }
            }
            (RequestError::Refused { code: code::MESSAGE_TOO_LARGE, .. }, _) => {
                PublishError::TooLarge { size, max: task_max_bytes(self.nats.max_payload()) }
            }
            (refused, Some(id)) if refused.is_wrong_sequence() => {
                PublishError::NotUnique { queue: queue.clone(), id }
            }
            _ => PublishError::Request(error),
        }
    }

    /// The id of a task without one of its own.
    async fn id_of(
        &self,
        tenant: &TenantName,
        sequence: u64,
        duplicate: bool,
    ) -> Result<TaskId, PublishError> {
        let known = self.streams().get(tenant).copied();
        let created_ms = match known {
            Some(known) if duplicate || sequence > known.highest => known.created_ms,
            _ => self.created_ms(tenant).await.map_err(PublishError::Request)?,
        };
        let highest = match known {
            Some(known) if duplicate || known.created_ms == created_ms => known.highest.max(sequence),
            _ => sequence,
        };
        self.streams().insert(tenant.clone(), Incarnation { created_ms, highest });
        Ok(TaskId::from_sequence(created_ms, sequence))
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, HashMap<TenantName, Incarnation>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn created_ms(&self, tenant: &TenantName) -> Result<u64, RequestError> {
        let info = self.nats.stream_info(&Subjects::of(tenant).tasks_stream()).await?;
        Ok(unix_ms(info.created.into()))
    }

    /// Whether a task is in its queue, and whether a host has it.
    ///
    /// Running is told from the place up to which the queue's tasks were delivered, so that a task that waits for
    /// its next attempt is called running too. Nothing: it has ended, or there is no such task, or no such queue.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn state_of(
        &self,
        tenant: &TenantName,
        queue: &QueueName,
        id: &TaskId,
    ) -> Result<Option<(TaskState, QueuedTask)>, RequestError> {
        const DOING: &str = "looking for a task";
        let subjects = Subjects::of(tenant);
        let stream = subjects.tasks_stream();
        let kept = if id.is_made() {
            match (self.created_ms(tenant).await, sequence_of(id)) {
                (Ok(created), Some(sequence)) if TaskId::from_sequence(created, sequence) == *id => {
                    self.nats.at(DOING, &stream, sequence).await
                }
                (Ok(_), _) => return Ok(None),
                (Err(error), _) => Err(error),
            }
        } else {
            self.nats.last_of(DOING, &stream, &subjects.task(queue, Some(id))).await
        };
        let kept = match kept {
            Ok(kept) => kept.filter(|kept| is_called(&subjects, queue, &kept.subject, id)),
            Err(RequestError::NoResponders { .. }) => None,
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        let Some(kept) = kept else { return Ok(None) };
        let state = match self.nats.consumer_info(&stream, queue.as_str()).await {
            Ok(info) if info.delivered.stream_sequence >= kept.sequence => TaskState::Running,
            Ok(_) => TaskState::Queued,
            Err(error) if error.is_not_found() => TaskState::Queued,
            Err(error) => return Err(error),
        };
        Ok(Some((state, queued(id.clone(), &kept))))
    }

    /// Up to `limit` tasks that are in a queue, after place `after` (0 for the first), oldest first. Those that run
    /// are among them.
    ///
    /// # Errors
    /// NATS does not answer, or there is no such tenant.
    pub async fn list(
        &self,
        tenant: &TenantName,
        queue: &QueueName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<QueuedTask>, RequestError> {
        let subjects = Subjects::of(tenant);
        let stream = subjects.tasks_stream();
        let created = self.created_ms(tenant).await?;
        let kept =
            self.nats.scan("listing tasks", &stream, &subjects.stored_tasks(queue), after, limit).await?;
        let task = |kept: &Kept| {
            let named = subjects.task_id(queue, &kept.subject).ok().flatten();
            queued(named.unwrap_or_else(|| TaskId::from_sequence(created, kept.sequence)), kept)
        };
        Ok(kept.iter().map(task).collect())
    }
}

/// Whether the task on `subject` is one of the queue's and called `id`. One whose publisher chose an unusable id is
/// called by its place.
fn is_called(subjects: &Subjects, queue: &QueueName, subject: &str, id: &TaskId) -> bool {
    let nameless = subjects.task(queue, None);
    let of_queue =
        subject.strip_prefix(&nameless).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    of_queue
        && match subjects.task_id(queue, subject) {
            Ok(Some(found)) => found == *id,
            Ok(None) | Err(_) => id.is_made(),
        }
}

fn queued(id: TaskId, kept: &Kept) -> QueuedTask {
    QueuedTask {
        id,
        sequence: kept.sequence,
        published_at: kept.time,
        size: kept.payload.len(),
        group: kept.header(header_name::GROUP).and_then(|task| task.parse().ok()),
        ticket: kept.header(header_name::STATE).and_then(|ticket| ticket.parse().ok()),
    }
}

/// The place in the stream that an id made by a host names.
fn sequence_of(id: &TaskId) -> Option<u64> {
    id.as_str().rsplit_once('-')?.1.parse().ok()
}

/// Whether a publisher may set these headers.
///
/// # Errors
/// [`PublishError::BadHeader`] for the first that cannot be sent or is not the publisher's.
pub fn check_headers(headers: &[(String, String)]) -> Result<(), PublishError> {
    publishers_headers(headers).map(|_| ())
}

/// Headers as a publisher may set them.
pub(crate) fn publishers_headers(headers: &[(String, String)]) -> Result<Headers, PublishError> {
    let mut built = Headers::new();
    for (name, value) in headers {
        let bad = |reason| PublishError::BadHeader { name: saggar_model::escape_and_cut(name, 64), reason };
        if name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("nats-")) {
            return Err(bad("belongs to the message system"));
        }
        if value.contains(['\r', '\n', '\0']) {
            return Err(bad("has a line break in its value"));
        }
        if !built.append(name, value) {
            return Err(bad("is no header name: use letters, digits and `-`"));
        }
    }
    Ok(built)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publishers_headers_cannot_command_the_message_system() {
        for name in ["Nats-Rollup", "nats-msg-id", "", "a b", "a:b", "a\r\nb"] {
            let headers = [(name.to_owned(), "x".to_owned())];
            let error = publishers_headers(&headers).map(|_| ()).unwrap_err();
            assert_eq!(error.fault(), Fault::Invalid, "{name:?}");
        }
        let broken = [("X-A".to_owned(), "a\r\nNats-Rollup: all".to_owned())];
        assert!(publishers_headers(&broken).is_err());
        assert!(publishers_headers(&[("Saggar-Timeout".to_owned(), "5s".to_owned())]).is_ok());
    }

    #[test]
    fn the_place_of_a_task_stands_in_the_id_that_was_made_for_it() {
        assert_eq!(sequence_of(&TaskId::from_sequence(1_790_000_000_000, 17)), Some(17));
        assert_eq!(sequence_of(&"seq-x".parse().unwrap()), None);
    }
}

//! Dead letters: tasks that will not be retried, kept until they are redriven or removed.
//!
//! None is overwritten. A second dead letter of one id stands beside the first, told apart by its task's sequence.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use saggar_model::{DeadLetter, NameError, QueueName, Sequence, Subjects, TaskId, TenantName, header_name};

use crate::api::{RequestError, code};
use crate::blobs::renew_payload;
use crate::direct::{Kept, expected};
use crate::headers::Headers;
use crate::{Fault, Nats};

/// The dead letters of all tenants.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    pub(crate) nats: Nats,
}

/// What a dead letter is called within its queue: the task's id, and for a second one of that id `<id>~<sequence>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeadName {
    /// The task's id.
    pub id: TaskId,
    /// The task's sequence, if this is not the first dead letter of the id.
    pub again: Option<Sequence>,
}

impl From<TaskId> for DeadName {
    fn from(id: TaskId) -> Self {
        Self { id, again: None }
    }
}

impl fmt::Display for DeadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.again {
            None => write!(f, "{}", self.id),
            Some(sequence) => write!(f, "{}~{sequence}", self.id),
        }
    }
}

impl FromStr for DeadName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once('~') {
            None => Ok(Self { id: text.parse()?, again: None }),
            Some((id, sequence)) => match sequence.parse() {
                Ok(sequence) => Ok(Self { id: id.parse()?, again: Some(sequence) }),
                // The whole is no id either, and the error says what one looks like.
                Err(_) => Err(text.parse::<TaskId>().err().unwrap_or(NameError {
                    what: "dead letter",
                    given: saggar_model::escape_and_cut(text, 256),
                    rule: "name it ID or ID~SEQUENCE",
                })),
            },
        }
    }
}

/// A dead letter as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDead {
    /// The queue.
    pub queue: QueueName,
    /// What it is called.
    pub name: DeadName,
    /// The place its task had in the tenant's stream, if the letter says so.
    pub task_sequence: Option<Sequence>,
    /// Its own place in the stream of dead letters.
    pub sequence: u64,
    /// When it was stored.
    pub stored_at: SystemTime,
    /// The letter.
    pub letter: DeadLetter,
}

impl StoredDead {
    /// The value of one of its headers, found without regard to case.
    #[must_use]
    pub fn header(&self, wanted: &str) -> Option<&str> {
        let mut headers = self.letter.headers.iter();
        headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str())
    }
}

/// What became of a dead letter that was to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadPut {
    /// It is stored under this name.
    Stored(DeadName),
    /// The same task's was stored before.
    Already(DeadName),
}

/// Why a dead letter could not be written, read or redriven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeadError {
    /// NATS refused or did not answer. What was asked may have been done.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// There is no room. Nothing may be given up for it, so its queue has to wait.
    #[error("the dead letters of tenant {tenant} are full; redrive or remove some, or raise quota.dead")]
    Full {
        /// The tenant.
        tenant: TenantName,
    },
    /// There is no such dead letter.
    #[error("there is no dead letter {queue}/{name}; see `saggar dead ls`")]
    Missing {
        /// The queue.
        queue: QueueName,
        /// Its name.
        name: DeadName,
    },
    /// Its old result could not be read or removed.
    #[error(transparent)]
    Result(#[from] crate::RecordsError),
    /// Its task could not be published again. The dead letter stays.
    #[error(transparent)]
    Publish(#[from] crate::PublishError),
}

impl DeadError {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Request(error) => error.fault(),
            Self::Full { .. } => Fault::Unavailable,
            Self::Missing { .. } => Fault::NotFound,
            Self::Result(error) => error.fault(),
            Self::Publish(error) => error.fault(),
        }
    }
}

impl DeadLetters {
    /// The dead letters in this NATS.
    #[must_use]
    pub fn new(nats: &Nats) -> Self {
        Self { nats: nats.clone() }
    }

    /// Keeps the dead letter of the task that had place `sequence`. Can be repeated.
    ///
    /// # Errors
    /// [`DeadError::Full`]; NATS refused or did not answer, and may have stored it.
    pub async fn put(
        &self,
        tenant: &TenantName,
        queue: &QueueName,
        id: &TaskId,
        sequence: Sequence,
        letter: &DeadLetter,
    ) -> Result<DeadPut, DeadError> {
        let headers = letter.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        renew_payload(&self.nats, tenant, headers).await?;
        let first = DeadName { id: id.clone(), again: None };
        if self.store(tenant, queue, &first, letter).await? {
            return Ok(DeadPut::Stored(first));
        }
        if expected(|| self.get(tenant, queue, &first))
            .await?
            .is_some_and(|kept| kept.task_sequence == Some(sequence))
        {
            return Ok(DeadPut::Already(first));
        }
        let again = DeadName { id: id.clone(), again: Some(sequence) };
        if self.store(tenant, queue, &again, letter).await? {
            Ok(DeadPut::Stored(again))
        } else {
            // Its name holds the sequence, so it is the same task's.
            Ok(DeadPut::Already(again))
        }
    }

    /// Stores it if nothing is stored under that name; the answer says whether nothing was.
    async fn store(
        &self,
        tenant: &TenantName,
        queue: &QueueName,
        name: &DeadName,
        letter: &DeadLetter,
    ) -> Result<bool, DeadError> {
        let mut headers = Headers::new();
        for (name, value) in &letter.headers {
            headers.append(name, value);
        }
        headers.set_number(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, 0);
        let subject = subject(tenant, queue, name);
        let payload = letter.payload.clone();
        match self.nats.store("storing a dead letter", subject, Some(headers.into_map()), payload).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_wrong_sequence() => Ok(false),
            Err(error) if error.code() == Some(code::STREAM_FULL) => {
                Err(DeadError::Full { tenant: tenant.clone() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A dead letter.
    ///
    /// # Errors
    /// NATS does not answer, or there is no such tenant.
    pub async fn get(
        &self,
        tenant: &TenantName,
        queue: &QueueName,
        name: &DeadName,
    ) -> Result<Option<StoredDead>, DeadError> {
        let stream = Subjects::of(tenant).dead_stream();
        let kept = self.nats.last_of("reading a dead letter", &stream, &subject(tenant, queue, name)).await?;
        Ok(kept.and_then(|kept| read(tenant, kept)))
    }

    /// Up to `limit` dead letters of a tenant or of one queue, after place `after` (0 for the first), oldest first.
    ///
    /// # Errors
    /// NATS does not answer, or there is no such tenant.
    pub async fn list(
        &self,
        tenant: &TenantName,
        queue: Option<&QueueName>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<StoredDead>, DeadError> {
        let subjects = Subjects::of(tenant);
        let filter = subjects.dead_letters(queue);
        let kept =
            self.nats.scan("listing dead letters", &subjects.dead_stream(), &filter, after, limit).await?;
        Ok(kept.into_iter().filter_map(|kept| read(tenant, kept)).collect())
    }

    /// The place of the newest dead letter that the tenant ever had; nothing if there was none.
    ///
    /// # Errors
    /// NATS does not answer, or there is no such tenant.
    pub async fn last(&self, tenant: &TenantName) -> Result<Option<u64>, DeadError> {
        let info = self.nats.stream_info(&Subjects::of(tenant).dead_stream()).await?;
        Ok(Some(info.state.last_sequence).filter(|last| *last > 0))
    }

    /// Removes the dead letter at this place; the answer says whether it was there.
    ///
    /// # Errors
    /// NATS refuses or does not answer.
    pub async fn remove(&self, tenant: &TenantName, sequence: u64) -> Result<bool, DeadError> {
        let stream = Subjects::of(tenant).dead_stream();
        Ok(self.nats.delete_message("removing a dead letter", &stream, sequence).await?)
    }
}

fn subject(tenant: &TenantName, queue: &QueueName, name: &DeadName) -> String {
    let subjects = Subjects::of(tenant);
    match name.again {
        None => subjects.dead(queue, &name.id),
        Some(sequence) => subjects.dead_again(queue, &name.id, sequence),
    }
}

/// Reads a dead letter; nothing if its subject is none of ours.
fn read(tenant: &TenantName, kept: Kept) -> Option<StoredDead> {
    let rest = kept.subject.strip_prefix("saggar.")?.strip_prefix(tenant.as_str())?.strip_prefix(".dead.")?;
    let (queue, name) = rest.split_once('.')?;
    let (queue, name) = (queue.parse().ok()?, name.parse().ok()?);
    let task_sequence = kept.header(header_name::SEQ).and_then(|sequence| sequence.parse().ok());
    let headers = kept
        .headers()
        // What JetStream wrote onto it.
        .filter(|(name, _)| !name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("nats-")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Some(StoredDead {
        queue,
        name,
        task_sequence,
        sequence: kept.sequence,
        stored_at: kept.time,
        letter: DeadLetter { payload: kept.payload, headers },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_dead_letter_is_named_by_its_sequence() {
        let first: DeadName = "order-17".parse().unwrap();
        assert_eq!((first.again, first.to_string().as_str()), (None, "order-17"));
        let second: DeadName = "order-17~9".parse().unwrap();
        assert_eq!((second.again, second.to_string().as_str()), (Some(9), "order-17~9"));
        for bad in ["", "~", "a~", "a~b", "a~1~2", "~1", "a.b", "a b~1"] {
            assert!(bad.parse::<DeadName>().is_err(), "{bad:?}");
        }
    }
}

//! Groups: what is known of the children that a task waits for, in the stream that only hosts write.
//!
//! Reads go to the stream's leader: a child whose group a replica has not heard of yet would never be counted.

use std::time::{Duration, SystemTime};

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use saggar_model::{Counted, Group, Outcome, STORE_TRIES_MAX, Subjects, TaskRef, TenantName};

use crate::api::RequestError;
use crate::direct::Kept;
use crate::headers::Headers;
use crate::{Fault, Nats, Tasks, TimerError, Timers};

/// The groups of all tenants.
#[derive(Debug, Clone)]
pub struct Groups {
    nats: Nats,
    timers: Timers,
}

/// A group as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGroup {
    /// The group.
    pub group: Group,
    /// Its revision, for changing it.
    pub revision: u64,
}

/// Where a group is stored, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPlace {
    /// The tenant.
    pub tenant: TenantName,
    /// The task that waits.
    pub task: TaskRef,
    /// The group's revision.
    pub revision: u64,
    /// When it was stored.
    pub stored_at: SystemTime,
}

/// Why a group could not be read or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// NATS refused or did not answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The task that waits could not be released.
    #[error(transparent)]
    Timer(#[from] TimerError),
    /// What is stored is no group.
    #[error("the group on {subject} cannot be read: {reason}")]
    Unreadable {
        /// Where it is stored.
        subject: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Others kept changing it.
    #[error("others keep changing the group on {subject}")]
    Contended {
        /// Where it is stored.
        subject: String,
    },
}

impl GroupError {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Request(error) => error.fault(),
            Self::Timer(error) => error.fault(),
            Self::Unreadable { .. } => Fault::Internal,
            // It passes.
            Self::Contended { .. } => Fault::Unavailable,
        }
    }
}

impl Groups {
    /// The groups in this NATS. `timers` are where the tasks wait.
    #[must_use]
    pub fn new(nats: &Nats, timers: &Timers) -> Self {
        Self { nats: nats.clone(), timers: timers.clone() }
    }

    /// The group that a task waits for, if it is kept.
    ///
    /// # Errors
    /// NATS does not answer, or what is stored cannot be read.
    pub async fn get(&self, tenant: &TenantName, task: &TaskRef) -> Result<Option<StoredGroup>, GroupError> {
        let subject = Subjects::of(tenant).group(task);
        let kept = self.nats.last_at_leader("reading a group", Subjects::STATE_STREAM, &subject).await?;
        let Some(kept) = kept else { return Ok(None) };
        match serde_json::from_slice(&kept.payload) {
            Ok(group) => Ok(Some(StoredGroup { group, revision: kept.sequence })),
            Err(error) => Err(GroupError::Unreadable { subject, reason: error.to_string() }),
        }
    }

    /// Opens a group of so many children, unless it is open.
    ///
    /// # Errors
    /// NATS refuses or does not answer.
    pub async fn open(
        &self,
        tenant: &TenantName,
        task: &TaskRef,
        children: u32,
    ) -> Result<StoredGroup, GroupError> {
        let group = Group::new(children);
        for _ in 0..2 {
            match self.put(tenant, task, &group, 0).await? {
                Some(revision) => return Ok(StoredGroup { group, revision }),
                None => {
                    if let Some(stored) = self.get(tenant, task).await? {
                        return Ok(stored);
                    }
                }
            }
        }
        Err(GroupError::Contended { subject: Subjects::of(tenant).group(task) })
    }

    /// Counts children that have ended to the group of the task that waits for them, and releases that task with the
    /// last one. Can be repeated; nothing happens if nobody waits.
    ///
    /// # Errors
    /// NATS refuses or does not answer: the children have to be counted again.
    pub async fn count(
        &self,
        tenant: &TenantName,
        waiting: &TaskRef,
        children: &[(TaskRef, Outcome)],
    ) -> Result<(), GroupError> {
        for tries in 0..STORE_TRIES_MAX {
            let Some(mut stored) = self.get(tenant, waiting).await? else { return Ok(()) };
            if let Counted::Counts(group) = stored.group.count(children) {
                let Some(revision) = self.put(tenant, waiting, &group, stored.revision).await? else {
                    apart(tries).await;
                    continue;
                };
                stored = StoredGroup { group, revision };
            }
            return self.release_if_due(tenant, waiting, stored).await.map(|_| ());
        }
        Err(GroupError::Contended { subject: Subjects::of(tenant).group(waiting) })
    }

    /// Releases the task that waits if all of its children have ended; the answer says whether it did. Can be repeated.
    ///
    /// # Errors
    /// NATS refuses or does not answer.
    pub async fn release_if_due(
        &self,
        tenant: &TenantName,
        waiting: &TaskRef,
        stored: StoredGroup,
    ) -> Result<bool, GroupError> {
        let StoredGroup { group, revision } = stored;
        // Without a timer it is released already, or about to be set by whoever opened the group, who looks then.
        let released = group.is_due() && self.timers.bring_forward(tenant, waiting).await?;
        if released {
            // If it has changed meanwhile, somebody else has noted it.
            self.put(tenant, waiting, &group.released(), revision).await?;
        }
        Ok(released)
    }

    /// Up to `limit` groups after revision `after` (0 for the first), oldest first.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn list(&self, after: u64, limit: usize) -> Result<Vec<GroupPlace>, GroupError> {
        let (doing, stream) = ("listing groups", Subjects::STATE_STREAM);
        let kept = self.nats.scan(doing, stream, Subjects::GROUPS, after, limit).await?;
        Ok(kept.iter().filter_map(place).collect())
    }

    /// Whether the task that waited is gone: it does not wait, it is not in its queue, and it is no dead letter that may
    /// be redriven.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn is_over(&self, place: &GroupPlace) -> Result<bool, GroupError> {
        let GroupPlace { tenant, task: TaskRef { queue, id }, .. } = place;
        if self.timers.find(tenant, queue, id).await?.is_some()
            || Tasks::new(&self.nats).state_of(tenant, queue, id).await?.is_some()
        {
            return Ok(false);
        }
        let subjects = Subjects::of(tenant);
        let (stream, subject) = (subjects.dead_stream(), subjects.dead(queue, id));
        match self.nats.last_of("looking for a dead letter", &stream, &subject).await {
            Ok(found) => Ok(found.is_none()),
            Err(error) if error.is_not_found() => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the group with this revision; the answer says whether it was there.
    ///
    /// # Errors
    /// NATS refuses or does not answer.
    pub async fn remove(&self, revision: u64) -> Result<bool, GroupError> {
        Ok(self.nats.delete_message("removing a group", Subjects::STATE_STREAM, revision).await?)
    }

    /// Removes the group of a task that has ended.
    ///
    /// # Errors
    /// NATS refuses or does not answer.
    pub async fn clear(&self, tenant: &TenantName, task: &TaskRef) -> Result<(), GroupError> {
        match self.get(tenant, task).await? {
            Some(stored) => self.remove(stored.revision).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// Writes a group whose revision is `expected` (0: there is none); nothing if it is another.
    async fn put(
        &self,
        tenant: &TenantName,
        task: &TaskRef,
        group: &Group,
        expected: u64,
    ) -> Result<Option<u64>, GroupError> {
        let subject = Subjects::of(tenant).group(task);
        let json = serde_json::to_vec(group).map_err(|error| GroupError::Unreadable {
            subject: subject.clone(),
            reason: error.to_string(),
        })?;
        let mut headers = Headers::new();
        headers.set_number(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected);
        match self.nats.store("writing a group", subject, Some(headers.into_map()), json.into()).await {
            Ok(stored) => Ok(Some(stored.sequence)),
            Err(error) if error.is_wrong_sequence() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn place(kept: &Kept) -> Option<GroupPlace> {
    let mut tokens = kept.subject.strip_prefix("saggar.state.")?.split('.');
    let (tenant, queue) = (tokens.next()?.parse().ok()?, tokens.next()?.parse().ok()?);
    let id = tokens.nth(1)?.parse().ok()?;
    let task = TaskRef { queue, id };
    Some(GroupPlace { tenant, task, revision: kept.sequence, stored_at: kept.time })
}

/// Lets those who got into each other's way come back at different times, after a few milliseconds.
async fn apart(tries: u32) {
    const SHORTEST: f64 = 0.5e-3;
    const DOUBLINGS_MAX: u32 = 6;
    let longest = SHORTEST * f64::from(1 << tries.min(DOUBLINGS_MAX));
    tokio::time::sleep(Duration::from_secs_f64(longest * rand::random::<f64>())).await;
}

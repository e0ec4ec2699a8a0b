//! Children of a task that runs where there is no NATS: they are kept in memory, and nobody runs them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use saggar_model::{Child, Group, QueueName, Quota, SubmitError, TaskRef, TaskResult};

use super::Children;

/// The largest task of a server that nobody configured: its largest message but for what results need.
const TASK_MAX_BYTES: usize = (1 << 20) - (32 << 10);

/// The tasks that were submitted. Clones share them.
#[derive(Debug, Clone)]
pub struct LocalChildren {
    /// The queues there are; nothing: any.
    queues: Option<BTreeSet<QueueName>>,
    quota: u64,
    submitted: Arc<Mutex<BTreeMap<(QueueName, String), Child>>>,
}

impl Default for LocalChildren {
    fn default() -> Self {
        Self { queues: None, quota: Quota::default().tasks, submitted: Arc::default() }
    }
}

impl LocalChildren {
    /// A tenant with these queues only, and room for so many tasks.
    #[must_use]
    pub fn new(queues: impl IntoIterator<Item = QueueName>, quota: u64) -> Self {
        Self { queues: Some(queues.into_iter().collect()), quota, submitted: Arc::default() }
    }

    /// What was submitted, by queue and id.
    #[must_use]
    pub fn submitted(&self) -> Vec<Child> {
        self.lock().values().cloned().collect()
    }

    /// Keeps a child; the answer says whether it is new.
    ///
    /// # Errors
    /// There is no such queue or no room, or it is too large.
    pub fn keep(&self, child: &Child) -> Result<bool, SubmitError> {
        if self.queues.as_ref().is_some_and(|queues| !queues.contains(&child.task.queue)) {
            return Err(SubmitError::NoQueue);
        }
        let size = child.payload.len()
            + child.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if size > TASK_MAX_BYTES {
            return Err(SubmitError::TooLarge(size as u64));
        }
        let mut submitted = self.lock();
        let place = (child.task.queue.clone(), child.task.id.to_string());
        if submitted.contains_key(&place) {
            return Ok(false);
        }
        if submitted.len() as u64 >= self.quota {
            return Err(SubmitError::QueueFull);
        }
        submitted.insert(place, child.clone());
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(QueueName, String), Child>> {
        self.submitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Children for LocalChildren {
    async fn submit(&self, child: &Child) -> Result<(), SubmitError> {
        self.keep(child).map(|_| ())
    }

    async fn group(&self) -> Result<Option<Group>, SubmitError> {
        Ok(None)
    }

    async fn result(&self, _: &TaskRef) -> Result<Option<TaskResult>, SubmitError> {
        Ok(None)
    }
}

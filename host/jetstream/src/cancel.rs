//! Ending a task before it ends by itself.
//!
//! The result comes first: from then on the task is over, whatever anybody still does with it. Then the hosts are told,
//! then the message goes, unless a host has it: to delete a message that is being run would free its place among the
//! queue's running tasks.

use std::time::{Duration, SystemTime};

use saggar_model::{
    CancelAnswer, CancelRequest, Cancellation, Ending, Failure, NameError, Outcome, Receipt, Subjects,
    TaskRef, TaskResult, TenantName, Was,
};

use crate::control::Control;
use crate::records::{Put, RecordsError, Results};
use crate::tasks::{QueuedTask, TaskState, Tasks};
use crate::tenants::{Tenants, TenantsError};
use crate::{Fault, RequestError};

/// Why a task could not be cancelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// The request names no task.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is no such task, or none any more.
    #[error("tenant {tenant} has no task {task}: it is not in its queue, and no result is kept")]
    Unknown {
        /// The tenant.
        tenant: TenantName,
        /// The task.
        task: String,
    },
    /// The result could not be written or read.
    #[error(transparent)]
    Result(#[from] RecordsError),
    /// The tenant's record could not be read.
    #[error(transparent)]
    Tenant(#[from] TenantsError),
    /// NATS refused or did not answer.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl CancelError {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Name(_) => Fault::Invalid,
            Self::Unknown { .. } => Fault::NotFound,
            Self::Result(error) => error.fault(),
            Self::Tenant(error) => error.fault(),
            Self::Request(error) => error.fault(),
        }
    }
}

impl Control {
    /// Cancels a task, in the name of the host that was asked.
    ///
    /// Can be repeated: a task that has a result keeps it.
    ///
    /// # Errors
    /// There is no such task, or NATS refuses or does not answer.
    pub async fn carry_out(&self, request: &CancelRequest, host: &str) -> Result<CancelAnswer, CancelError> {
        let CancelRequest { tenant, task } = request;
        let answer =
            |was, outcome| CancelAnswer { task: task.to_string(), tenant: tenant.clone(), was, outcome };
        let unknown = || CancelError::Unknown { tenant: tenant.clone(), task: task.to_string() };
        let Some(queue) = self.queue(request).await? else { return Err(unknown()) };
        let results = Results::new(&self.nats);
        if let Some(stored) = results.get(tenant, &task.queue, &task.id).await? {
            return Ok(answer(Was::Ended, stored.result.outcome));
        }
        let tasks = Tasks::new(&self.nats);
        let Some((state, queued)) = tasks.state_of(tenant, &task.queue, &task.id).await? else {
            // It may have ended between the two questions.
            let ended = results.get(tenant, &task.queue, &task.id).await?;
            return ended.map(|stored| answer(Was::Ended, stored.result.outcome)).ok_or_else(unknown);
        };
        let result = cancelled(task, state, &queued, host);
        match results.put(tenant, &result, Duration::from_secs(queue.results_ttl)).await? {
            // Cancelled a moment ago, by a request that was then cut short, perhaps: what follows can be repeated.
            Put::Refused(stored) if stored.outcome != Outcome::Cancelled => {
                return Ok(answer(Was::Ended, stored.outcome));
            }
            Put::Refused(_) | Put::Stored => {}
        }
        let (queue, id) = (task.queue.clone(), task.id.clone());
        self.announce(&Cancellation { tenant: tenant.clone(), queue, id, sequence: queued.sequence }).await?;
        let was = self.remove_unless_delivered(tenant, task, &queued).await?;
        Ok(answer(was, Outcome::Cancelled))
    }

    /// The settings of the task's queue, if there is such a queue.
    async fn queue(&self, request: &CancelRequest) -> Result<Option<saggar_model::QueueSpec>, CancelError> {
        let entry = Tenants::new(&self.nats).get(&request.tenant).await?;
        Ok(entry.and_then(|mut entry| entry.record.spec.queues.remove(&request.task.queue)))
    }

    /// Deletes the message of a task that no host ever had. All others find the result when they have it again.
    async fn remove_unless_delivered(
        &self,
        tenant: &TenantName,
        task: &TaskRef,
        queued: &QueuedTask,
    ) -> Result<Was, CancelError> {
        // Asked once more: hosts have been told, so that one which got it meanwhile does not run it.
        match Tasks::new(&self.nats).state_of(tenant, &task.queue, &task.id).await? {
            Some((TaskState::Queued, now)) if now.sequence == queued.sequence => {
                let stream = Subjects::of(tenant).tasks_stream();
                self.nats.delete_message("removing a cancelled task", &stream, queued.sequence).await?;
                Ok(Was::Queued)
            }
            _ => Ok(Was::Running),
        }
    }
}

fn cancelled(task: &TaskRef, state: TaskState, queued: &QueuedTask, host: &str) -> TaskResult {
    let reason = match state {
        TaskState::Queued => "it was cancelled before it was started",
        TaskState::Running => "it was cancelled while a host had it",
    };
    let waited = SystemTime::now().duration_since(queued.published_at).unwrap_or_default();
    let receipt =
        Receipt { queued: waited, host: host.to_owned(), bytes_in: queued.size as u64, ..Receipt::default() };
    let ending = Ending::Failed(Failure::new(Outcome::Cancelled, reason));
    TaskResult::new(task.clone(), queued.sequence, ending, receipt, None)
}

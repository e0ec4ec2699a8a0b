//! Ending a task before it ends by itself.
//!
//! The result comes first: from then on the task is over, whatever anybody still does with it. Then the hosts are told,
//! then the message goes, unless a host has it: to delete a message that is being run would free its place among the
//! queue's running tasks.

use std::time::{Duration, SystemTime};

use saggar_model::{
    BookId, CancelAnswer, CancelRequest, Cancellation, Earlier, Ending, Failure, NameError, Outcome,
    QueueSpec, Receipt, Sequence, Subjects, TaskRef, TaskResult, TenantName, Ticket, Was,
};

use crate::control::Control;
use crate::groups::{GroupError, Groups};
use crate::records::{Put, RecordsError, Results, StoredResult};
use crate::state::States;
use crate::tasks::{QueuedTask, TaskState, Tasks};
use crate::tenants::{Tenants, TenantsError};
use crate::timers::{Timers, WaitingTimer};
use crate::usages::UsageError;
use crate::{Fault, RequestError, StateError};

/// Why a task could not be cancelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// The request names no task.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is no such task, or none any more.
    #[error("tenant {tenant} has no task {task}: it is not in its queue, not delayed, and no result is kept")]
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
    /// What the task had been through could not be removed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The task that waits for it could not be told.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The account of the tenant could not be opened.
    #[error(transparent)]
    Usage(#[from] UsageError),
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
            Self::State(error) => error.fault(),
            Self::Group(error) => error.fault(),
            Self::Usage(error) => error.fault(),
            Self::Request(error) => error.fault(),
        }
    }
}

/// What became of the result of a task that was to be cancelled.
#[derive(Debug)]
pub enum CancelledResult {
    /// It was not sent.
    NotSent,
    /// It was stored at this place.
    Stored(Sequence, Box<TaskResult>),
    /// The task has this one already.
    Refused(Box<StoredResult>),
    /// Nobody knows.
    Unknown,
}

impl Control {
    /// Cancels a task, in the name of the host that was asked, which counts the result in `book`. What became of the
    /// result is told in `sent`, whether the rest goes well or not.
    ///
    /// Can be repeated: a task that has a result keeps it.
    ///
    /// # Errors
    /// There is no such task, or NATS refuses or does not answer.
    pub async fn carry_out(
        &self,
        request: &CancelRequest,
        queue: &QueueSpec,
        host: &str,
        book: &BookId,
        sent: &mut CancelledResult,
    ) -> Result<CancelAnswer, CancelError> {
        let CancelRequest { tenant, task } = request;
        let answer =
            |was, outcome| CancelAnswer { task: task.to_string(), tenant: tenant.clone(), was, outcome };
        let unknown = || CancelError::Unknown { tenant: tenant.clone(), task: task.to_string() };
        let results = Results::new(&self.nats);
        if let Some(stored) = results.get(tenant, &task.queue, &task.id).await? {
            return Ok(answer(Was::Ended, stored.result.outcome));
        }
        let (tasks, ttl) = (Tasks::new(&self.nats), Duration::from_secs(queue.results_ttl));
        if let Some((state, queued)) = tasks.state_of(tenant, &task.queue, &task.id).await? {
            let earlier = self.earlier(tenant, task, queued.sequence, queued.ticket.as_ref()).await?;
            let result = cancelled(task, state, &queued, self.nats.now(), host).with_earlier(earlier);
            return Ok(match self.put(tenant, result, ttl, book, sent).await? {
                Some(ended) => answer(Was::Ended, ended),
                None => answer(self.withdraw(tenant, task, &queued).await?, Outcome::Cancelled),
            });
        }
        let timers = Timers::new(&self.nats);
        let Some(timer) = timers.find(tenant, &task.queue, &task.id).await? else {
            // It may have ended between the questions.
            let ended = results.get(tenant, &task.queue, &task.id).await?;
            return ended.map(|stored| answer(Was::Ended, stored.result.outcome)).ok_or_else(unknown);
        };
        let earlier = self.earlier(tenant, task, 0, timer.ticket.as_ref()).await?;
        let result = cancelled_timer(task, &timer, self.nats.now(), host).with_earlier(earlier);
        if let Some(ended) = self.put(tenant, result, ttl, book, sent).await? {
            return Ok(answer(Was::Ended, ended));
        }
        self.count(tenant, timer.group.as_ref(), task).await?;
        if timers.remove(tenant, &timer).await? {
            return Ok(answer(Was::Delayed, Outcome::Cancelled));
        }
        // It became due meanwhile.
        let was = match tasks.state_of(tenant, &task.queue, &task.id).await? {
            Some((_, queued)) => self.withdraw(tenant, task, &queued).await?,
            None => Was::Delayed,
        };
        Ok(answer(was, Outcome::Cancelled))
    }

    /// Stores the result; gives the outcome of the one that was there before, if it was another.
    async fn put(
        &self,
        tenant: &TenantName,
        result: TaskResult,
        ttl: Duration,
        book: &BookId,
        sent: &mut CancelledResult,
    ) -> Result<Option<Outcome>, CancelError> {
        let result = TaskResult { book: Some(book.clone()), ..result };
        *sent = CancelledResult::Unknown;
        Ok(match Results::new(&self.nats).put(tenant, &result, ttl).await? {
            Put::Stored(place) => {
                *sent = CancelledResult::Stored(place, Box::new(result));
                None
            }
            Put::Refused(stored) => {
                let ended = stored.result.outcome;
                *sent = CancelledResult::Refused(stored);
                // Cancelled a moment ago, by a request that was cut short, perhaps: what follows can be repeated.
                (ended != Outcome::Cancelled).then_some(ended)
            }
        })
    }

    /// What the task's attempts have cost until now. A ticket that its record does not bear out is somebody's invention.
    async fn earlier(
        &self,
        tenant: &TenantName,
        task: &TaskRef,
        sequence: Sequence,
        ticket: Option<&Ticket>,
    ) -> Result<Earlier, CancelError> {
        let states = States::new(&self.nats);
        let key = ticket.map_or(sequence, |ticket| ticket.origin);
        let stored = states.get(tenant, &task.queue, key).await?;
        let history = stored.map(|stored| stored.history).filter(|history| match ticket {
            None => true,
            Some(ticket) => history.passage.as_ref().is_some_and(|passage| passage.secret == ticket.secret),
        });
        Ok(history.map(|history| history.earlier).unwrap_or_default())
    }

    /// Tells the hosts, and deletes the message unless one of them has it. Says where the task was.
    async fn withdraw(
        &self,
        tenant: &TenantName,
        task: &TaskRef,
        queued: &QueuedTask,
    ) -> Result<Was, CancelError> {
        let (queue, id) = (task.queue.clone(), task.id.clone());
        self.announce(&Cancellation { tenant: tenant.clone(), queue, id, sequence: queued.sequence }).await?;
        self.remove_unless_delivered(tenant, task, queued).await
    }

    /// Tells the task that waits for a cancelled one. Before the message goes, as no host will do it.
    async fn count(
        &self,
        tenant: &TenantName,
        waiting: Option<&TaskRef>,
        task: &TaskRef,
    ) -> Result<(), CancelError> {
        let Some(waiting) = waiting else { return Ok(()) };
        let groups = Groups::new(&self.nats, &Timers::new(&self.nats));
        Ok(groups.count(tenant, waiting, &[(task.clone(), Outcome::Cancelled)]).await?)
    }

    /// The settings of the queue of a task that is to be cancelled.
    ///
    /// # Errors
    /// There is no such queue, or NATS does not answer.
    pub async fn queue_of(&self, request: &CancelRequest) -> Result<QueueSpec, CancelError> {
        let entry = Tenants::new(&self.nats).get(&request.tenant).await?;
        let queue = entry.and_then(|mut entry| entry.record.spec.queues.remove(&request.task.queue));
        let CancelRequest { tenant, task } = request;
        queue.ok_or_else(|| CancelError::Unknown { tenant: tenant.clone(), task: task.to_string() })
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
                self.count(tenant, queued.group.as_ref(), task).await?;
                let stream = Subjects::of(tenant).tasks_stream();
                self.nats.delete_message("removing a cancelled task", &stream, queued.sequence).await?;
                Ok(Was::Queued)
            }
            _ => Ok(Was::Running),
        }
    }
}

fn cancelled(
    task: &TaskRef,
    state: TaskState,
    queued: &QueuedTask,
    now: SystemTime,
    host: &str,
) -> TaskResult {
    let reason = match state {
        TaskState::Queued => "it was cancelled before it was started",
        TaskState::Running => "it was cancelled while a host had it",
    };
    let waited = now.duration_since(queued.published_at).unwrap_or_default();
    let receipt =
        Receipt { queued: waited, host: host.to_owned(), bytes_in: queued.size as u64, ..Receipt::default() };
    let ending = Ending::Failed(Failure::new(Outcome::Cancelled, reason));
    TaskResult::new(task.clone(), queued.sequence, ending, receipt, None)
}

/// Of a task that waits for its time there is no message in its queue, and no place of one.
fn cancelled_timer(task: &TaskRef, timer: &WaitingTimer, now: SystemTime, host: &str) -> TaskResult {
    let waited = now.duration_since(timer.set_at).unwrap_or_default();
    let receipt =
        Receipt { queued: waited, host: host.to_owned(), bytes_in: timer.size as u64, ..Receipt::default() };
    let sequence = timer.ticket.as_ref().map_or(0, |ticket| ticket.origin);
    let ending = Ending::Failed(Failure::new(Outcome::Cancelled, "it was cancelled before it was due"));
    TaskResult::new(task.clone(), sequence, ending, receipt, None)
}

//! Submitting the tasks that tasks ask for.
//!
//! Every step can be repeated: a child that is queued, running or delayed, or whose result is kept, is not submitted
//! again. One that has ended a moment before it is published again finds its result when it is delivered.

use std::time::SystemTime;

use saggar_model::{
    Child, Group, JOIN_WAIT_DEFAULT, STORE_CALL_MAX, SubmitError, TaskRef, TaskResult, TenantName,
};

use crate::Nats;
use crate::groups::Groups;
use crate::records::Results;
use crate::tasks::{NewTask, PublishError, Tasks};
use crate::timers::{NewTimer, TimerError, Timers};

/// The children of all tenants' tasks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Children {
    tasks: Tasks,
    timers: Timers,
    groups: Groups,
    results: Results,
}

impl Children {
    /// The children in this NATS.
    #[must_use]
    pub fn new(nats: &Nats, timers: &Timers, groups: &Groups) -> Self {
        let (tasks, results) = (Tasks::new(nats), Results::new(nats));
        Self { tasks, timers: timers.clone(), groups: groups.clone(), results }
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.timers.nats.now()
    }

    /// Submits a child. When this returns it is stored, or was before. `again`: an earlier run of its parent may have
    /// submitted it, so that it may wait for another attempt by now, outside its queue.
    ///
    /// # Errors
    /// See [`SubmitError`]; after [`SubmitError::Unavailable`] it may be stored all the same.
    pub async fn submit(&self, tenant: &TenantName, child: &Child, again: bool) -> Result<(), SubmitError> {
        within(async {
            match (child.joins, child.delay) {
                (None, None) if again && self.waits(tenant, &child.task).await? => Ok(()),
                (None, None) => self.publish(tenant, child).await,
                (None, Some(_)) if self.is_known(tenant, &child.task).await? => Ok(()),
                (None, Some(_)) => self.set_timer(tenant, child).await,
                (Some(children), _) => self.join(tenant, child, children).await,
            }
        })
        .await
    }

    /// The children that a task waited for.
    ///
    /// # Errors
    /// [`SubmitError::Unavailable`].
    pub async fn group(&self, tenant: &TenantName, task: &TaskRef) -> Result<Option<Group>, SubmitError> {
        within(async {
            let stored = self.groups.get(tenant, task).await;
            stored.map(|stored| stored.map(|stored| stored.group)).map_err(|error| failed(tenant, &error))
        })
        .await
    }

    /// The result of a task, if it is kept.
    ///
    /// # Errors
    /// [`SubmitError::Unavailable`].
    pub async fn result(
        &self,
        tenant: &TenantName,
        task: &TaskRef,
    ) -> Result<Option<TaskResult>, SubmitError> {
        within(async {
            let found = self.results.get(tenant, &task.queue, &task.id).await;
            found.map(|stored| stored.map(|stored| stored.result)).map_err(|error| failed(tenant, &error))
        })
        .await
    }

    async fn publish(&self, tenant: &TenantName, child: &Child) -> Result<(), SubmitError> {
        let task = NewTask {
            id: Some(child.task.id.clone()),
            payload: child.payload.clone(),
            headers: child.headers.clone(),
            message_id: None,
            unique: true,
        };
        match self.tasks.publish(tenant, &child.task.queue, task).await {
            Ok(_) | Err(PublishError::NotUnique { .. }) => Ok(()),
            Err(PublishError::UnknownQueue { .. }) => Err(SubmitError::NoQueue),
            Err(PublishError::QuotaFull { .. }) => Err(SubmitError::QueueFull),
            Err(PublishError::TooLarge { size, .. }) => Err(SubmitError::TooLarge(size as u64)),
            Err(error @ PublishError::BadHeader { .. }) => Err(SubmitError::Invalid(error.to_string())),
            Err(error @ (PublishError::NamelessUnique | PublishError::Request(_))) => {
                Err(failed(tenant, &error))
            }
        }
    }

    async fn set_timer(&self, tenant: &TenantName, child: &Child) -> Result<(), SubmitError> {
        let timer = NewTimer {
            queue: child.task.queue.clone(),
            id: child.task.id.clone(),
            name: child.timer.clone(),
            due: self.now() + child.delay.unwrap_or(JOIN_WAIT_DEFAULT),
            payload: child.payload.clone(),
            headers: child.headers.clone(),
            ticket: None,
            message_id: None,
        };
        match self.timers.put(tenant, timer).await {
            Ok(()) => Ok(()),
            Err(TimerError::Full { .. }) => Err(SubmitError::QueueFull),
            Err(TimerError::TooLarge { size, .. }) => Err(SubmitError::TooLarge(size as u64)),
            Err(error) => Err(failed(tenant, &error)),
        }
    }

    /// Group, then timer: once the task waits, each child that ends finds what to be counted to.
    async fn join(&self, tenant: &TenantName, child: &Child, children: u32) -> Result<(), SubmitError> {
        let known = self.is_known(tenant, &child.task).await?;
        let found = if known {
            self.groups.get(tenant, &child.task).await
        } else {
            self.groups.open(tenant, &child.task, children).await.map(Some)
        };
        let Some(found) = found.map_err(|error| failed(tenant, &error))? else { return Ok(()) };
        if !known && !found.group.released {
            self.set_timer(tenant, child).await?;
        }
        // Of children that ended before there was a timer, none found anything to release.
        let again = self.groups.get(tenant, &child.task).await.map_err(|error| failed(tenant, &error))?;
        let Some(again) = again else { return Ok(()) };
        let released = self.groups.release_if_due(tenant, &child.task, again).await;
        released.map(|_| ()).map_err(|error| failed(tenant, &error))
    }

    /// Whether a task lies in a timer.
    async fn waits(&self, tenant: &TenantName, task: &TaskRef) -> Result<bool, SubmitError> {
        let found = self.timers.find(tenant, &task.queue, &task.id).await;
        Ok(found.map_err(|error| failed(tenant, &error))?.is_some())
    }

    /// Whether a task is somewhere on its way, asked for in the order of its way, or its result is kept.
    async fn is_known(&self, tenant: &TenantName, task: &TaskRef) -> Result<bool, SubmitError> {
        let TaskRef { queue, id } = task;
        if self.waits(tenant, task).await? {
            return Ok(true);
        }
        if self.tasks.state_of(tenant, queue, id).await.map_err(|error| failed(tenant, &error))?.is_some() {
            return Ok(true);
        }
        let result = self.results.get(tenant, queue, id).await;
        Ok(result.map_err(|error| failed(tenant, &error))?.is_some())
    }
}

/// Bounds what a guest waits for.
async fn within<T>(call: impl Future<Output = Result<T, SubmitError>>) -> Result<T, SubmitError> {
    tokio::time::timeout(STORE_CALL_MAX, call).await.unwrap_or(Err(SubmitError::Unavailable))
}

/// What a guest is told about a request that failed; the log gets the rest.
fn failed(tenant: &TenantName, error: &dyn std::error::Error) -> SubmitError {
    tracing::warn!(%tenant, %error, "a task could not be submitted, or what became of it could not be read");
    SubmitError::Unavailable
}

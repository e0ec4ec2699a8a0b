//! Where a task is that has no result: looked up by those who can see its streams, asked for by those who cannot.

use saggar_model::{Place, StateRequest, TaskRef, TenantName, Whereabouts};

use crate::api::RequestError;
use crate::control::{Control, ControlError};
use crate::tasks::{TaskState, Tasks};
use crate::timers::Timers;

impl Control {
    /// Where a task is that has no result; nothing if it is nowhere.
    ///
    /// # Errors
    /// NATS does not answer; for a tenant's own account also: no host answers, or it refuses.
    pub async fn whereabouts(
        &self,
        tenant: &TenantName,
        task: &TaskRef,
    ) -> Result<Option<Whereabouts>, ControlError> {
        const DOING: &str = "asking where a task is";
        let request = StateRequest { tenant: tenant.clone(), task: task.clone() };
        if !self.nats.is_tenants() {
            return self.look_up(&request).await.map_err(ControlError::Request);
        }
        match self.ask_hosts(DOING, request.subject()).await {
            Ok(found) => Ok(Some(found)),
            Err(ControlError::Refused { code, .. }) if code == "not-found" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Looks where a task is that has no result; nothing if it is nowhere.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn look_up(&self, request: &StateRequest) -> Result<Option<Whereabouts>, RequestError> {
        let StateRequest { tenant, task } = request;
        let known = |state, bytes: usize, published_at, due_at| Whereabouts {
            task: task.to_string(),
            tenant: tenant.clone(),
            queue: task.queue.clone(),
            state,
            bytes_in: bytes as u64,
            published_at,
            due_at,
        };
        if let Some((state, queued)) = Tasks::new(&self.nats).state_of(tenant, &task.queue, &task.id).await? {
            let place = match state {
                TaskState::Queued => Place::Queued,
                TaskState::Running => Place::Running,
            };
            return Ok(Some(known(place, queued.size, Some(queued.published_at), None)));
        }
        let timer = Timers::new(&self.nats).find(tenant, &task.queue, &task.id).await?;
        Ok(timer.map(|timer| known(Place::Delayed, timer.size, None, Some(timer.due))))
    }
}

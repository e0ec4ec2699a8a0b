//! Makes the tasks of schedules when they are due. The leader does it, and its successor goes on from what is written
//! down: everything up to a time is decided.
//!
//! A leader that is lost in between has perhaps made a task and not written it down. The next one makes it again under
//! the same id and message id, which JetStream drops, or finds it in its queue, or finds its result.

use std::time::{Duration, SystemTime};

use futures::StreamExt as _;
use futures::stream;
use saggar_jetstream::{
    Control, Expected, Lease, Nats, NewTask, PublishError, RecordsError, RequestError, Results, Schedules,
    SchedulesError, StoredSchedule, Tasks, Timers,
};
use saggar_model::{CancelRequest, Due, Firing, Schedule, TaskId, TaskRef, TenantName, format_time};
use tokio::sync::Notify;

/// How often it is looked what is due.
const LOOK: Duration = Duration::from_secs(1);

/// How often all records are read again. A schedule that was just added is kept from then on.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// Schedules decided at once: one that waits for an answer keeps few others waiting.
const AT_ONCE: usize = 32;

/// A task that was due longer ago than this may have been made by another leader, and its message id be forgotten.
const REMEMBERED: Duration = Duration::from_mins(1);

/// Keeps all schedules for as long as this host leads. `rescheduled` says that some were changed a moment ago.
pub(crate) async fn keep(nats: &Nats, lease: &Lease, rescheduled: &Notify) {
    let keeper = Keeper {
        schedules: Schedules::new(nats),
        tasks: Tasks::new(nats),
        timers: Timers::new(nats),
        results: Results::new(nats),
        control: Control::new(nats),
    };
    let mut known: Vec<StoredSchedule> = Vec::new();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut again = tokio::time::interval(READ_AGAIN);
    again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while lease.is_leader() {
        tokio::select! {
            _ = again.tick() => match keeper.schedules.list(None).await {
                Ok((schedules, unreadable)) => {
                    for error in unreadable {
                        tracing::warn!(%error, "a schedule is not kept");
                    }
                    known = schedules;
                }
                Err(error) => tracing::debug!(%error, "the schedules could not be read"),
            },
            () = rescheduled.notified() => again.reset_immediately(),
            _ = look.tick() => {
                let deciding = stream::iter(&mut known).for_each_concurrent(AT_ONCE, async |stored| {
                    let now = nats.now();
                    if stored.schedule.due(now) != Due::default() && lease.is_leader() {
                        keeper.decide(stored, now).await;
                    }
                });
                deciding.await;
            }
        }
    }
}

struct Keeper {
    schedules: Schedules,
    tasks: Tasks,
    timers: Timers,
    results: Results,
    control: Control,
}

/// Why a task that is due was not made. It is tried again until it is, or is missed.
#[derive(Debug, thiserror::Error)]
enum Unmade {
    #[error(transparent)]
    Schedules(#[from] SchedulesError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl Keeper {
    /// Decides about everything of one schedule that is due, and takes over what others have written.
    async fn decide(&self, stored: &mut StoredSchedule, now: SystemTime) {
        if let Err(error) = self.try_to_decide(stored, now).await {
            let (tenant, name) = (&stored.tenant, &stored.schedule.name);
            tracing::warn!(%tenant, schedule = %name, %error, "a scheduled task is not made yet");
        }
    }

    async fn try_to_decide(&self, stored: &mut StoredSchedule, now: SystemTime) -> Result<(), Unmade> {
        // Somebody may have paused or removed it since it was read.
        let tenant = stored.tenant.clone();
        let Some(current) = self.schedules.get(&tenant, &stored.schedule.name).await? else {
            stored.schedule.paused = true;
            return Ok(());
        };
        *stored = current;
        let mut schedule = stored.schedule.clone();
        let Due { firings, missed } = schedule.due(now);
        if missed > 0 {
            tracing::warn!(%tenant, schedule = %schedule.name, missed, "scheduled tasks were missed and are left out");
        }
        for due in firings {
            let Some(id) = schedule.task_id(due) else { continue };
            let made = self.fire(&tenant, &schedule, &id, due, now).await?;
            schedule.decide_until(due);
            if made {
                schedule.last = Some(id);
            }
            self.write(stored, &schedule).await?;
        }
        schedule.decide_until(now);
        if schedule != stored.schedule {
            self.write(stored, &schedule).await?;
        }
        Ok(())
    }

    async fn write(&self, stored: &mut StoredSchedule, schedule: &Schedule) -> Result<(), Unmade> {
        let expected = Expected::Revision(stored.revision);
        stored.revision = self.schedules.put(&stored.tenant, schedule, expected).await?;
        stored.schedule = schedule.clone();
        Ok(())
    }

    /// Makes the task that was due then, or leaves it out; the answer says which.
    async fn fire(
        &self,
        tenant: &TenantName,
        schedule: &Schedule,
        id: &TaskId,
        due: SystemTime,
        now: SystemTime,
    ) -> Result<bool, Unmade> {
        let Schedule { name, queue, payload, headers, .. } = schedule;
        let before = schedule.last.as_ref().filter(|last| *last != id);
        let running = match before {
            Some(before) => self.is_running(tenant, schedule, before).await?,
            None => false,
        };
        match (schedule.overlap.decide(running), before) {
            (Firing::Skip, _) => {
                tracing::info!(%tenant, schedule = %name, due = format_time(due), "left out: the one before it runs");
                return Ok(false);
            }
            (Firing::Replace, Some(before)) => {
                let task = TaskRef { queue: queue.clone(), id: before.clone() };
                let request = CancelRequest { tenant: tenant.clone(), task };
                if let Err(error) = self.control.cancel(&request).await {
                    tracing::warn!(%tenant, schedule = %name, task = %before, %error, "the one before it goes on");
                }
            }
            (Firing::Replace | Firing::Make, _) => {}
        }
        let late = now.duration_since(due).unwrap_or_default();
        if late > REMEMBERED && self.results.get(tenant, queue, id).await?.is_some() {
            return Ok(true);
        }
        let task = NewTask {
            id: Some(id.clone()),
            payload: payload.clone().into(),
            headers: headers.clone(),
            message_id: Some(format!("saggar-schedule-{queue}-{id}")),
            unique: true,
        };
        match self.tasks.publish(tenant, queue, task).await {
            Ok(_) => tracing::debug!(%tenant, schedule = %name, task = %id, "made"),
            // Another leader has made it.
            Err(PublishError::NotUnique { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    /// Whether a task that the schedule made has not ended.
    async fn is_running(
        &self,
        tenant: &TenantName,
        schedule: &Schedule,
        id: &TaskId,
    ) -> Result<bool, Unmade> {
        let queue = &schedule.queue;
        if self.results.get(tenant, queue, id).await?.is_some() {
            return Ok(false);
        }
        Ok(self.tasks.state_of(tenant, queue, id).await?.is_some()
            || self.timers.find(tenant, queue, id).await?.is_some())
    }
}

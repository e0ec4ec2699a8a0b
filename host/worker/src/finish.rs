//! The end of a task: its result is stored, then its message is acknowledged.
//!
//! Results are sent one after another without waiting; their answers come in one place, which acknowledges. Whatever
//! is not simply stored, an answer that does not come above all, is carried on by a task of its own that insists.

use std::time::Duration;

use saggar_jetstream::{Answers, DeadPut, Put, RecordsError, ResultMessage};
use saggar_model::{Outcome, Task, TaskResult};
use tokio_util::task::TaskTracker;

use crate::children;
use crate::claim;
use crate::contained::contained;
use crate::settlement::{self, Records, Unsettled, persist};
use crate::unit::Held;

/// A task whose result is on its way.
pub(crate) struct Finishing {
    pub(crate) held: Held,
    /// Revision of the record of what the task has been through; 0 if there is none.
    pub(crate) state: u64,
    pub(crate) result: TaskResult,
    /// The dead letter that was stored for it.
    pub(crate) dead: Option<DeadPut>,
}

/// Follows the answers to results that were started, until the connection is closed.
pub(crate) async fn follow(mut answers: Answers<Box<Finishing>>, units: TaskTracker) {
    while let Some((finishing, answer)) = answers.next().await {
        match answer {
            Ok(()) if finishing.is_plain() => {
                contained("an acknowledgement", async move { finishing.acknowledge().await }).await;
            }
            Ok(()) => drop(units.spawn(finishing.conclude(Put::Stored))),
            Err(error) => {
                tracing::debug!(task = %finishing.result.task, %error, "a result has to be stored again");
                units.spawn(finishing.insist());
            }
        }
    }
}

impl Finishing {
    /// Sends the result; the rest happens when the answer comes.
    pub(crate) async fn start(self) {
        let message = ResultMessage::new(&self.held.task.tenant, &self.result, self.ttl());
        let writer = self.held.lane.host.records.writer.clone();
        if let Err((finishing, error)) = writer.send(message, Box::new(self)).await {
            tracing::debug!(task = %finishing.result.task, %error, "a result could not be sent");
            let units = finishing.held.lane.host.units.clone();
            units.spawn(finishing.insist());
        }
    }

    /// Stores the result as soon as it can be, then concludes.
    pub(crate) async fn insist(self) {
        let results = &self.held.lane.host.records.results;
        let put = persist(
            "result",
            RecordsError::fault,
            |_| false,
            || results.put(&self.held.task.tenant, &self.result, self.ttl()),
        );
        match put.await {
            Ok(put) => self.conclude(put).await,
            Err(_) => self.held.report_unsettled(Unsettled),
        }
    }

    fn ttl(&self) -> Duration {
        Duration::from_secs(self.held.runner.spec.results_ttl)
    }

    /// Whether nothing is left to do but to acknowledge, once the result is stored.
    fn is_plain(&self) -> bool {
        let headers = &self.held.task.headers;
        self.state == 0
            && headers.reply_to.is_none()
            && headers.group.is_none()
            && headers.joins.is_none()
            && headers.payload.is_none()
            && !self.may_have_checkpoint()
    }

    /// Whether there may be a checkpoint, which goes with the end of the task. An earlier attempt may have left one, also
    /// under another message.
    fn may_have_checkpoint(&self) -> bool {
        self.held.lease().may_have_checkpoint() || self.result.receipt.attempt > 1
    }

    /// Does what is left once the task has a result, this one or another.
    async fn conclude(self, put: Put) {
        let Self { held, result, dead, state } = &self;
        let records = &held.lane.host.records;
        let ended = match &put {
            Put::Stored => result,
            Put::Refused(stored) => stored,
        };
        let outcome = ended.outcome;
        let needless = [
            // Kept with a failure, which can be redriven.
            held.task.headers.payload.filter(|_| !ended.outcome.is_failure()),
            result.object.filter(|object| ended.object != Some(*object)),
        ];
        match &put {
            Put::Stored => {
                if let Some(reply_to) = &held.task.headers.reply_to
                    && let Err(error) = records.results.forward(reply_to, result).await
                {
                    tracing::warn!(%error, "a result could not be sent to its reply subject");
                }
            }
            Put::Refused(stored) if stored.sequence == result.sequence => {
                // A twin was faster, or the task was cancelled meanwhile. Its success makes the dead letter of this failure untrue.
                if stored.outcome != Outcome::Cancelled {
                    held.lane.metrics.lost_lease();
                }
                if let Some(dead) = dead.as_ref().filter(|_| !stored.outcome.is_failure()) {
                    remove_dead(records, &held.task, dead).await;
                }
            }
            Put::Refused(_) => held.lane.metrics.repeated(),
        }
        for payload in needless.iter().flatten() {
            claim::forget(&held.lane, payload).await;
        }
        // Before the message goes: behind it the id may be another task's.
        if self.may_have_checkpoint() {
            settlement::clear_checkpoint(&held.lane, &held.reference()).await;
        }
        if let Err(unsettled) = children::tell(&held.lane, &held.task, outcome).await {
            return held.report_unsettled(unsettled);
        }
        self.acknowledge().await;
        if *state > 0
            && let Err(error) = records.states.remove(*state).await
        {
            tracing::warn!(%error, "the state of a finished task stays behind");
        }
    }

    async fn acknowledge(&self) {
        match self.held.lease().delivery.ack().await {
            Ok(()) => self.held.lane.metrics.settled(),
            Err(error) => {
                tracing::warn!(%error, "an acknowledgement could not be sent; the task will be delivered again");
            }
        }
    }
}

async fn remove_dead(records: &Records, task: &Task, dead: &DeadPut) {
    let (DeadPut::Stored(name) | DeadPut::Already(name)) = dead;
    let removed = match records.dead.get(&task.tenant, &task.queue, name).await {
        Ok(Some(stored)) => records.dead.remove(&task.tenant, stored.sequence).await.map(|_| ()),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = removed {
        tracing::warn!(%error, "the dead letter of a task that succeeded elsewhere stays behind");
    }
}

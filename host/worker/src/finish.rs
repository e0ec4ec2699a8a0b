//! The end of a task: its result is stored, then its message is acknowledged.
//!
//! Results are sent one after another without waiting; their answers come in one place, which acknowledges. Whatever
//! is not simply stored, an answer that does not come above all, is carried on by a task of its own that insists.

use std::time::Duration;

use saggar_jetstream::{Answers, DeadPut, Put, RecordsError, ResultMessage, StoredResult, UsageError};
use saggar_model::{Outcome, Sequence, Task, TaskResult};
use tokio_util::task::TaskTracker;

use crate::charge::{self, Cause};
use crate::children;
use crate::claim;
use crate::contained::contained;
use crate::ledger::UnderWay;
use crate::settlement::{self, Records, Unsettled, persist};
use crate::unit::Held;

/// A task whose result is on its way.
pub(crate) struct Finishing {
    pub(crate) held: Held,
    /// Revision of the record of what the task has been through; 0 if there is none.
    pub(crate) state: u64,
    /// The place of the task's first message, under which that record lies.
    pub(crate) origin: Sequence,
    /// The book that the result is counted in, once it is under way.
    pub(crate) under_way: Option<UnderWay>,
    pub(crate) result: TaskResult,
    /// The dead letter that was stored for it.
    pub(crate) dead: Option<DeadPut>,
}

/// Follows the answers to results that were started, until the connection is closed.
pub(crate) async fn follow(mut answers: Answers<Box<Finishing>>, units: TaskTracker) {
    while let Some((mut finishing, answer)) = answers.next().await {
        match answer {
            Ok(place) if finishing.is_plain() => {
                finishing.stored(place);
                contained("an acknowledgement", async move { finishing.acknowledge().await }).await;
            }
            Ok(place) => drop(units.spawn(finishing.conclude(Put::Stored(place)))),
            Err(error) => {
                tracing::debug!(task = %finishing.result.task, %error, "a result has to be stored again");
                units.spawn(finishing.insist());
            }
        }
    }
}

impl Finishing {
    /// Sends the result; the rest happens when the answer comes.
    pub(crate) async fn start(mut self) {
        let Some(under_way) = self.held.lane.host.books.begin(&self.held.task.tenant) else {
            // The first of its tenant here, which waits for its book to be opened.
            let units = self.held.lane.host.units.clone();
            units.spawn(self.insist());
            return;
        };
        self.count_in(under_way);
        let message = ResultMessage::new(&self.held.task.tenant, &self.result, self.ttl());
        let writer = self.held.lane.host.records.writer.clone();
        if let Err((finishing, error)) = writer.send(message, Box::new(self)).await {
            tracing::debug!(task = %finishing.result.task, %error, "a result could not be sent");
            let units = finishing.held.lane.host.units.clone();
            units.spawn(finishing.insist());
        }
    }

    /// Stores the result as soon as it can be, then concludes.
    pub(crate) async fn insist(mut self) {
        if self.under_way.is_none() {
            let (books, tenant) = (&self.held.lane.host.books, &self.held.task.tenant);
            let opening = persist("book of usage", UsageError::fault, |_| false, || books.open(tenant)).await;
            let Ok(under_way) = opening else { return self.held.report_unsettled(Unsettled) };
            self.count_in(under_way);
        }
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

    fn count_in(&mut self, under_way: UnderWay) {
        self.result.book = Some(under_way.id().clone());
        self.under_way = Some(under_way);
    }

    /// Counts the result, which was stored at this place.
    fn stored(&mut self, place: Sequence) {
        if let Some(under_way) = self.under_way.take() {
            under_way.stored(place, &self.result);
        }
    }

    /// Counts what the task cost here and the result that it has instead does not show.
    async fn refused(&mut self, found: &StoredResult) {
        if let Some(under_way) = self.under_way.take() {
            under_way.refused(found);
        }
        let its = &found.result;
        if charge::is_same(its, &self.result) {
            return;
        }
        let is_of_this_task = [self.result.sequence, self.origin].contains(&its.sequence);
        let cause = match (is_of_this_task, its.outcome) {
            (true, Outcome::Cancelled) => Cause::Cancelled,
            (true, _) => Cause::Twin,
            (false, _) => Cause::Repeated,
        };
        charge::unshown(&self.held, cause, &self.result, &its.earlier).await;
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
    async fn conclude(mut self, put: Put) {
        match &put {
            Put::Stored(place) => self.stored(*place),
            Put::Refused(found) => self.refused(found).await,
        }
        let Self { held, result, dead, state, .. } = &self;
        let records = &held.lane.host.records;
        let ended = match &put {
            Put::Stored(_) => result,
            Put::Refused(stored) => &stored.result,
        };
        let outcome = ended.outcome;
        let needless = [
            // Kept with a failure, which can be redriven.
            held.task.headers.payload.filter(|_| !ended.outcome.is_failure()),
            result.object.filter(|object| ended.object != Some(*object)),
        ];
        match &put {
            Put::Stored(_) => {
                if let Some(reply_to) = &held.task.headers.reply_to
                    && let Err(error) = records.results.forward(reply_to, result).await
                {
                    tracing::warn!(%error, "a result could not be sent to its reply subject");
                }
            }
            Put::Refused(_) if ended.sequence == result.sequence => {
                // A twin was faster, or the task was cancelled meanwhile. Its success makes the dead letter of this failure untrue.
                if outcome != Outcome::Cancelled {
                    held.lane.metrics.lost_lease();
                }
                if let Some(dead) = dead.as_ref().filter(|_| !outcome.is_failure()) {
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

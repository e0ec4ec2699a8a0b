//! Does what settlement decided, in the order that loses nothing: record first, then acknowledge; for a failure
//! the dead letter, then the result, then acknowledge.
//!
//! Every step can be repeated. A host that dies between two of them leaves a message that is delivered again, and
//! finds what was recorded before.

use std::future::Future;
use std::time::{Duration, Instant};

use rand::Rng as _;
use saggar_jetstream::{
    Children, DeadError, DeadLetters, DeadPut, Fault, Groups, ResultWriter, Results, States, Timers,
};
use saggar_model::{
    DeadLetter, Ending, EventKind, Failure, History, NAK_DELAY_MAX, PayloadName, Receipt, Settlement, Task,
    TaskRef, TaskResult, is_charged, settle,
};

use crate::charge;
use crate::children;
use crate::claim;
use crate::finish::Finishing;
use crate::lane::OpenLane;
use crate::lease::Lease;
use crate::recall::{Past, ticket};
use crate::tally::Tally;
use crate::unit::Held;

/// How long a record is tried to be written while NATS does not answer. Beyond it the task is left to whoever gets
/// it next: many minutes of an outage are bridged, and no task hangs for ever.
const PATIENCE: Duration = Duration::from_mins(5);

/// Between two tries: quick at first, so that a passing fault costs little.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// How often a full store of dead letters is tried again.
const FULL_RETRY: Duration = Duration::from_secs(5);

/// Where records are written.
#[derive(Clone)]
pub(crate) struct Records {
    pub(crate) results: Results,
    /// The way for all results that need no second try.
    pub(crate) writer: ResultWriter<Box<Finishing>>,
    pub(crate) dead: DeadLetters,
    pub(crate) states: States,
    pub(crate) timers: Timers,
    pub(crate) groups: Groups,
    pub(crate) tally: Tally,
    pub(crate) children: Children,
}

/// An attempt that has ended, or a task that could not be run.
pub(crate) struct Ended {
    pub(crate) held: Held,
    pub(crate) past: Past,
    pub(crate) ending: Ending,
    pub(crate) receipt: Receipt,
    /// Where the output lies, if it is too large for the result's message.
    pub(crate) object: Option<PayloadName>,
}

/// A record could not be written, so that the message must not be acknowledged.
pub(crate) struct Unsettled;

impl Ended {
    /// Sees to it that the task is settled. Does not wait for it: the guest's memory is free for the next task.
    pub(crate) async fn settle(self) {
        let asked = match &self.ending {
            Ending::Succeeded(_) => None,
            Ending::Failed(failure) => failure.retry_after,
        };
        let chance = rand::rng().random();
        let outcome = self.ending.outcome();
        let settlement = settle(outcome, asked, &self.past.history, &self.held.runner.spec.retry, chance);
        if settlement == Settlement::Finish {
            self.finishing(None).start().await;
        } else {
            let units = self.held.lane.host.units.clone();
            units.spawn(self.carry_out(settlement));
        }
    }

    async fn carry_out(self, settlement: Settlement) {
        match settlement {
            Settlement::Finish => self.finishing(None).insist().await,
            Settlement::DeadLetter => self.dead_letter().await,
            Settlement::Retry { after } => {
                let after = self.within_budget(after);
                if self.held.runner.spec.events {
                    self.publish_retrying(after);
                }
                if after > NAK_DELAY_MAX {
                    self.put_off(after).await;
                } else {
                    self.give_back(after).await;
                }
            }
            Settlement::GiveBack { after } => self.give_back(after.min(NAK_DELAY_MAX)).await,
        }
    }

    /// When the task is tried again: later than its policy says if too many others are, too.
    fn within_budget(&self, after: Duration) -> Duration {
        let Held { lane, runner, .. } = &self.held;
        if lane.retries.allow_another() {
            return after;
        }
        lane.metrics.retry_over_budget();
        after.max(runner.spec.retry.delay_over_budget(rand::rng().random()))
    }

    async fn dead_letter(self) {
        let Ending::Failed(failure) = &self.ending else { return self.finishing(None).insist().await };
        if !self.may_still_speak().await {
            return;
        }
        let letter = self.letter(failure);
        match self.put_dead(&letter).await {
            Ok(put) => self.finishing(Some(put)).insist().await,
            Err(unsettled) => self.held.report_unsettled(unsettled),
        }
    }

    fn letter(&self, failure: &Failure) -> DeadLetter {
        let delivery = &self.held.lease().delivery;
        DeadLetter::new(
            &self.held.reference(),
            self.held.sequence(),
            delivery.payload().clone(),
            delivery.headers(),
            failure,
            &self.receipt,
        )
    }

    /// Stores a dead letter; while there is no room the queue stops, and goes on by itself when there is.
    async fn put_dead(&self, letter: &DeadLetter) -> Result<DeadPut, Unsettled> {
        let Held { lane, task, .. } = &self.held;
        let dead = &lane.host.records.dead;
        loop {
            let put = persist("dead letter", DeadError::fault, is_full, || {
                dead.put(&task.tenant, &task.queue, &task.id, self.held.sequence(), letter)
            });
            match put.await {
                Ok(put) => {
                    lane.set_blocked(false);
                    return Ok(put);
                }
                Err(Some(DeadError::Full { .. })) => {
                    lane.set_blocked(true);
                    tokio::time::sleep(FULL_RETRY).await;
                }
                Err(_) => return Err(Unsettled),
            }
        }
    }

    /// The result to be stored. `dead` is the dead letter that was stored for it.
    fn finishing(self, dead: Option<DeadPut>) -> Finishing {
        let Self { held, past, ending, receipt, object } = self;
        let traceparent = held.task.headers.traceparent.clone();
        let result = TaskResult::new(held.reference(), held.sequence(), ending, receipt, traceparent)
            .with_parent(held.task.headers.parent.clone())
            .with_earlier(past.history.earlier);
        let result = TaskResult { object, ..result };
        Finishing { held, state: past.revision, origin: past.key, under_way: None, result, dead }
    }

    /// Writes what the task has been through, then gives it back.
    async fn give_back(self, after: Duration) {
        if !self.may_still_speak().await {
            return;
        }
        let Self { held, past, ending, receipt, .. } = self;
        let (lane, lease, outcome) = (&held.lane, held.lease(), ending.outcome());
        let history = past.history.after_run(outcome, lease.delivery.delivered(), &lane.host.name, &receipt);
        match give_back(lane, lease, &held.task, &past, history, after).await {
            Ok(()) if !is_charged(outcome) => charge::to_nobody(&held, &receipt).await,
            Ok(()) => {}
            Err(unsettled) => held.report_unsettled(unsettled),
        }
    }

    /// Whether the task is surely still this host's. If not, whoever has it now decides.
    pub(crate) async fn may_still_speak(&self) -> bool {
        let holds = self.held.lease().holds();
        if !holds {
            self.held.lane.metrics.lost_lease();
            tracing::warn!(task = %self.held.reference(), tenant = %self.held.task.tenant,
                "the task went to another host meanwhile; what happened here is discarded");
            charge::to_nobody(&self.held, &self.receipt).await;
        }
        holds
    }

    fn publish_retrying(&self, after: Duration) {
        let body = serde_json::json!({
            "attempt": self.receipt.attempt,
            "outcome": self.ending.outcome(),
            "after_ms": u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
        });
        self.held.lane.host.feed.publish(&self.held.task, EventKind::Retrying, body);
    }
}

/// Writes down what `task` has been through, unless somebody else has meanwhile.
pub(crate) async fn remember(
    lane: &OpenLane,
    task: &Task,
    past: &Past,
    history: History,
) -> Result<Past, Unsettled> {
    let states = &lane.host.records.states;
    let put = persist(
        "state",
        saggar_jetstream::StateError::fault,
        |_| false,
        || states.put(&task.tenant, &task.queue, past.key, &history, past.revision),
    );
    let revision = put.await.map_err(|_| Unsettled)?;
    Ok(Past { history, key: past.key, revision })
}

/// Writes down what `task` has been through, then gives its message back.
pub(crate) async fn give_back(
    lane: &OpenLane,
    lease: &Lease,
    task: &Task,
    past: &Past,
    history: History,
    after: Duration,
) -> Result<(), Unsettled> {
    remember(lane, task, past, history).await?;
    if let Err(error) = lease.delivery.nak(after).await {
        tracing::warn!(%error, "a task could not be given back; it will be delivered again by itself");
    }
    Ok(())
}

/// Makes sure that the dead letter of a stored failure exists, for a task that was delivered again, and that nothing
/// else is left of it.
pub(crate) async fn complete(
    lane: &OpenLane,
    lease: &Lease,
    task: &Task,
    stored: &TaskResult,
) -> Result<(), Unsettled> {
    if stored.outcome.is_failure() && stored.sequence == lease.delivery.stream_sequence() {
        let reason = stored.reason().unwrap_or_default();
        let failure = Failure::new(stored.outcome, &reason);
        let delivery = &lease.delivery;
        let letter = DeadLetter::new(
            &stored.task,
            stored.sequence,
            delivery.payload().clone(),
            delivery.headers(),
            &failure,
            &stored.receipt,
        );
        let dead = &lane.host.records.dead;
        let put = persist(
            "dead letter",
            DeadError::fault,
            |_| false,
            || dead.put(&task.tenant, &task.queue, &task.id, stored.sequence, &letter),
        );
        put.await.map_err(|_| Unsettled)?;
    } else if stored.sequence != lease.delivery.stream_sequence() {
        lane.metrics.repeated();
    }
    clear_checkpoint(lane, &stored.task).await;
    children::tell(lane, task, stored.outcome).await?;
    if let Some(payload) = &task.headers.payload
        && !stored.outcome.is_failure()
    {
        claim::forget(lane, payload).await;
    }
    lease.delivery.ack().await.map_err(|_| Unsettled)?;
    forget(lane, lease, task, stored).await;
    Ok(())
}

/// Removes where a finished task had come. What stays behind ends by itself.
pub(crate) async fn clear_checkpoint(lane: &OpenLane, task: &TaskRef) {
    if let Err(error) = lane.host.stores.checkpoints(&lane.tenant).clear(task).await {
        tracing::warn!(tenant = %lane.tenant, %task, %error, "the checkpoint of a finished task stays behind");
    }
}

/// Removes what a finished task has been through: the host that stored its result was lost before it could.
async fn forget(lane: &OpenLane, lease: &Lease, task: &Task, result: &TaskResult) {
    let states = &lane.host.records.states;
    let ticket = ticket(&lease.delivery);
    let key = ticket.as_ref().map_or(lease.delivery.stream_sequence(), |ticket| ticket.origin);
    let is_its = |history: &History| match (&ticket, &history.passage) {
        (None, _) => true,
        (Some(ticket), passage) => passage.as_ref().is_some_and(|passage| passage.secret == ticket.secret),
    };
    let removed = match states.get(&task.tenant, &task.queue, key).await {
        Ok(Some(stored)) if is_its(&stored.history) => match states.remove(stored.revision).await {
            Ok(true) => {
                let is_of_this_task = [lease.delivery.stream_sequence(), key].contains(&result.sequence);
                charge::left_over(lane, &stored.history.earlier, result, is_of_this_task).await;
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        },
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = removed {
        tracing::warn!(%error, "the state of a finished task stays behind");
    }
}

fn is_full(error: &DeadError) -> bool {
    matches!(error, DeadError::Full { .. })
}

/// Tries until it works, as long as trying again can help and patience lasts. `Err(None)`: patience is over.
pub(crate) async fn persist<T, E, F>(
    what: &'static str,
    fault: impl Fn(&E) -> Fault,
    is_final: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Option<E>>
where
    E: std::error::Error,
    F: Future<Output = Result<T, E>>,
{
    let start = Instant::now();
    let mut pause = RETRY_MIN;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if is_final(&error) => return Err(Some(error)),
            Err(error) if fault(&error) != Fault::Unavailable => {
                tracing::error!(%error, "a {what} cannot be written");
                return Err(Some(error));
            }
            Err(error) if start.elapsed() >= PATIENCE => {
                tracing::error!(%error, "a {what} could not be written in {PATIENCE:?}");
                return Err(None);
            }
            Err(error) => {
                tracing::warn!(%error, "a {what} could not be written; trying again in {pause:?}");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_MAX);
            }
        }
    }
}

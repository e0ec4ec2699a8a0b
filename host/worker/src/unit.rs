//! A task's life on this host: delivered, checked, run, settled.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use saggar_jetstream::Delivery;
use saggar_model::{
    Ending, EventKind, Failure, History, Incarnation, Invalid, Outcome, Passage, Receipt, Sequence,
    Suspicion, Task, TaskRef, trial, turn_after,
};
use saggar_sandbox::{Attempt, Plugin, Request, StopReason, Usage};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::claim::{self, Claimed};
use crate::contained::contained;
use crate::dispatch::Slot;
use crate::intake::{read, runnable};
use crate::lane::OpenLane;
use crate::later::{self, Resumed};
use crate::lease::{Lease, LeaseGuard};
use crate::limits::{KeyHold, KeyTurn, Turn as TurnOfKey};
use crate::meter::{Ran, metered};
use crate::metrics::SuspectFate;
use crate::recall::{self, Past, Recalled};
use crate::runner::Runner;
use crate::scheduler::Work;
use crate::settlement::{self, Ended, Unsettled};
use crate::suspects::Turn;
use crate::watcher::Watcher;

/// A delivered task, and what it occupies on this host until it is settled.
pub(crate) struct Held {
    pub(crate) lane: Arc<OpenLane>,
    pub(crate) runner: Arc<Runner>,
    pub(crate) task: Arc<Task>,
    guard: LeaseGuard,
    slot: Slot,
    /// Its place among the tasks of its key, if it has one.
    key: Option<KeyHold>,
    /// Of a suspect. It is the only one until it is acquitted or settled: the host can be lost until then.
    turn: Option<Turn>,
    /// A host that leaves waits for it.
    _counted: TaskTrackerToken,
}

impl Held {
    pub(crate) fn lease(&self) -> &Lease {
        &self.guard.lease
    }

    pub(crate) fn reference(&self) -> TaskRef {
        TaskRef { queue: self.task.queue.clone(), id: self.task.id.clone() }
    }

    /// It does not start here and now.
    pub(crate) fn not_started(&self) {
        self.slot.not_used();
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.lease().delivery.stream_sequence()
    }

    /// Says that a task is left to whoever gets it next.
    pub(crate) fn report_unsettled(&self, _: Unsettled) {
        let Task { tenant, queue, id, .. } = &*self.task;
        tracing::error!(%tenant, %queue, task = %id, "the task could not be settled; it will be delivered again");
    }
}

/// Lives the life of one delivered task, from here to the end of its run. Its settlement goes on by itself, and so
/// does the caller if the host panics over the task.
pub(crate) async fn live(lane: Arc<OpenLane>, runner: Arc<Runner>, delivery: Delivery, slot: Slot) {
    contained("the life of a task", live_on(lane, runner, delivery, slot)).await;
}

async fn live_on(lane: Arc<OpenLane>, runner: Arc<Runner>, delivery: Delivery, slot: Slot) {
    let guard = lane.host.leases.take(delivery);
    let counted = lane.host.units.token();
    let (task, invalid, recalled) = meet(&lane, &guard.lease, runner.spec.once).await;
    let runner = runner.of(&task);
    let held =
        Held { lane, runner, task: Arc::new(task), guard, slot, key: None, turn: None, _counted: counted };
    let (lane, lease, task) = (&held.lane, held.lease(), &*held.task);
    let done = match recalled {
        Ok(Recalled::Open(past)) => return begin(held, past, invalid).await,
        // Boxed, since these are rare and all tasks would keep room for them.
        Ok(Recalled::PutOff(past)) => match Box::pin(later::resume(lane, lease, task, past)).await {
            Ok(Resumed::Runs(past)) => return begin(held, past, invalid).await,
            Ok(Resumed::Waits) => Ok(()),
            Err(unsettled) => Err(unsettled),
        },
        Ok(Recalled::Settled(stored)) => Box::pin(settlement::complete(lane, lease, task, &stored)).await,
        Ok(Recalled::Superseded) => lease.delivery.ack().await.map_err(|_| Unsettled),
        Ok(Recalled::Stranger) | Err(Unsettled) => Err(Unsettled),
    };
    if let Err(unsettled) = done {
        held.report_unsettled(unsettled);
    }
}

/// The task in a message, what is wrong with it, and what is known of it.
async fn meet(
    lane: &OpenLane,
    lease: &Lease,
    once: bool,
) -> (Task, Option<Invalid>, Result<Recalled, Unsettled>) {
    let mut ticket = recall::ticket(&lease.delivery);
    // The result of a task that was cancelled on its way is there already.
    let cancelled = lane.host.cancelled.concerns(&lease.delivery);
    loop {
        let (task, invalid) = read(lane, lease, ticket.is_some());
        let look = cancelled || ((once || task.headers.once) && !task.id.is_made());
        match recall::recall(lane, lease, &task, look, ticket.as_ref()).await {
            // It is what it would be without its claim.
            Ok(Recalled::Stranger) if ticket.is_some() => ticket = None,
            recalled => return (task, invalid, recalled),
        }
    }
}

async fn begin(mut held: Held, past: Past, invalid: Option<Invalid>) {
    if held.runner.spec.key.is_some() && invalid.is_none() {
        // Boxed, since few queues have keys.
        match Box::pin(turn_of_key(&held, &past)).await {
            Some(KeyTurn::Now(hold)) => held.key = Some(hold),
            Some(KeyTurn::Later { after, booked }) => {
                return Box::pin(later::wait_for_turn(held, past, after, booked)).await;
            }
            None => {}
        }
    }
    match past.history.suspicion() {
        Suspicion::Clear => run_and_settle(held, past, invalid).await,
        // Boxed, since it is rare and all tasks would keep room for it.
        Suspicion::Suspect => Box::pin(run_alone_and_settle(held, past, invalid)).await,
        Suspicion::Guilty => {
            held.lane.metrics.suspect(SuspectFate::DeadLettered);
            run_and_settle(held, past, invalid).await;
        }
    }
}

/// When a task may start beside others of its key; nothing if it has none.
async fn turn_of_key(held: &Held, past: &Past) -> Option<KeyTurn> {
    let Held { lane, runner, .. } = held;
    let limits = runner.spec.key.as_ref()?;
    let mut headers = held.lease().delivery.headers();
    let (_, key) =
        headers.find(|(name, key)| name.eq_ignore_ascii_case(&limits.header) && !key.is_empty())?;
    let turn = TurnOfKey {
        key,
        limits,
        hosts: lane.host.fleet.count(),
        booked: past.history.is_booked(),
        takes: lane.pace.mean(),
        places: runner.spec.concurrency,
    };
    Some(lane.keys.turn(turn).await)
}

/// Runs a task that hosts were lost with, unless another one runs here. That it does is written down before: should
/// this host be lost as well, the next one knows.
async fn run_alone_and_settle(mut held: Held, past: Past, invalid: Option<Invalid>) {
    let Held { lane, task, .. } = &held;
    let (delivery, host) = (held.lease().delivery.delivered(), &lane.host.name);
    let Some(turn) = lane.host.suspects.turn().await else {
        lane.metrics.suspect(SuspectFate::GivenBack);
        let after = turn_after(rand::rng().random());
        let history = past.history.unrun(delivery, host);
        let given = settlement::give_back(lane, held.lease(), task, &past, history, after).await;
        return given.unwrap_or_else(|unsettled| held.report_unsettled(unsettled));
    };
    let history = past.history.alone(delivery, host);
    let past = match settlement::remember(lane, task, &past, history).await {
        Ok(past) => past,
        Err(unsettled) => return held.report_unsettled(unsettled),
    };
    let (Task { tenant, queue, id, .. }, History { losses, crashes, .. }) = (&**task, &past.history);
    tracing::warn!(%tenant, %queue, task = %id, losses, crashes,
        "hosts were lost with this task; it runs with no other such task beside it");
    lane.metrics.suspect(SuspectFate::Run);
    held.turn = Some(turn);
    run_and_settle(held, past, invalid).await;
}

/// Runs a suspect that has its turn. When it has run for as long as its trial the turn is over, and the run goes on.
async fn stand_trial(
    held: &Held,
    past: Past,
    turn: Turn,
    running: impl Future<Output = Ran<Attempt>>,
) -> (Ran<Attempt>, Past, Option<Turn>) {
    let mut running = pin!(running);
    tokio::select! {
        biased;
        ran = &mut running => return (ran, past, Some(turn)),
        () = tokio::time::sleep(trial(past.history.losses)) => {}
    }
    let acquitting = async move {
        let history = past.history.acquitted();
        match settlement::remember(&held.lane, &held.task, &past, history).await {
            Ok(past) => {
                drop(turn);
                (past, None)
            }
            // As long as it counts as the only suspect it has to be.
            Err(Unsettled) => (past, Some(turn)),
        }
    };
    let (ran, (past, turn)) = tokio::join!(running, acquitting);
    (ran, past, turn)
}

async fn run_and_settle(mut held: Held, mut past: Past, invalid: Option<Invalid>) {
    let mut turn = held.turn.take();
    // Boxed, since few tasks have their payload elsewhere.
    let claimed = match &held.task.headers.payload {
        Some(_) => Box::pin(claim::input(&mut held, &past, invalid.as_ref())).await,
        None => Claimed::Inline,
    };
    let (room, unclaimed) = match claimed {
        Claimed::Inline => (None, None),
        Claimed::Fetched(room) => (Some(room), None),
        Claimed::Refused(failure) => (None, Some(failure)),
        Claimed::Settled => return,
    };
    let Held { lane, runner, task, .. } = &held;
    let published = past.history.passage.as_ref().map(Passage::published);
    let published = published.unwrap_or_else(|| held.lease().delivery.published());
    let now = lane.host.nats.now();
    let queued = now.duration_since(published).unwrap_or_default();
    let receipt = |attempt, usage: Usage| Receipt {
        fuel: usage.fuel,
        peak_memory: usage.peak_memory,
        duration: usage.duration,
        cpu: usage.cpu,
        queued,
        attempt,
        plugin: Some(runner.plugin_id()),
        digest: runner.digest,
        host: lane.host.name.clone(),
        bytes_in: task.payload.len() as u64,
        bytes_out: usage.bytes_out,
        log_bytes: usage.log_bytes,
        host_calls: usage.host_calls,
    };
    let runnable = unclaimed.map_or_else(|| runnable(runner, task, &past.history, invalid, now), Err);
    let (ending, receipt) = match runnable {
        Err(failure) => (Ending::Failed(failure), receipt(past.history.attempts, Usage::default())),
        Ok(plugin) => {
            let attempt = past.history.next_attempt();
            lane.retries.started(attempt);
            // Pinned here, so that it is not moved into each of those that wrap it.
            let running = pin!(run(&held, plugin, attempt, past.key));
            let running = metered(running, |work| {
                held.slot.worked(work);
                lane.metrics.computed(work.computed);
            });
            let running = held.slot.run(running);
            let Ran { output: Attempt { ending, usage }, polls } = match turn {
                None => running.await,
                Some(its) => {
                    // Boxed for the same reason.
                    let (ran, now, left) = Box::pin(stand_trial(&held, past, its, running)).await;
                    (past, turn) = (now, left);
                    ran
                }
            };
            held.slot.worked(Work { fuel: usage.fuel, ..Work::default() });
            // Done at the first poll, it never waited for anything.
            if polls == 1 {
                lane.pace.computed(usage.duration, usage.fuel);
            } else {
                lane.pace.ran(usage.duration);
            }
            (as_it_was_told(&held, ending), receipt(attempt, usage))
        }
    };
    let (ending, object) = if claim::is_too_large(lane, &ending) {
        match Box::pin(claim::output(&held, ending)).await {
            Ok(stored) => stored,
            Err(unsettled) => return held.report_unsettled(unsettled),
        }
    } else {
        (ending, None)
    };
    lane.metrics.attempt(ending.outcome(), &receipt);
    if let Some(side) = runner.side {
        lane.metrics.tried(side, ending.outcome());
    }
    report(task, &ending, &receipt);
    held.turn = turn;
    if room.is_some() {
        claim::let_go(&mut held);
    }
    Ended { held, past, ending, receipt, object }.settle().await;
}

/// Gives a task back that was never started, because the host leaves or is too busy.
pub(crate) async fn give_back(lane: &OpenLane, delivery: Delivery) {
    contained("giving a task back", give_back_unrun(lane, delivery)).await;
}

async fn give_back_unrun(lane: &OpenLane, delivery: Delivery) {
    let guard = lane.host.leases.take(delivery);
    let lease = &*guard.lease;
    let (task, _, recalled) = meet(lane, lease, false).await;
    let past = match recalled {
        Ok(Recalled::Open(past) | Recalled::PutOff(past)) => past,
        // It is done with; whoever gets it next acknowledges it.
        Ok(Recalled::Settled(_) | Recalled::Superseded | Recalled::Stranger) => {
            let _ = lease.delivery.nak(Duration::ZERO).await;
            return;
        }
        Err(Unsettled) => return,
    };
    let history = past.history.unrun(lease.delivery.delivered(), &lane.host.name);
    // What cannot be written down is found out later: the delivery counts as one to a host that was lost.
    let _ = settlement::give_back(lane, lease, &task, &past, history, Duration::ZERO).await;
}

/// Runs an attempt. `origin` is the place of the task's first message.
async fn run(held: &Held, plugin: &Plugin, attempt: u32, origin: Sequence) -> Attempt {
    let Held { lane, runner, task, .. } = held;
    let (host, lease) = (&lane.host, &held.guard.lease);
    let watcher = Watcher::new(lane.clone(), lease.clone(), task, attempt, runner.granted.clone());
    if runner.spec.events {
        host.feed.publish(
            task,
            EventKind::Started,
            serde_json::json!({ "attempt": attempt, "host": host.name }),
        );
    }
    let limits = runner.spec.limits.tightened(task.headers.timeout);
    let granted = runner.granted.clone();
    let stream_created_ms = lane.source.stream_created_ms();
    let incarnation = Incarnation { stream_created_ms, sequence: origin };
    let request = Request { task: task.clone(), attempt, incarnation, limits, granted };
    let cancelled = async {
        lease.cancelled().await;
        tokio::time::sleep(Duration::from_millis(runner.spec.cancel_grace)).await;
    };
    let stop = async {
        tokio::select! {
            () = host.leaving_now.cancelled() => StopReason::Interrupted,
            () = cancelled => StopReason::Cancelled,
        }
    };
    host.sandbox.run(plugin, request, watcher, stop).await
}

/// A guest that gave up because it was told to did not fail: of a cancelled task nothing else counts, and one that heard
/// of a drain and asked for a retry did what it should.
fn as_it_was_told(held: &Held, ending: Ending) -> Ending {
    match ending {
        Ending::Failed(failure) if held.lease().is_cancelled() => {
            Ending::Failed(Failure { outcome: Outcome::Cancelled, ..failure })
        }
        Ending::Failed(failure)
            if failure.outcome == Outcome::Retried && held.lane.host.leaving.is_cancelled() =>
        {
            Ending::Failed(Failure { outcome: Outcome::Interrupted, ..failure })
        }
        other => other,
    }
}

fn report(task: &Task, ending: &Ending, receipt: &Receipt) {
    let Receipt { attempt, duration, fuel, .. } = receipt;
    let (tenant, queue, id) = (&task.tenant, &task.queue, &task.id);
    match ending {
        Ending::Succeeded(_) => {
            tracing::debug!(%tenant, %queue, task = %id, attempt, ?duration, fuel, "succeeded");
        }
        Ending::Failed(failure) if failure.outcome == Outcome::HostError => {
            let reason = &failure.reason;
            tracing::error!(%tenant, %queue, task = %id, attempt, reason, "host error");
        }
        Ending::Failed(failure) => {
            let (outcome, reason) = (failure.outcome.as_str(), &failure.reason);
            tracing::info!(%tenant, %queue, task = %id, attempt, outcome, reason, ?duration, "attempt failed");
        }
    }
}

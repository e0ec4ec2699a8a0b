//! A task's life on this host: delivered, checked, run, settled.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::SystemTime;

use futures::FutureExt as _;
use saggar_jetstream::Delivery;
use saggar_model::{Ending, EventKind, Failure, Invalid, Outcome, Receipt, Task, TaskHeaders, TaskId};
use saggar_sandbox::{Attempt, Plugin, Request, StopReason, Usage};

use crate::dispatch::PermitGuard;
use crate::lane::OpenLane;
use crate::lease::Lease;
use crate::runner::{Program, Runner};
use crate::settlement::{self, Ended, Past, Recalled, Unsettled};
use crate::watcher::Watcher;

/// Lives the life of one delivered task, from here to its settlement.
pub(crate) async fn live(lane: Arc<OpenLane>, runner: Arc<Runner>, delivery: Delivery, permit: PermitGuard) {
    let guard = lane.host.leases.take(delivery);
    let lease = &*guard.lease;
    let (task, invalid) = read(&lane, lease);
    if run_and_settle(&lane, &runner, lease, &task, invalid).await.is_err() {
        tracing::error!(tenant = %task.tenant, queue = %task.queue, task = %task.id,
            "the task could not be settled; it will be delivered again");
    }
    drop(guard);
    drop(permit);
}

async fn run_and_settle(
    lane: &Arc<OpenLane>,
    runner: &Runner,
    lease: &Lease,
    task: &Task,
    invalid: Option<Invalid>,
) -> Result<(), Unsettled> {
    let past = match settlement::recall(lane, lease, task, runner.spec.once).await? {
        Recalled::Settled(stored) => return settlement::complete(lane, lease, task, &stored).await,
        Recalled::Open(past) => past,
    };
    let queued = SystemTime::now().duration_since(lease.delivery.published()).unwrap_or_default();
    let receipt = |attempt, usage: Usage| Receipt {
        fuel: usage.fuel,
        peak_memory: usage.peak_memory,
        duration: usage.duration,
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
    let (ending, receipt) = match runnable(runner, task, invalid) {
        Err(failure) => (Ending::Failed(failure), receipt(past.history.attempts, Usage::default())),
        Ok(plugin) => {
            let attempt = past.history.next_attempt();
            let Attempt { ending, usage } = run(lane, runner, plugin, task, attempt).await;
            (uncounted_if_leaving(lane, ending), receipt(attempt, usage))
        }
    };
    lane.metrics.attempt(ending.outcome(), &receipt);
    report(task, &ending, &receipt);
    Ended { lane, runner, lease, task, past, ending, receipt }.settle().await
}

/// Gives a task back that was never started, because the host leaves or is too busy.
pub(crate) async fn give_back(lane: &OpenLane, delivery: Delivery) {
    let guard = lane.host.leases.take(delivery);
    let lease = &*guard.lease;
    let (task, _) = read(lane, lease);
    let past = match settlement::recall(lane, lease, &task, false).await {
        Ok(Recalled::Open(past)) => past,
        // It has a result; whoever gets it next acknowledges it.
        Ok(Recalled::Settled(_)) => Past::default(),
        Err(Unsettled) => return,
    };
    let after = std::time::Duration::ZERO;
    // What cannot be written down is found out later: the delivery counts as one to a host that was lost.
    let _ = settlement::give_back(lane, lease, &task, &past, Outcome::Interrupted, after).await;
}

/// The task in a message, and what is wrong with it, if anything. A task that cannot be understood still has a name.
fn read(lane: &OpenLane, lease: &Lease) -> (Task, Option<Invalid>) {
    let delivery = &lease.delivery;
    let made = || TaskId::from_sequence(lane.source.stream_created_ms(), delivery.stream_sequence());
    let (id, bad_id) = match lane.subjects.task_id(&lane.queue, delivery.subject()) {
        Ok(Some(id)) => (id, None),
        Ok(None) => (made(), None),
        Err(error) => (made(), Some(Invalid(error.to_string()))),
    };
    let (headers, bad_header) = match TaskHeaders::read(&lane.subjects, delivery.headers()) {
        Ok(headers) => (headers, None),
        Err(invalid) => (TaskHeaders::default(), Some(invalid)),
    };
    let payload = delivery.payload().clone();
    let task = Task { tenant: lane.tenant.clone(), queue: lane.queue.clone(), id, payload, headers };
    (task, bad_id.or(bad_header))
}

/// The plugin to run a task with, or why it is not run at all.
fn runnable<'a>(runner: &'a Runner, task: &Task, invalid: Option<Invalid>) -> Result<&'a Plugin, Failure> {
    if let Some(Invalid(reason)) = invalid {
        return Err(Failure::new(Outcome::Invalid, &reason));
    }
    if task.headers.has_expired(SystemTime::now()) {
        return Err(Failure::new(Outcome::Expired, "its deadline passed before it was started"));
    }
    match &runner.program {
        Program::Ready(plugin) => Ok(plugin),
        Program::Refused(reason) => {
            let plugin = &runner.spec.plugin;
            Err(Failure::new(Outcome::Invalid, &format!("plugin {plugin} cannot be run: {reason}")))
        }
    }
}

async fn run(lane: &Arc<OpenLane>, runner: &Runner, plugin: &Plugin, task: &Task, attempt: u32) -> Attempt {
    let host = &lane.host;
    let watcher = Watcher::new(host.feed.clone(), task, attempt, host.leaving.clone());
    if runner.spec.events {
        host.feed.publish(
            task,
            EventKind::Started,
            serde_json::json!({ "attempt": attempt, "host": host.name }),
        );
    }
    let limits = runner.spec.limits.tightened(task.headers.timeout);
    let request = Request { task: task.clone(), attempt, limits };
    let stop = async {
        host.leaving_now.cancelled().await;
        StopReason::Interrupted
    };
    // A fault of ours in one task must not take its neighbours' host away.
    let running = AssertUnwindSafe(host.sandbox.run(plugin, request, watcher, stop)).catch_unwind();
    running.await.unwrap_or_else(|_| Attempt {
        ending: Ending::Failed(Failure::new(Outcome::HostError, "the host panicked while it ran the task")),
        usage: Usage::default(),
    })
}

/// A guest that heard of the drain and asked for a retry did what it was asked to: that is no failed attempt.
fn uncounted_if_leaving(lane: &OpenLane, ending: Ending) -> Ending {
    match ending {
        Ending::Failed(failure)
            if failure.outcome == Outcome::Retried && lane.host.leaving.is_cancelled() =>
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
            tracing::error!(%tenant, %queue, task = %id, attempt, reason, "the host failed");
        }
        Ending::Failed(failure) => {
            let (outcome, reason) = (failure.outcome.as_str(), &failure.reason);
            tracing::info!(%tenant, %queue, task = %id, attempt, outcome, reason, ?duration, "attempt failed");
        }
    }
}

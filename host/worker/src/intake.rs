//! What a delivered message is: the task in it, and whether it can be run at all.

use std::time::SystemTime;

use saggar_model::{CRASHES_MAX, Failure, History, Invalid, Outcome, Suspicion, Task, TaskHeaders, TaskId};
use saggar_sandbox::Plugin;

use crate::lane::OpenLane;
use crate::lease::Lease;
use crate::runner::{Program, Runner};

/// The task in a message, and what is wrong with it, if anything. A task that cannot be understood still has a name.
/// One out of a timer may have a name that the host made.
pub(crate) fn read(lane: &OpenLane, lease: &Lease, from_timer: bool) -> (Task, Option<Invalid>) {
    let delivery = &lease.delivery;
    let made = || TaskId::from_sequence(lane.source.stream_created_ms(), delivery.stream_sequence());
    let (id, bad_id) = match lane.subjects.task_id(&lane.queue, delivery.subject()) {
        Ok(Some(id)) => (id, None),
        Ok(None) => (made(), None),
        Err(error) => match lane.subjects.made_id(&lane.queue, delivery.subject()) {
            Some(id) if from_timer => (id, None),
            _ => (made(), Some(Invalid(error.to_string()))),
        },
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
pub(crate) fn runnable<'a>(
    runner: &'a Runner,
    task: &Task,
    history: &History,
    invalid: Option<Invalid>,
    now: SystemTime,
) -> Result<&'a Plugin, Failure> {
    if history.suspicion() == Suspicion::Guilty {
        let reason = format!(
            "{CRASHES_MAX} hosts were lost while each ran this task with no other suspect beside it, so that no host \
             runs it again"
        );
        return Err(Failure::new(Outcome::HostError, &reason));
    }
    if let Some(Invalid(reason)) = invalid {
        return Err(Failure::new(Outcome::Invalid, &reason));
    }
    if task.headers.has_expired(now) {
        return Err(Failure::new(Outcome::Expired, "its deadline passed before it was started"));
    }
    match &runner.program {
        Program::Ready(plugin) => Ok(plugin),
        Program::Refused(reason) | Program::Untrusted(reason) => {
            let plugin = &runner.spec.plugin;
            Err(Failure::new(Outcome::Invalid, &format!("plugin {plugin} cannot be run: {reason}")))
        }
    }
}

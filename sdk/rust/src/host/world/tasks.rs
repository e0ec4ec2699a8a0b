//! `saggar:task/tasks` in our words.

use std::time::Duration;

use super::bindings::saggar::task::tasks;
use crate::tasks::{ChildResult, Ended, SubmitError, Task};

fn failed(error: tasks::SubmitError) -> SubmitError {
    match error {
        tasks::SubmitError::Denied(text) => SubmitError::Denied(text),
        tasks::SubmitError::Invalid(text) => SubmitError::Invalid(text),
        tasks::SubmitError::TooLarge(bytes) => SubmitError::TooLarge(bytes),
        tasks::SubmitError::NoQueue => SubmitError::NoQueue,
        tasks::SubmitError::QueueFull => SubmitError::QueueFull,
        tasks::SubmitError::TooDeep(depth) => SubmitError::TooDeep(depth),
        tasks::SubmitError::TooMany(what) => SubmitError::TooMany(what),
        tasks::SubmitError::Unavailable => SubmitError::Unavailable,
    }
}

/// Rounded up, so that nothing comes before its time and no limit is nothing.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

pub(crate) fn submit(task: Task, joins: Option<u32>) -> Result<String, SubmitError> {
    let Task { queue, payload, id, content_type, headers, delay, deadline, timeout, group } = task;
    let options = tasks::Options {
        id,
        content_type,
        headers,
        delay_ms: delay.map(millis),
        deadline_ms: deadline.map(millis),
        timeout_ms: timeout.map(millis),
        group,
    };
    match joins {
        None => tasks::submit(&queue, &payload, &options),
        Some(children) => tasks::join(&queue, &payload, &options, children),
    }
    .map_err(failed)
}

pub(crate) fn ended() -> Result<Vec<Ended>, SubmitError> {
    let ended = tasks::ended().map_err(failed)?;
    Ok(ended.into_iter().map(|child| Ended::new(child.task, child.outcome)).collect())
}

pub(crate) fn fetch_result(task: &str) -> Result<Option<ChildResult>, SubmitError> {
    let found = tasks::fetch_result(task).map_err(failed)?;
    Ok(found.map(|result| ChildResult::new(result.outcome, result.content_type, result.payload)))
}

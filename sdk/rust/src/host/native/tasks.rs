//! Stands in for the host's queues in a native build: what is submitted is kept for the test, and nobody runs it.

use super::ask;
use crate::tasks::{ChildResult, Ended, SubmitError, Task};
use crate::testing::Submitted;

const DENIED: &str = "denied: the queue has no grant `submit`; an operator gives it by `submit = [\"QUEUE\"]` under [queue.grants]";

pub(crate) fn submit(task: Task, joins: Option<u32>) -> Result<String, SubmitError> {
    ask(|context| {
        let submitted = context.submitted.as_ref().ok_or_else(|| SubmitError::Denied(DENIED.to_owned()))?;
        let mut submitted = submitted.borrow_mut();
        let Task { queue, payload, id, content_type, mut headers, delay, group, .. } = task;
        let id = id.unwrap_or_else(|| format!("child-{}", submitted.len() + 1));
        let name = format!("{queue}/{id}");
        if !submitted.iter().any(|known| known.task == name) {
            headers.extend(content_type.map(|value| ("Content-Type".to_owned(), value)));
            submitted.push(Submitted { task: name.clone(), payload, headers, delay, group, joins });
        }
        Ok(name)
    })
}

#[expect(clippy::unnecessary_wraps, reason = "a host may not answer")]
pub(crate) fn ended() -> Result<Vec<Ended>, SubmitError> {
    Ok(ask(|context| {
        context.ended.iter().map(|(task, result)| Ended::new(task.clone(), result.outcome.clone())).collect()
    }))
}

pub(crate) fn fetch_result(task: &str) -> Result<Option<ChildResult>, SubmitError> {
    let found = ask(|context| context.ended.get(task).cloned());
    found.map(Some).ok_or_else(|| SubmitError::Invalid("this task did not wait for that one".to_owned()))
}

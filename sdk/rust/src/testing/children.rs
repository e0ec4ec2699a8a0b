//! What a handler submits in a test, and what it waited for.

use std::time::Duration;

use super::Context;
use crate::tasks::ChildResult;

/// A task that the handler submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Submitted {
    /// Its name, `QUEUE/ID`. The id of one without is `child-` and a number.
    pub task: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Its headers, with `Content-Type`.
    pub headers: Vec<(String, String)>,
    /// How much later it is to run.
    pub delay: Option<Duration>,
    /// The task that waits for it.
    pub group: Option<String>,
    /// For how many others it waits.
    pub joins: Option<u32>,
}

impl Context {
    /// Takes the grant `submit` away, without which no task can be submitted.
    #[must_use]
    pub fn without_submit(mut self) -> Self {
        self.submitted = None;
        self
    }

    /// Adds a child that has ended, for a handler that waited for it.
    #[must_use]
    pub fn ended(
        mut self,
        task: impl Into<String>,
        outcome: impl Into<String>,
        payload: impl Into<Vec<u8>>,
    ) -> Self {
        let result = ChildResult::new(outcome.into(), "application/octet-stream".to_owned(), payload.into());
        self.ended.insert(task.into(), result);
        self
    }

    /// The tasks submitted so far, oldest first. Nobody runs them.
    #[must_use]
    pub fn submitted(&self) -> Vec<Submitted> {
        self.submitted.as_ref().map(|submitted| submitted.borrow().clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::{self, SubmitError, Task};

    #[test]
    fn what_is_submitted_is_kept_once_and_in_order() {
        let context = Context::new();
        context.run(|| {
            let waiting = Task::new("sum", "").join(2).unwrap();
            for _ in 0..2 {
                let part = Task::new("part", "a").id("1").content_type("text/plain").group(&waiting);
                assert_eq!(part.submit().as_deref(), Ok("part/1"));
            }
        });
        let [waiting, part] = &context.submitted()[..] else { panic!("there are two") };
        assert_eq!((waiting.joins, part.group.as_deref()), (Some(2), Some(&*waiting.task)));
        assert_eq!(part.headers, [("Content-Type".to_owned(), "text/plain".to_owned())]);
    }

    #[test]
    fn without_the_grant_nothing_is_submitted() {
        let denied = Context::new().without_submit().run(|| Task::new("part", "").submit());
        assert!(matches!(denied, Err(SubmitError::Denied(_))), "{denied:?}");
    }

    #[test]
    fn only_what_was_waited_for_has_a_result() {
        Context::new().ended("part/1", "succeeded", "7").run(|| {
            assert_eq!(tasks::ended().unwrap()[0].task, "part/1");
            assert_eq!(tasks::result("part/1").unwrap().unwrap().payload, b"7");
            assert!(tasks::result("part/2").is_err());
        });
    }
}

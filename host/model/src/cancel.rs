//! Cancelling a task, as it is asked for, answered and made known: subjects and documents that any client can use.

use serde::{Deserialize, Serialize};

use crate::{NameError, Outcome, QueueName, Subjects, TaskId, TaskRef, TenantName, control};

/// A request to cancel a task. Its subject says all; the payload is not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelRequest {
    /// Whose task it is.
    pub tenant: TenantName,
    /// The task.
    pub task: TaskRef,
}

impl CancelRequest {
    /// Where all of them are published.
    pub const SUBJECTS: &'static str = "saggar.*.control.cancel.*.*";

    /// Where it is published.
    #[must_use]
    pub fn subject(&self) -> String {
        control::subject("cancel", &self.tenant, &self.task)
    }

    /// Reads a request from its subject.
    ///
    /// # Errors
    /// It is none, or one of its names cannot be one.
    pub fn read(subject: &str) -> Result<Self, NameError> {
        let rule = "publish to saggar.<tenant>.control.cancel.<queue>.<task-id>";
        control::read("cancel", subject, rule).map(|(tenant, task)| Self { tenant, task })
    }
}

/// What became of a task that was to be cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelAnswer {
    /// The task, `QUEUE/ID`.
    pub task: String,
    /// Whose it is.
    pub tenant: TenantName,
    /// Where it was.
    pub was: Was,
    /// How it ended: `cancelled`, or earlier otherwise.
    pub outcome: Outcome,
}

/// Where a task was when it was to be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Was {
    /// It waited, and is gone.
    Queued,
    /// A host had it, or was to have it again; it is told.
    Running,
    /// It waited for its time, and is gone.
    Delayed,
    /// It had a result already, which stands.
    Ended,
}

/// What hosts tell each other: this task has been cancelled, whoever has it stops.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cancellation {
    /// Whose task it is.
    pub tenant: TenantName,
    /// Its queue.
    pub queue: QueueName,
    /// What it is called.
    pub id: TaskId,
    /// Its place in the tenant's stream.
    pub sequence: u64,
}

impl Cancellation {
    /// Where it is published. No tenant has this: theirs all begin with `saggar.`.
    pub const SUBJECT: &'static str = "saggar-hosts.cancelled";

    /// Whether it is about the message at this place of a stream, published to this subject. Messages of one id are
    /// one task.
    #[must_use]
    pub fn concerns(&self, subject: &str, sequence: u64) -> bool {
        let subjects = Subjects::of(&self.tenant);
        let of_queue = || {
            let rest = subject.strip_prefix(&subjects.task(&self.queue, None));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        subject == subjects.task(&self.queue, Some(&self.id)) || (sequence == self.sequence && of_queue())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_from_its_subject() {
        let request =
            CancelRequest { tenant: "acme".parse().unwrap(), task: "thumbnail/order-17".parse().unwrap() };
        assert_eq!(request.subject(), "saggar.acme.control.cancel.thumbnail.order-17");
        assert_eq!(CancelRequest::read(&request.subject()).unwrap(), request);
    }

    #[test]
    fn a_cancellation_concerns_the_tasks_of_its_id_and_the_message_at_its_place() {
        let [tenant, other] = ["acme", "other"].map(|tenant| tenant.parse::<TenantName>().unwrap());
        let (queue, id) = ("q".parse().unwrap(), "a".parse().unwrap());
        let cancellation = Cancellation { tenant, queue, id, sequence: 7 };
        assert!(cancellation.concerns("saggar.acme.task.q.a", 7));
        assert!(cancellation.concerns("saggar.acme.task.q.a", 8), "a second message of the id");
        assert!(cancellation.concerns("saggar.acme.task.q", 7), "a task without an id");
        assert!(cancellation.concerns("saggar.acme.task.q.*", 7), "a task with one that cannot be used");
        for (subject, sequence) in [
            ("saggar.acme.task.q", 8),
            ("saggar.acme.task.q.b", 8),
            ("saggar.acme.task.q2", 7),
            (&*format!("saggar.{other}.task.q.a"), 7),
        ] {
            assert!(!cancellation.concerns(subject, sequence), "{subject} {sequence}");
        }
    }

    #[test]
    fn what_names_no_task_is_no_request() {
        for subject in [
            "",
            "saggar.acme.control.cancel.thumbnail",
            "saggar.acme.control.cancel.thumbnail.a.b",
            "saggar.Acme.control.cancel.thumbnail.a",
            "saggar.acme.control.cancel.thumbnail.ä",
            "saggar.acme.control.pause.thumbnail.a",
        ] {
            assert!(CancelRequest::read(subject).is_err(), "{subject}");
        }
    }
}

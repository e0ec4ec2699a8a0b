//! Where a task is that has no result, as it is asked for and answered: documents that any client can use.
//!
//! Hosts answer it, as a tenant cannot see its tasks' stream: what hosts say to each other about a task stands there.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::{NameError, QueueName, TaskRef, TenantName, control, format_time, parse_time};

/// A request for the place of a task. Its subject says all; the payload is not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRequest {
    /// Whose task it is.
    pub tenant: TenantName,
    /// The task.
    pub task: TaskRef,
}

impl StateRequest {
    /// Where all of them are published.
    pub const SUBJECTS: &'static str = "saggar.*.control.state.*.*";

    /// Where it is published.
    #[must_use]
    pub fn subject(&self) -> String {
        control::subject("state", &self.tenant, &self.task)
    }

    /// Reads a request from its subject.
    ///
    /// # Errors
    /// It is none, or one of its names cannot be one.
    pub fn read(subject: &str) -> Result<Self, NameError> {
        let rule = "publish to saggar.<tenant>.control.state.<queue>.<task-id>";
        control::read("state", subject, rule).map(|(tenant, task)| Self { tenant, task })
    }
}

/// Where a task is that has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// It waits in its queue.
    Queued,
    /// A host has it, or it waits for its next attempt.
    Running,
    /// It waits for its time.
    Delayed,
}

impl Place {
    /// In the words of the documentation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Delayed => "delayed",
        }
    }
}

/// What is known of a task that has no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whereabouts {
    /// The task, `QUEUE/ID`.
    pub task: String,
    /// Whose it is.
    pub tenant: TenantName,
    /// Its queue.
    pub queue: QueueName,
    /// Where it is.
    pub state: Place,
    /// Bytes of its payload.
    pub bytes_in: u64,
    /// When it was published, unless it is delayed.
    #[serde(with = "rfc3339", default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<SystemTime>,
    /// When it is due, if it is delayed.
    #[serde(with = "rfc3339", default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<SystemTime>,
}

/// Times in documents.
mod rfc3339 {
    use serde::{Deserializer, Serializer};

    use super::{Deserialize as _, Serialize as _, SystemTime, format_time, parse_time};

    #[expect(clippy::ref_option, reason = "serde hands it so")]
    pub fn serialize<S: Serializer>(time: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
        time.map(format_time).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SystemTime>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        Ok(text.as_deref().and_then(parse_time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_from_its_subject_and_nothing_else_is_one() {
        let request =
            StateRequest { tenant: "acme".parse().unwrap(), task: "thumbnail/order-17".parse().unwrap() };
        assert_eq!(request.subject(), "saggar.acme.control.state.thumbnail.order-17");
        assert_eq!(StateRequest::read(&request.subject()).unwrap(), request);
        for subject in [
            "",
            "saggar.acme.control.cancel.q.a",
            "saggar.acme.control.state.q",
            "saggar.A.control.state.q.a",
        ] {
            assert!(StateRequest::read(subject).is_err(), "{subject}");
        }
    }

    #[test]
    fn whereabouts_read_back_as_they_are_documented() {
        let at = parse_time("2026-09-21T14:13:20Z");
        let known = Whereabouts {
            task: "q/a".to_owned(),
            tenant: "acme".parse().unwrap(),
            queue: "q".parse().unwrap(),
            state: Place::Delayed,
            bytes_in: 3,
            published_at: None,
            due_at: at,
        };
        let json = serde_json::to_value(&known).unwrap();
        assert_eq!((&json["state"], &json["published_at"]), (&"delayed".into(), &serde_json::Value::Null));
        assert!(json["due_at"].as_str().unwrap().starts_with("2026-09-21T14:13:20"), "{json}");
        assert_eq!(serde_json::from_value::<Whereabouts>(json).unwrap(), known);
    }
}

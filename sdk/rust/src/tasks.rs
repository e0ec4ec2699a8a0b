//! Tasks that a task submits: its children, in queues of its own tenant.
//!
//! The queue needs the grant `submit`, which names the queues that it may submit to. A child is submitted when the call
//! is made, not when the handler returns; another attempt that asks for the same finds what is there.
//!
//! ```
//! use saggar_plugin::tasks::Task;
//! use saggar_plugin::{Error, handler};
//!
//! /// Cuts a text into lines, has each counted, and lets `sum` run when all are.
//! #[handler]
//! fn split(text: String) -> Result<(), Error> {
//!     let lines: Vec<&str> = text.lines().collect();
//!     let sum = Task::new("sum", "").join(lines.len() as u32)?;
//!     for line in lines {
//!         Task::new("count", line).group(&sum).submit()?;
//!     }
//!     Ok(())
//! }
//!
//! # use saggar_plugin::testing::Context;
//! let context = Context::new();
//! context.call(split, "a b\nc").unwrap();
//! assert_eq!(context.submitted().len(), 3);
//! assert_eq!(context.submitted()[1].payload, b"a b");
//! ```
//!
//! The task that waits asks for what has ended, and for the results:
//!
//! ```
//! use saggar_plugin::{Error, handler, tasks};
//!
//! #[handler]
//! fn sum() -> Result<String, Error> {
//!     let mut words = 0;
//!     for child in tasks::ended()? {
//!         if let Some(result) = tasks::result(&child.task)? && child.outcome == "succeeded" {
//!             words += String::from_utf8_lossy(&result.payload).parse::<u32>()?;
//!         }
//!     }
//!     Ok(words.to_string())
//! }
//!
//! # use saggar_plugin::testing::Context;
//! let context = Context::new().ended("count/1", "succeeded", "2").ended("count/2", "rejected", "");
//! assert_eq!(context.call(sum, "").unwrap().payload, b"2");
//! ```
//!
//! A child without an id is named after this task and all that is asked for. What differs from attempt to attempt, a time
//! or a random number in the payload, makes another child of it each time: give such a child an [`id`](Task::id).

use std::fmt;
use std::time::Duration;

use crate::host;

/// A task to be submitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it is submitted by `submit` or `join`"]
pub struct Task {
    pub(crate) queue: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) id: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) delay: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) group: Option<String>,
}

impl Task {
    /// A task for a queue.
    pub fn new(queue: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self { queue: queue.into(), payload: payload.into(), ..Self::default() }
    }

    /// What it is to be called. One of that name that is queued or running, or whose result is kept, is that task.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The media type of its payload.
    pub fn content_type(mut self, media_type: impl Into<String>) -> Self {
        self.content_type = Some(media_type.into());
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// How much later it is to run, a year at most. For [`join`](Self::join): how long it waits at most.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// How long from now it may still be started.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Its wall limit, which only tightens its queue's.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The task that waits for it, as [`join`](Self::join) named it.
    pub fn group(mut self, waiting: impl Into<String>) -> Self {
        self.group = Some(waiting.into());
        self
    }

    /// Submits it, and gives its name, `QUEUE/ID`. When this returns it is stored.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub fn submit(self) -> Result<String, SubmitError> {
        host::submit(self, None)
    }

    /// Submits it to run when `children` others have ended, however they ended, and gives its name for their
    /// [`group`](Self::group). They are to be submitted after it. It waits without a place among the running tasks of its
    /// queue, for 24 hours at most unless [`delay`](Self::delay) says otherwise, and then runs with what has ended.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub fn join(self, children: u32) -> Result<String, SubmitError> {
        host::submit(self, Some(children))
    }
}

/// A child that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// Its name, `QUEUE/ID`.
    pub task: String,
    /// How it ended, for example `succeeded`.
    pub outcome: String,
}

/// The result of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildResult {
    /// How it ended, for example `succeeded`.
    pub outcome: String,
    /// The media type of the payload.
    pub content_type: String,
    /// What it returned; of a failure, its description as `application/problem+json`.
    pub payload: Vec<u8>,
}

impl Ended {
    pub(crate) fn new(task: String, outcome: String) -> Self {
        Self { task, outcome }
    }
}

impl ChildResult {
    pub(crate) fn new(outcome: String, content_type: String, payload: Vec<u8>) -> Self {
        Self { outcome, content_type, payload }
    }
}

/// In a task that was submitted with [`Task::join`]: the children that have ended, in the order of their names. In any
/// other none.
///
/// # Errors
/// [`SubmitError::Unavailable`].
pub fn ended() -> Result<Vec<Ended>, SubmitError> {
    host::ended()
}

/// The result of one of the children that have ended, named as [`ended`] names it; nothing if it is not kept any more.
///
/// # Errors
/// It is none of them, or [`SubmitError::Unavailable`].
pub fn result(task: &str) -> Result<Option<ChildResult>, SubmitError> {
    host::fetch_result(task)
}

/// Why a task was not submitted. As an [`Error`](crate::Error) it asks for another attempt, which submits nothing twice.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubmitError {
    /// The queue's grant `submit` does not name that queue; the text says what to ask the operator for.
    Denied(String),
    /// Something about it makes no sense; the text says what.
    Invalid(String),
    /// It is larger than a task may be: so many bytes, headers included.
    TooLarge(u64),
    /// The tenant has no such queue.
    NoQueue,
    /// The tenant's quota of queued or delayed tasks is used up.
    QueueFull,
    /// This task is so deep already that it may have no children.
    TooDeep(u32),
    /// This attempt has submitted as much as it may; the text says of what.
    TooMany(String),
    /// JetStream did not answer in time. The task may have been submitted all the same; asked for again it is not
    /// submitted twice.
    Unavailable,
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(text) | Self::Invalid(text) => f.write_str(text),
            Self::TooLarge(bytes) => write!(f, "a task of {bytes} bytes is larger than a task may be"),
            Self::NoQueue => f.write_str("the tenant has no such queue"),
            Self::QueueFull => f.write_str("the tenant's quota of queued or delayed tasks is used up"),
            Self::TooDeep(depth) => write!(f, "a task that is {depth} deep may have no children"),
            Self::TooMany(what) => write!(f, "an attempt may not submit more than {what}"),
            Self::Unavailable => {
                f.write_str("the task was perhaps not submitted: JetStream did not answer in time")
            }
        }
    }
}

impl std::error::Error for SubmitError {}

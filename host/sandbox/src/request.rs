//! What enters the sandbox and what leaves it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use saggar_model::{Ending, Incarnation, Limits, Task, TaskHeaders};

use crate::granted::Granted;

/// One attempt to be made.
#[derive(Debug, Clone)]
pub struct Request {
    /// The task, with its payload.
    pub task: Arc<Task>,
    /// The number of the counted attempt, from 1.
    pub attempt: u32,
    /// Which of all tasks of that name it is.
    pub incarnation: Incarnation,
    /// What the attempt may use.
    pub limits: Limits,
    /// What it may do beyond computing.
    pub granted: Arc<Granted>,
}

impl Request {
    /// A task of nobody's, outside any queue: tenant `local`, queue `run`, id `local`, default limits, no grant.
    ///
    /// # Panics
    /// Never: the names are valid.
    #[must_use]
    pub fn local(payload: Bytes) -> Self {
        let valid = "the names of a local task are valid";
        Self {
            task: Arc::new(Task {
                tenant: "local".parse().expect(valid),
                queue: "run".parse().expect(valid),
                id: "local".parse().expect(valid),
                payload,
                headers: TaskHeaders::default(),
            }),
            attempt: 1,
            incarnation: Incarnation::default(),
            limits: Limits::default(),
            granted: Arc::default(),
        }
    }
}

/// An attempt that has been made.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// How it ended.
    pub ending: Ending,
    /// What it used.
    pub usage: Usage,
}

/// What an attempt used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Fuel.
    pub fuel: u64,
    /// The most memory held at once, in bytes: all linear memories and tables together.
    pub peak_memory: u64,
    /// Wall time.
    pub duration: Duration,
    /// The part of it that the guest was computing, or being made ready to.
    pub cpu: Duration,
    /// Bytes of the payload.
    pub bytes_in: u64,
    /// Bytes of the output, 0 without one.
    pub bytes_out: u64,
    /// Bytes logged, kept or not.
    pub log_bytes: u64,
    /// Calls into the host.
    pub host_calls: u64,
}

/// Why an attempt is ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Someone cancelled the task.
    Cancelled,
    /// The host is leaving.
    Interrupted,
}

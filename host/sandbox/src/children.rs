//! Where the tasks go that a guest submits, as the sandbox asks the world outside for it. Whoever answers knows whose
//! task it is.

mod local;

use std::time::SystemTime;

use async_trait::async_trait;
use saggar_model::{Child, Group, SubmitError, TaskRef, TaskResult};

pub use local::LocalChildren;

/// The children of one task.
///
/// Every call ends within [`STORE_CALL_MAX`](saggar_model::STORE_CALL_MAX) or so; one that is dropped because its task
/// ended may have been done or not.
#[async_trait]
pub trait Children: Send + Sync {
    /// Submits a child. When this returns it is stored. One that is queued or running, or whose result is kept, is not
    /// submitted again.
    async fn submit(&self, child: &Child) -> Result<(), SubmitError>;

    /// What time it is where they go to. It decides whether a child may still be started.
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    /// The children that the task itself waited for; nothing if it waited for none.
    async fn group(&self) -> Result<Option<Group>, SubmitError>;

    /// The result of a task, if it is kept.
    async fn result(&self, task: &TaskRef) -> Result<Option<TaskResult>, SubmitError>;
}

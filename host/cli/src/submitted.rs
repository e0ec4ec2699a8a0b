//! What a task would submit that runs here, shown as it is submitted.

use async_trait::async_trait;
use owo_colors::{OwoColorize, Style};
use saggar_model::{Child, Group, SubmitError, TaskRef, TaskResult, format_bytes, format_duration};
use saggar_sandbox::{Children, LocalChildren};
use serde_json::json;

use crate::console::Console;

/// Says of each child that it would be submitted. Nobody runs it.
pub struct Shown {
    console: Console,
    children: LocalChildren,
}

impl Shown {
    /// Shows on this console what goes to these children.
    #[must_use]
    pub fn new(console: Console, children: LocalChildren) -> Self {
        Self { console, children }
    }
}

#[async_trait]
impl Children for Shown {
    async fn submit(&self, child: &Child) -> Result<(), SubmitError> {
        if !self.children.keep(child)? {
            return Ok(());
        }
        if self.console.is_json() {
            let after_ms = child.delay.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
            self.console.event(&json!({
                "event": "submitted", "task": child.task.to_string(), "bytes": child.payload.len(),
                "after_ms": after_ms, "joins": child.joins,
            }));
        } else {
            self.console.note(submitted(child).style(Style::new().dimmed()).to_string());
        }
        Ok(())
    }

    async fn group(&self) -> Result<Option<Group>, SubmitError> {
        self.children.group().await
    }

    async fn result(&self, task: &TaskRef) -> Result<Option<TaskResult>, SubmitError> {
        self.children.result(task).await
    }
}

fn submitted(child: &Child) -> String {
    let size = format_bytes(child.payload.len() as u64);
    let when = match (child.joins, child.delay) {
        (Some(children), _) => format!(", to run when {children} others have ended"),
        (None, Some(delay)) => format!(", to run in {}", format_duration(delay)),
        (None, None) => String::new(),
    };
    format!("would submit {} of {size}{when}", child.task)
}

//! `saggar:task/context`: what a guest may know about its task.

use std::time::Instant;

use super::bindings::saggar::task::context::Host;
use crate::state::State;

impl Host for State {
    fn task_id(&mut self) -> String {
        self.count_call();
        self.task.id.to_string()
    }

    fn tenant(&mut self) -> String {
        self.count_call();
        self.task.tenant.to_string()
    }

    fn queue(&mut self) -> String {
        self.count_call();
        self.task.queue.to_string()
    }

    fn attempt(&mut self) -> u32 {
        self.count_call();
        self.attempt
    }

    fn content_type(&mut self) -> Option<String> {
        self.count_call();
        self.task.headers.content_type.clone()
    }

    fn header(&mut self, name: String) -> Option<String> {
        self.count_call();
        let found = self.task.headers.visible.iter().find(|(header, _)| header.eq_ignore_ascii_case(&name));
        found.map(|(_, value)| value.clone())
    }

    fn headers(&mut self) -> Vec<(String, String)> {
        self.count_call();
        self.task.headers.visible.clone()
    }

    fn deadline_ms(&mut self) -> u64 {
        self.count_call();
        let left = self.deadline.saturating_duration_since(Instant::now());
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
    }
}

//! `saggar:task/context`: what a guest may know about its task.

use std::time::Instant;

use bytes::Bytes;

use super::bindings::saggar::task::context::Host;
use crate::crash::HostFault;
use crate::state::State;

impl Host for State {
    fn task_id(&mut self) -> String {
        self.charges.call();
        self.task.id.to_string()
    }

    fn tenant(&mut self) -> String {
        self.charges.call();
        self.task.tenant.to_string()
    }

    fn queue(&mut self) -> String {
        self.charges.call();
        self.task.queue.to_string()
    }

    fn attempt(&mut self) -> u32 {
        self.charges.call();
        self.attempt
    }

    fn content_type(&mut self) -> Option<String> {
        self.charges.call();
        self.task.headers.content_type.clone()
    }

    fn header(&mut self, name: String) -> Option<String> {
        self.charges.call();
        let found = self.task.headers.visible.iter().find(|(header, _)| header.eq_ignore_ascii_case(&name));
        let value = found.map(|(_, value)| value.clone());
        self.charges.bytes(name.len() + value.as_deref().map_or(0, str::len));
        value
    }

    fn headers(&mut self) -> Vec<(String, String)> {
        self.charges.call();
        let headers = self.task.headers.visible.clone();
        self.charges.bytes(headers.iter().map(|(name, value)| name.len() + value.len()).sum());
        headers
    }

    fn deadline_ms(&mut self) -> u64 {
        self.charges.call();
        let left = self.deadline.saturating_duration_since(Instant::now());
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
    }

    async fn checkpoint(&mut self) -> wasmtime::Result<Option<Vec<u8>>> {
        self.charges.call();
        self.charges.requests(1);
        let found = match (self.resumes_from.get(), self.services.checkpoint()) {
            (Some(found), _) => found.clone(),
            (None, None) => None,
            (None, Some(store)) => {
                let found = store.load().await;
                // A guest that is told of none begins anew, and would write over what it had.
                let found = found.map_err(|error| HostFault(format!("its checkpoint: {error}")))?;
                self.resumes_from.get_or_init(|| found).clone()
            }
        };
        self.charges.bytes(found.as_ref().map_or(0, Bytes::len));
        Ok(found.map(Vec::from))
    }
}

//! The services of a task that runs here, with a way out to the hosts that it is granted.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::Response;
use saggar_egress::Outbound;
use saggar_model::{Capability, HttpFailure};
use saggar_sandbox::{Blobs, Checkpoint, Children, HttpBody, HttpCall, KeyValue, LogLine, Services};

/// Whoever watches the task, and what sends its requests.
pub struct Networked {
    pub watcher: Arc<dyn Services>,
    pub outbound: Outbound,
}

impl Services for Networked {
    fn progress(&self, fraction: Option<f64>, message: &str) {
        self.watcher.progress(fraction, message);
    }

    fn log(&self, line: LogLine<'_>) {
        self.watcher.log(line);
    }

    fn cancelled(&self) -> bool {
        self.watcher.cancelled()
    }

    fn denied(&self, capability: Capability, target: &str) {
        self.watcher.denied(capability, target);
    }

    fn kv(&self) -> Option<Arc<dyn KeyValue>> {
        self.watcher.kv()
    }

    fn blobs(&self) -> Option<Arc<dyn Blobs>> {
        self.watcher.blobs()
    }

    fn checkpoint(&self) -> Option<Arc<dyn Checkpoint>> {
        self.watcher.checkpoint()
    }

    fn children(&self) -> Option<Arc<dyn Children>> {
        self.watcher.children()
    }

    fn http(&self, call: HttpCall) -> BoxFuture<'static, Result<Response<HttpBody>, HttpFailure>> {
        self.outbound.send(call.request, call.timeouts, call.deadline).boxed()
    }
}

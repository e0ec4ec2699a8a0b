//! What a running guest can say to the world: events for those who watch.
//!
//! A guest must not wait for a network, so that events pass through a bounded channel; when it is full they are
//! dropped, as everything is that nobody waits for.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::Response;
use saggar_egress::Outbound;
use saggar_jetstream::Events;
use saggar_model::{
    Capability, EventKind, HttpFailure, QueueName, Task, TaskId, TaskRef, TenantName, escape,
};
use saggar_sandbox::{
    Blobs, Checkpoint, Children, Granted, HttpBody, HttpCall, KeyValue, LogLine, LogSource, Services,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::children::TaskChildren;
use crate::lane::OpenLane;
use crate::lease::Lease;
use crate::metrics::Limit;
use crate::recall::ticket;
use crate::stores::{TaskCheckpoint, TenantBlobs, TenantKv};

/// Events on their way: enough for a burst of log lines, a few megabytes at the very most.
const ON_THEIR_WAY: usize = 1024;

struct Event {
    tenant: TenantName,
    queue: QueueName,
    task: TaskId,
    kind: EventKind,
    body: Value,
}

/// Takes events without waiting. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Feed(mpsc::Sender<Event>);

impl Feed {
    /// Starts passing events on, until the last feed is dropped.
    pub(crate) fn start(events: Events) -> Self {
        let (sender, mut inbox) = mpsc::channel::<Event>(ON_THEIR_WAY);
        tokio::spawn(async move {
            while let Some(Event { tenant, queue, task, kind, body }) = inbox.recv().await {
                events.publish(&tenant, &queue, &task, kind, &body).await;
            }
        });
        Self(sender)
    }

    /// Publishes an event of a task. Whether anybody listens, nobody knows.
    pub(crate) fn publish(&self, task: &Task, kind: EventKind, body: Value) {
        self.send(&task.tenant, &task.queue, &task.id, kind, body);
    }

    fn send(&self, tenant: &TenantName, queue: &QueueName, task: &TaskId, kind: EventKind, body: Value) {
        let (tenant, queue, task) = (tenant.clone(), queue.clone(), task.clone());
        let _ = self.0.try_send(Event { tenant, queue, task, kind, body });
    }
}

/// The services of one attempt.
pub(crate) struct Watcher {
    lane: Arc<OpenLane>,
    lease: Arc<Lease>,
    task: TaskId,
    attempt: u32,
    granted: Arc<Granted>,
    /// The requests of the attempt. Most have none.
    outbound: OnceLock<Outbound>,
    /// Messages were dropped.
    dropped: AtomicBool,
    /// A bit for each capability that was denied.
    denied: AtomicU8,
}

impl Watcher {
    pub(crate) fn new(
        lane: Arc<OpenLane>,
        lease: Arc<Lease>,
        task: &Task,
        attempt: u32,
        granted: Arc<Granted>,
    ) -> Arc<Self> {
        let (task, outbound, denied) = (task.id.clone(), OnceLock::new(), AtomicU8::new(0));
        Arc::new(Self {
            lane,
            lease,
            task,
            attempt,
            granted,
            outbound,
            dropped: AtomicBool::new(false),
            denied,
        })
    }

    fn publish(&self, kind: EventKind, body: Value) {
        let OpenLane { host, tenant, queue, .. } = &*self.lane;
        host.feed.send(tenant, queue, &self.task, kind, body);
    }
}

impl Watcher {
    fn publish_log(&self, source: &str, level: &str, context: &str, message: &str) {
        self.publish(
            EventKind::Log,
            json!({
                "attempt": self.attempt, "source": source, "level": level, "context": context, "message": message,
            }),
        );
    }
}

impl Services for Watcher {
    fn progress(&self, fraction: Option<f64>, message: &str) {
        let attempt = self.attempt;
        self.publish(
            EventKind::Progress,
            json!({ "attempt": attempt, "fraction": fraction, "message": message }),
        );
    }

    fn log(&self, line: LogLine<'_>) {
        let (source, level) = match line.source {
            LogSource::Log(level) => ("log", level.as_str()),
            LogSource::Stdout => ("stdout", "info"),
            LogSource::Stderr => ("stderr", "info"),
        };
        let LogLine { context, message, .. } = line;
        if self.lane.logs.passes(message.len() + context.len()) {
            self.publish_log(source, level, context, message);
        } else if !self.dropped.swap(true, Ordering::Relaxed) {
            self.lane.metrics.limited(Limit::Logs);
            self.publish_log(
                "log",
                "warn",
                "saggar",
                "messages are dropped from here on: logs_per_minute is used up",
            );
        }
    }

    fn cancelled(&self) -> bool {
        self.lane.host.leaving.is_cancelled() || self.lease.is_cancelled()
    }

    fn kv(&self) -> Option<Arc<dyn KeyValue>> {
        Some(Arc::new(TenantKv(self.lane.host.stores.kv(&self.lane.tenant))))
    }

    fn blobs(&self) -> Option<Arc<dyn Blobs>> {
        Some(Arc::new(TenantBlobs(self.lane.host.stores.blobs(&self.lane.tenant))))
    }

    fn checkpoint(&self) -> Option<Arc<dyn Checkpoint>> {
        let OpenLane { host, tenant, queue, .. } = &*self.lane;
        Some(Arc::new(TaskCheckpoint {
            store: host.stores.checkpoints(tenant),
            task: TaskRef { queue: queue.clone(), id: self.task.clone() },
            lease: self.lease.clone(),
        }))
    }

    fn children(&self) -> Option<Arc<dyn Children>> {
        let OpenLane { host, tenant, queue, .. } = &*self.lane;
        let delivery = &self.lease.delivery;
        Some(Arc::new(TaskChildren {
            children: host.records.children.clone(),
            tenant: tenant.clone(),
            parent: TaskRef { queue: queue.clone(), id: self.task.clone() },
            again: self.attempt > 1 || delivery.delivered() > 1 || ticket(delivery).is_some(),
        }))
    }

    fn http(&self, call: HttpCall) -> BoxFuture<'static, Result<Response<HttpBody>, HttpFailure>> {
        let outbound = self.outbound.get_or_init(|| {
            let OpenLane { host, tenant, .. } = &*self.lane;
            host.egress.outbound(tenant.clone(), self.granted.grants().http.clone())
        });
        outbound.send(call.request, call.timeouts, call.deadline).boxed()
    }

    fn denied(&self, capability: Capability, target: &str) {
        let OpenLane { tenant, queue, metrics, .. } = &*self.lane;
        metrics.denied(capability);
        // Once an attempt: a guest that tries a million times is to fill no log.
        let this = 1 << capability as u8;
        if self.denied.fetch_or(this, Ordering::Relaxed) & this == 0 {
            let target = escape(target);
            tracing::warn!(%tenant, %queue, task = %self.task, grant = %capability, target, "denied");
        }
    }
}

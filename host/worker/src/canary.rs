//! The version that a queue tries with some of its tasks, made ready beside the one it runs.
//!
//! It never stands in the way: until it is ready, and if it never is, its tasks are run by the other one.

use std::sync::Arc;
use std::time::Duration;

use saggar_model::{Canary, Digest, PluginRef, QueueName, QueueSpec, Task, TenantName};
use saggar_sandbox::Granted;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::metrics::Side;
use crate::runner::{Program, Runner, Workshop};

/// How long the queue's first task waits for it: one that is compiled is ready long before, and one that is not takes
/// longer than a queue should stand still.
const READY_AT_ONCE: Duration = Duration::from_millis(250);

/// Between two tries of something that failed.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What some of a queue's tasks run.
pub(crate) struct CanaryRunner {
    canary: Canary,
    ready: watch::Receiver<Option<Arc<Runner>>>,
    /// Ends with the settings that ask for it.
    _preparing: AbortOnDropHandle<()>,
}

/// What it is made of.
struct Preparing {
    workshop: Workshop,
    tenant: TenantName,
    queue: QueueName,
    digest: Digest,
    /// The queue's settings, bound to the canary's version.
    spec: QueueSpec,
    granted: Arc<Granted>,
    ready: watch::Sender<Option<Arc<Runner>>>,
}

impl CanaryRunner {
    /// Begins to make it ready, and waits a moment for it.
    pub(crate) async fn start(
        workshop: &Workshop,
        (tenant, queue): (&TenantName, &QueueName),
        spec: &QueueSpec,
        (canary, digest): (Canary, Digest),
        granted: &Arc<Granted>,
    ) -> Self {
        let (sender, mut ready) = watch::channel(None);
        let preparing = Preparing {
            workshop: workshop.clone(),
            tenant: tenant.clone(),
            queue: queue.clone(),
            digest,
            spec: QueueSpec { plugin: canary.plugin(&spec.plugin), canary: None, ..spec.clone() },
            granted: granted.clone(),
            ready: sender,
        };
        let preparing = AbortOnDropHandle::new(tokio::spawn(preparing.prepare()));
        // Whether it was ready in time is seen by each task.
        let _ = tokio::time::timeout(READY_AT_ONCE, ready.wait_for(Option::is_some)).await;
        Self { canary, ready, _preparing: preparing }
    }

    /// What runs this task, if it is the canary that does.
    pub(crate) fn of(&self, task: &Task) -> Option<Arc<Runner>> {
        let Task { tenant, queue, id, .. } = task;
        if self.canary.takes(tenant, queue, id) { self.ready.borrow().clone() } else { None }
    }
}

impl Preparing {
    async fn prepare(self) {
        let Self { workshop, tenant, queue, digest, spec, granted, ready } = self;
        let plugin: &PluginRef = &spec.plugin;
        let mut pause = RETRY_MIN;
        let program = loop {
            match workshop.program_of(&tenant, &queue, plugin, digest).await {
                Ok(Program::Ready(plugin)) => break Program::Ready(plugin),
                Ok(Program::Refused(reason)) => {
                    tracing::error!(%tenant, %queue, %plugin, reason, "the canary can never be run");
                    return;
                }
                Ok(Program::Untrusted(reason)) => {
                    tracing::error!(%tenant, %queue, %plugin, reason, "the canary is not run");
                    workshop.clone().wait_until_signed(tenant.clone(), plugin.clone(), digest).await;
                }
                Err(error) => {
                    tracing::warn!(%tenant, %queue, %plugin, %error, "the canary is not ready");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        };
        tracing::info!(%tenant, %queue, %plugin, %digest, "the canary is ready");
        let runner =
            Runner { digest: Some(digest), program, granted, canary: None, side: Some(Side::Canary), spec };
        // Whoever asked for it may be gone.
        let _ = ready.send(Some(Arc::new(runner)));
    }
}

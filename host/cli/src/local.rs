//! One attempt in this process, without NATS: what `run` and `test` share.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use saggar_model::{
    Ending, Failure as TaskFailure, Limits, Outcome, PluginId, Receipt, Subjects, TaskHeaders, TaskRef,
    TaskResult, TenantName,
};
use saggar_sandbox::{
    Attempt, Options, Plugin, PluginCache, Refused, Request, Sandbox, Services, StopReason, Usage,
};

use crate::cache_dir::cache_dir;
use crate::component::Component;
use crate::console::Console;
use crate::failure::{Failure, Kind};

/// The host that a local receipt names.
const HOST: &str = "local";

/// Runs tasks in this process.
pub struct Local {
    sandbox: Sandbox,
    cache: Option<PluginCache>,
}

/// A task to run here.
#[derive(Debug, Clone, Default)]
pub struct LocalTask {
    /// The plugin's input.
    pub payload: Bytes,
    /// The task's headers.
    pub headers: Vec<(String, String)>,
    /// What the attempt may use.
    pub limits: Limits,
}

impl Local {
    /// A sandbox for one task at a time, with the user's cache of compiled plugins if it can be used.
    ///
    /// # Errors
    /// This machine cannot run a sandbox.
    pub fn new(console: Console) -> Result<Self, Failure> {
        let sandbox = Sandbox::new(&Options { slots: 1, ..Options::default() })?;
        let directory = cache_dir(None, |name| std::env::var(name).ok());
        let cache = directory.and_then(|directory| match PluginCache::open(sandbox.clone(), &directory) {
            Ok(cache) => Some(cache),
            Err(error) => {
                console.warn(format!("{error}; going on without"));
                None
            }
        });
        Ok(Self { sandbox, cache })
    }

    /// Compiles a component, or finds it compiled.
    ///
    /// # Errors
    /// The component is refused.
    pub async fn prepare(&self, component: &Component) -> Result<Plugin, Failure> {
        let (sandbox, cache, wasm) = (self.sandbox.clone(), self.cache.clone(), component.wasm.clone());
        let prepared = tokio::task::spawn_blocking(move || -> Result<Plugin, Refused> {
            match cache {
                Some(cache) => cache.prepare(&wasm),
                None => sandbox.load(&sandbox.compile(&wasm)?),
            }
        });
        let prepared = prepared.await.map_err(|error| Failure::new(Kind::Internal, error))?;
        Ok(prepared?)
    }

    /// Makes one attempt. What is wrong with the task itself is the attempt's outcome, as on any host.
    pub async fn attempt(
        &self,
        plugin: &Plugin,
        name: Option<PluginId>,
        task: LocalTask,
        services: Arc<dyn Services>,
        stop: impl Future<Output = StopReason> + Send,
    ) -> TaskResult {
        let mut request = Request::local(task.payload);
        let identity = TaskRef { queue: request.task.queue.clone(), id: request.task.id.clone() };
        let subjects = Subjects::of(&request.task.tenant);
        let headers = task.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let attempt = match TaskHeaders::read(&subjects, headers) {
            Err(invalid) => refused(Outcome::Invalid, &invalid.to_string()),
            Ok(headers) if headers.has_expired(SystemTime::now()) => {
                refused(Outcome::Expired, "the deadline passed before the task started")
            }
            Ok(headers) => {
                request.limits = task.limits.tightened(headers.timeout);
                Arc::make_mut(&mut request.task).headers = headers;
                self.sandbox.run(plugin, request, services, stop).await
            }
        };
        let receipt = receipt(&attempt.usage, plugin, name);
        TaskResult::new(identity, 0, attempt.ending, receipt, None)
    }
}

/// The tenant that a local task belongs to.
#[must_use]
pub fn tenant() -> TenantName {
    Request::local(Bytes::new()).task.tenant.clone()
}

fn refused(outcome: Outcome, reason: &str) -> Attempt {
    Attempt { ending: Ending::Failed(TaskFailure::new(outcome, reason)), usage: Usage::default() }
}

fn receipt(usage: &Usage, plugin: &Plugin, name: Option<PluginId>) -> Receipt {
    let Usage { fuel, peak_memory, duration, bytes_in, bytes_out, log_bytes, host_calls } = *usage;
    Receipt {
        fuel,
        peak_memory,
        duration,
        queued: Duration::ZERO,
        attempt: 1,
        plugin: name,
        digest: Some(plugin.digest()),
        host: HOST.to_owned(),
        bytes_in,
        bytes_out,
        log_bytes,
        host_calls,
    }
}

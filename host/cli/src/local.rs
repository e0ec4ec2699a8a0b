//! One attempt in this process, without NATS: what `run` and `test` share.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use saggar_egress::{Egress, EgressOptions};
use saggar_model::config::WorkerConfig;
use saggar_model::{
    Ending, Failure as TaskFailure, Limits, Outcome, PluginId, Receipt, Subjects, TaskHeaders, TaskRef,
    TaskResult, TenantName, format_bytes,
};
use saggar_sandbox::{
    Attempt, Compiler, Granted, Options, Plugin, PluginCache, Request, Sandbox, Services, StopReason, Usage,
};

use crate::cache_dir::cache_dir;
use crate::component::Component;
use crate::console::Console;
use crate::failure::Failure;
use crate::networked::Networked;

/// The host that a local receipt names.
const HOST: &str = "local";

/// How often one hears of a component that takes long to compile.
const NEWS: Duration = Duration::from_secs(5);

/// Runs tasks in this process.
pub struct Local {
    sandbox: Sandbox,
    cache: PluginCache,
    egress: Egress,
    console: Console,
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
    /// What it may do beyond computing.
    pub granted: Arc<Granted>,
}

impl Local {
    /// A sandbox for one task at a time, with the user's cache of compiled plugins if it can be used.
    ///
    /// # Errors
    /// This machine cannot run a sandbox.
    pub fn new(console: Console) -> Result<Self, Failure> {
        let sandbox = Sandbox::new(&Options { slots: 1, ..Options::default() })?;
        let compiler = compiler()?;
        let opened = cache_dir(None, |name| std::env::var(name).ok()).map(|directory| {
            PluginCache::open(sandbox.clone(), compiler.clone(), &directory, WorkerConfig::CACHE_SIZE_DEFAULT)
        });
        let cache = match opened {
            Some(Ok(cache)) => cache,
            Some(Err(error)) => {
                console.warn(format!("{error}; going on without"));
                PluginCache::none(sandbox.clone(), compiler)
            }
            None => PluginCache::none(sandbox.clone(), compiler),
        };
        Ok(Self { sandbox, cache, egress: Egress::new(EgressOptions::default()), console })
    }

    /// Compiles a component, or finds it compiled.
    ///
    /// # Errors
    /// The component is refused.
    pub async fn prepare(&self, component: &Component) -> Result<Plugin, Failure> {
        let mut preparing = pin!(self.cache.prepare(component.wasm.clone()));
        let begun = Instant::now();
        loop {
            if let Ok(prepared) = tokio::time::timeout(NEWS, &mut preparing).await {
                return Ok(prepared?);
            }
            let (size, took) = (format_bytes(component.inspection.size), begun.elapsed().as_secs());
            self.console.note(format!("still compiling {size}, for {took} s so far"));
        }
    }

    /// Makes one attempt. What is wrong with the task itself is the attempt's outcome, as on any host.
    pub async fn attempt(
        &self,
        plugin: &Plugin,
        name: Option<PluginId>,
        task: LocalTask,
        watcher: Arc<dyn Services>,
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
                let tenant = request.task.tenant.clone();
                let outbound = self.egress.outbound(tenant, task.granted.grants().http.clone());
                request.granted = task.granted;
                Arc::make_mut(&mut request.task).headers = headers;
                let services = Arc::new(Networked { watcher, outbound });
                self.sandbox.run(plugin, request, services, stop).await
            }
        };
        let receipt = receipt(&attempt.usage, plugin, name);
        TaskResult::new(identity, 0, attempt.ending, receipt, None)
    }
}

/// What compiles the components of others: this program as a child.
///
/// # Errors
/// The system does not say where the program is.
pub fn compiler() -> Result<Compiler, Failure> {
    Ok(Compiler::new()?)
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
    let Usage { fuel, peak_memory, duration, cpu, bytes_in, bytes_out, log_bytes, host_calls } = *usage;
    Receipt {
        fuel,
        peak_memory,
        duration,
        cpu,
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

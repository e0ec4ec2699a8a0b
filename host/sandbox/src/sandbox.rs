//! The engine and what is linked into it: made once per process.

use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::component::{Compiled, Plugin, Refused};
use crate::inspect::inspect_for;
use crate::request::{Attempt, Request, StopReason};
use crate::services::Services;
use crate::settings::{COMPILED_BY, Options, config};
use crate::state::State;
use crate::{attempt, interfaces};

/// The engine could not be made on this machine.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox cannot start: {0}")]
pub struct SandboxError(String);

/// Runs attempts. Cheap to clone; all clones share one pool.
#[derive(Clone)]
pub struct Sandbox {
    engine: Engine,
    linker: Arc<Linker<State>>,
    max_memory: u64,
}

impl Sandbox {
    /// Reserves the pool and links the interfaces.
    ///
    /// # Errors
    /// The machine cannot reserve the address space, or the processor is not supported.
    pub fn new(options: &Options) -> Result<Self, SandboxError> {
        let failed = |error: wasmtime::Error| SandboxError(format!("{error:#}"));
        let engine = Engine::new(&config(options).map_err(failed)?).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        interfaces::link(&mut linker).map_err(failed)?;
        Ok(Self { engine, linker: Arc::new(linker), max_memory: options.max_memory })
    }

    /// Compiles a component in this process, without limits: for components that are one's own. Those of others go
    /// to a [`Compiler`](crate::Compiler).
    ///
    /// Takes a tenth of a second for a small Rust plugin and many seconds for a language runtime, and occupies the
    /// calling thread and the compiler's pool meanwhile.
    ///
    /// # Errors
    /// The component is refused.
    pub fn compile(&self, wasm: &[u8]) -> Result<Compiled, Refused> {
        let digest = inspect_for(wasm, self.max_memory)?.digest;
        let code =
            self.engine.precompile_component(wasm).map_err(|error| Refused::Broken(format!("{error:#}")))?;
        Ok(Compiled { digest, code })
    }

    /// Loads and links a compiled component.
    ///
    /// # Errors
    /// The component imports something that no host has, or exports a handler of another shape.
    pub fn load(&self, compiled: &Compiled) -> Result<Plugin, Refused> {
        // SAFETY: `Compiled` is made by `compile` above, by a compile process of this same program, or by the cache
        // after it verified its own authentication code over these very bytes, so that they are what this engine's
        // compiler wrote.
        #[expect(unsafe_code, reason = "loading compiled code runs it; this is the one place")]
        let component = unsafe { Component::deserialize(&self.engine, &compiled.code) };
        let component = component.map_err(|error| Refused::Broken(format!("{error:#}")))?;
        let pre = self
            .linker
            .instantiate_pre(&component)
            .map_err(|error| Refused::Unlinkable(format!("{error:#}")))?;
        Plugin::new(compiled.digest, pre)
    }

    /// Makes one attempt. Whatever the guest does, the answer is an [`Attempt`], also where the host panics over it;
    /// `stop` ends it early.
    pub async fn run(
        &self,
        plugin: &Plugin,
        request: Request,
        services: Arc<dyn Services>,
        stop: impl Future<Output = StopReason> + Send,
    ) -> Attempt {
        // A fault of ours that one guest comes upon must not take its neighbours' host away. Nothing of the attempt
        // is looked at again: its store and its instance are dropped.
        let attempt = attempt::run(&self.engine, plugin, request, services, stop);
        AssertUnwindSafe(attempt).catch_unwind().await.unwrap_or_else(|panic| attempt::panicked(&*panic))
    }

    /// A number that differs whenever compiled code must not be shared: another release, other settings, another
    /// processor.
    pub(crate) fn compatibility(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        COMPILED_BY.hash(&mut hasher);
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }
}

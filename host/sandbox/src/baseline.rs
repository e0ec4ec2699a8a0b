//! The least wasmtime does for an attempt with the same settings: instantiate, call, and no more.
//!
//! It is the limit that a benchmark holds the sandbox against. Engine, pool, fuel and calls are those of the
//! sandbox, and the guest can call the same interfaces; but nothing limits its memory or its time, nothing it says is
//! kept, and nothing is counted but its fuel. Nobody should run a guest like this that is not their own.

use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::interfaces;
use crate::interfaces::bindings::PluginPre;
use crate::interfaces::bindings::saggar::task::{context, progress};
use crate::interfaces::bindings::wasi::logging::logging;
use crate::settings::{Options, config};

/// What went wrong with a guest without a sandbox around it.
#[derive(Debug, thiserror::Error)]
#[error("the bare guest failed: {0}")]
pub struct BareError(String);

/// Whether a guest's fuel is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metering {
    /// As in the sandbox.
    On,
    /// The guest's code does not count: what it would be without a limit of fuel, and without turns for others.
    Off,
}

/// One component, ready to be called without a sandbox around it.
pub struct Bare {
    engine: Engine,
    plugin: PluginPre<Least>,
    metering: Metering,
}

/// The least a guest of these interfaces needs: they answer, and nothing more.
struct Least {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl Bare {
    /// Makes an engine and a pool of its own, and compiles the component for it.
    ///
    /// # Errors
    /// The engine cannot be made here, or the component is none that it could run.
    pub fn new(options: &Options, metering: Metering, wasm: &[u8]) -> Result<Self, BareError> {
        Self::make(options, metering, wasm).map_err(failed)
    }

    fn make(options: &Options, metering: Metering, wasm: &[u8]) -> wasmtime::Result<Self> {
        let mut config = config(options)?;
        config.consume_fuel(metering == Metering::On);
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        interfaces::add_to_linker(&mut linker)?;
        let plugin = PluginPre::new(linker.instantiate_pre(&Component::new(&engine, wasm)?)?)?;
        Ok(Self { engine, plugin, metering })
    }

    /// Makes an instance, calls its handler once with `fuel` to spend, and gives what it returns.
    ///
    /// # Errors
    /// It traps, runs out of fuel, or returns an error.
    pub async fn call(&self, payload: &[u8], fuel: u64) -> Result<Vec<u8>, BareError> {
        let least = Least { wasi: WasiCtx::builder().build(), table: ResourceTable::new() };
        let mut store = Store::new(&self.engine, least);
        if self.metering == Metering::On {
            store.set_fuel(fuel).map_err(failed)?;
        }
        let instance = self.plugin.instantiate_async(&mut store).await.map_err(failed)?;
        let returned =
            instance.saggar_task_handler().call_handle(&mut store, payload).await.map_err(failed)?;
        returned.map(|output| output.payload).map_err(|error| BareError(error.reason))
    }
}

fn failed(error: wasmtime::Error) -> BareError {
    BareError(format!("{error:#}"))
}

impl WasiView for Least {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl context::Host for Least {
    fn task_id(&mut self) -> String {
        String::new()
    }

    fn tenant(&mut self) -> String {
        String::new()
    }

    fn queue(&mut self) -> String {
        String::new()
    }

    fn attempt(&mut self) -> u32 {
        1
    }

    fn content_type(&mut self) -> Option<String> {
        None
    }

    fn header(&mut self, _name: String) -> Option<String> {
        None
    }

    fn headers(&mut self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn deadline_ms(&mut self) -> u64 {
        u64::MAX
    }

    async fn checkpoint(&mut self) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(None)
    }
}

impl progress::Host for Least {
    fn report(&mut self, _fraction: f64, _message: String) {}

    fn cancelled(&mut self) -> bool {
        false
    }

    async fn save_checkpoint(&mut self, _state: Vec<u8>) -> Result<(), progress::CheckpointError> {
        Ok(())
    }
}

impl logging::Host for Least {
    fn log(&mut self, _level: logging::Level, _context: String, _message: String) {}
}

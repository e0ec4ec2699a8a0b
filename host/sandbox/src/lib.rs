//! Runs one task in one WebAssembly sandbox, under hard limits of fuel, memory, wall time, output and log.
//!
//! Each attempt gets a fresh store and instance from a pre-linked, pooled image and leaves nothing behind. What
//! enters is plain data ([`Request`]) and one trait of host services ([`Services`]); what leaves is plain data
//! ([`Attempt`]). The crate knows nothing of queues or retries, and it is the only one that imports
//! wasmtime, so that the sandbox can move into a process of its own without a change to its callers.
//!
//! ```
//! use std::{future, sync::Arc};
//! use saggar_sandbox::{Options, Request, Sandbox, Silent};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/target/wasm32-wasip2/release/hello.wasm");
//! let wasm = std::fs::read(path).map_err(|_| "run `make guests` first")?;
//!
//! let sandbox = Sandbox::new(&Options::default())?;
//! let plugin = sandbox.load(&sandbox.compile(&wasm)?)?;
//! let request = Request::local(r#"{"name":"Ada"}"#.into());
//! let attempt = sandbox.run(&plugin, request, Arc::new(Silent), future::pending()).await;
//!
//! assert_eq!(attempt.ending.outcome(), saggar_model::Outcome::Succeeded);
//! println!("{} fuel, {} bytes", attempt.usage.fuel, attempt.usage.peak_memory);
//! # Ok(())
//! # }
//! ```

mod adapt;
mod attempt;
mod baseline;
mod cache;
mod charge;
mod children;
mod clock;
mod compile_process;
mod compiler;
mod component;
mod computing;
mod confinement;
mod crash;
mod granted;
mod inspect;
mod interfaces;
mod journal;
mod memory;
mod redact;
mod request;
mod sandbox;
mod services;
mod settings;
mod state;
mod stdio;
mod storage;
mod store;
mod structure;
mod verdict;
mod world;

pub use adapt::{Adapted, adapt};
pub use baseline::{Bare, BareError, Metering};
pub use cache::{PluginCache, Prepared};
pub use children::{Children, LocalChildren};
pub use compile_process::{COMPILE_COMMAND, compile_standard_input};
pub use compiler::{CompileError, Compiler};
pub use component::{Compiled, Plugin, Refused};
pub use granted::Granted;
pub use inspect::{Inspection, inspect};
pub use request::{Attempt, Request, StopReason, Usage};
pub use sandbox::{Sandbox, SandboxError};
pub use services::{HttpBody, HttpCall, LogLevel, LogLine, LogSource, Services, Silent};
pub use settings::{Options, PageScan};
pub use storage::{Blobs, Checkpoint, Download, KeyValue, LocalStores, Upload};
pub use store::{CacheError, CacheStats};
pub use structure::Excess;
pub use world::World;

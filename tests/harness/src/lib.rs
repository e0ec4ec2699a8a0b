//! What the end-to-end tests and the demo stand on: processes that end with the test, waits that end by themselves,
//! and the guests they run.
//!
//! Failures panic with what was awaited and what the process had said, for that is what a test's reader needs.

pub mod children;
mod eventually;
pub mod foreign;
pub mod generated;
pub mod guests;
mod lines;
mod oneshot;
mod process;
pub mod stores;

pub use eventually::{eventually, now_or_panic};
pub use oneshot::{Finished, run};
pub use process::{SaggarProcess, SpawnOptions};
pub use saggar_jetstream::local_server::{LocalServer, StartOptions};

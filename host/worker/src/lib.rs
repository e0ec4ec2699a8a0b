//! A worker host: who runs next, a task's life from delivery to settlement, keep-alive, and drain.
//!
//! Data flows one way: a [lane](lane) pulls what the [scheduler] lets it start, a [unit] runs each task in the
//! sandbox and settles it, and nothing is remembered afterwards. Hosts keep no state: whatever matters when this
//! process dies is in JetStream already.

pub mod scheduler;
mod host;
mod roster;
mod leader;
mod dispatch;
mod lane;
mod runner;
mod unit;
mod settlement;
mod lease;
mod watcher;
mod metrics;

pub use host::{Drained, Host, HostError, HostOptions};
pub use metrics::Metrics;

//! A worker host: who runs next, a task's life from delivery to settlement, keep-alive, and drain.
//!
//! Data flows one way: a [lane](lane) pulls what the [scheduler] lets it start, a [unit] runs each task in the
//! sandbox and settles it, and nothing is remembered afterwards. Hosts keep no state: whatever matters when this
//! process dies is in JetStream already.

mod batch;
mod bookkeeper;
mod books;
mod canary;
mod cancel;
mod charge;
mod children;
mod claim;
mod contained;
mod dispatch;
mod fetches;
mod finish;
mod groups;
mod hands;
mod hearing;
mod host;
mod intake;
mod lane;
mod later;
mod leader;
mod lease;
mod ledger;
mod limits;
mod mend;
mod meter;
mod metrics;
mod pace;
mod payload_requests;
mod payload_sweep;
mod precedence;
mod pulse;
mod pump;
mod recall;
mod retries;
mod roster;
mod runner;
pub mod scheduler;
mod schedules;
mod settlement;
mod stores;
mod suspects;
mod tally;
mod task_requests;
mod turns;
mod unit;
mod vault;
mod watchdog;
mod watcher;
mod work;

pub use host::{Drained, Host, HostError, HostOptions};
pub use metrics::Metrics;

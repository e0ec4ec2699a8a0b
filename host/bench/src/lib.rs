//! Measures this machine: what a task costs here, beside what it would cost without Saggar.
//!
//! Every figure of ours stands beside its limit, measured in the same run by turns, so that the ratio says something
//! on any machine. Nothing is remembered from another run, and nothing of the safety is switched off.

mod alone;
mod bench;
mod components;
mod drained;
mod figure;
mod machine;
mod pace;
mod process;
mod rows;
mod samples;
mod scale;
mod stage;
mod turns;
mod worker;

pub use bench::{BenchError, Options, Report, run};
pub use components::Components;
pub use figure::{Cell, Figure, Goal, Row, Unit};
pub use machine::Machine;
pub use rows::NAMES;
pub use samples::Pairs;
pub use scale::Scale;

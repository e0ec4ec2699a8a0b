//! Hostile plugins, each with what must become of it.
//!
//! Every attack is a small program that any tenant could push, beside the outcome it must have. [`check`] runs one
//! against a sandbox and looks at everything it must leave alone: the limits it ran under, the memory of the host,
//! and a neighbour. The programs are written in WebAssembly's text format and made into components when they are
//! needed, so that an operator's own binary can prove the machine it runs on.

mod attack;
mod attacks;
mod check;
mod component;
mod every_call;
mod host_memory;
mod imports;
mod program;

pub use attack::{Attack, Expected, Guest};
pub use attacks::all;
pub use check::{Checked, Checker};
pub use component::BuildError;
pub use every_call::{EveryCall, every_call};
pub use program::around_handler;

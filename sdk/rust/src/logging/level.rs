//! How much a message matters.

/// How much a message matters, least first: the levels of `wasi:logging`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Single steps, of use only while hunting a fault.
    Trace,
    /// Facts that explain a decision.
    Debug,
    /// What the task did.
    Info,
    /// Something unexpected that the task could work around.
    Warn,
    /// Something that made part of the work fail.
    Error,
    /// Something that makes the rest of the work pointless. Neither `log` nor `tracing` has it.
    Critical,
}

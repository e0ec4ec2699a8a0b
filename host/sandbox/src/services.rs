//! What the world outside gives to a running guest: one trait, plain data, no promise that it waits.

use std::fmt;

use saggar_model::Capability;

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Single steps.
    Trace,
    /// Facts that explain a decision.
    Debug,
    /// What the task did.
    Info,
    /// Something the task worked around.
    Warn,
    /// Something made part of the work fail.
    Error,
    /// The rest of the work is pointless.
    Critical,
}

impl LogLevel {
    /// The name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a log line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSource {
    /// A call of `wasi:logging`.
    Log(LogLevel),
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line that a guest wrote, as it wrote it: hostile text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// Where it comes from.
    pub source: LogSource,
    /// The part of the plugin that speaks; empty for standard output and error.
    pub context: &'a str,
    /// The text, without its line break.
    pub message: &'a str,
}

/// The host's side of a running guest. Calls come from the task that runs the guest, so that they must not block.
pub trait Services: Send + Sync + 'static {
    /// The guest says how far it is: `fraction` from 0 to 1 or nothing, `message` at most 1 KiB. At most once a
    /// second, and once more at the end.
    fn progress(&self, fraction: Option<f64>, message: &str);

    /// The guest wrote a line, within its log limit.
    fn log(&self, line: LogLine<'_>);

    /// Whether the host would like the attempt to end.
    fn cancelled(&self) -> bool;

    /// The guest tried what was not granted. `target` is what it wanted it for: hostile text of at most 256 bytes,
    /// without secrets.
    fn denied(&self, capability: Capability, target: &str);
}

/// Nobody listens and nobody cancels.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Services for Silent {
    fn progress(&self, _fraction: Option<f64>, _message: &str) {}

    fn log(&self, _line: LogLine<'_>) {}

    fn cancelled(&self) -> bool {
        false
    }

    fn denied(&self, _capability: Capability, _target: &str) {}
}

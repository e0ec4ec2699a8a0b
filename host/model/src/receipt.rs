//! What an attempt cost.

use std::fmt;
use std::time::Duration;

use crate::{Digest, PluginName, PluginVersion};

/// The account of one attempt, part of every result and dead letter.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Receipt {
    /// Fuel spent by the guest.
    pub fuel: u64,
    /// The most memory the guest held at once, in bytes: all linear memories and tables together.
    pub peak_memory: u64,
    /// Wall time of the attempt.
    pub duration: Duration,
    /// The part of it that the guest was computing, or being made ready to.
    pub cpu: Duration,
    /// Time between publishing and the start of this attempt.
    pub queued: Duration,
    /// The counted attempt, from 1; 0 if the task never ran.
    pub attempt: u32,
    /// The plugin that ran.
    pub plugin: Option<PluginId>,
    /// The component that ran.
    pub digest: Option<Digest>,
    /// The host it ran on.
    pub host: String,
    /// Bytes of the task's payload.
    pub bytes_in: u64,
    /// Bytes of the output.
    pub bytes_out: u64,
    /// Bytes of log messages, standard output and standard error that the guest wrote, kept or not.
    pub log_bytes: u64,
    /// Calls of the guest into the host that Saggar's own interfaces answered.
    pub host_calls: u64,
}

/// A plugin as results name it: `name@version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginId {
    /// The name within the tenant.
    pub name: PluginName,
    /// The version, absent where the queue is bound to a digest.
    pub version: Option<PluginVersion>,
}

impl fmt::Display for PluginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}@{version}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}

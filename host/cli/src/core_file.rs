//! A host that crashes leaves no picture of its memory behind: secrets and payloads of all its tenants are in there.

use rustix::process::{Resource, Rlimit, setrlimit};

/// What Linux writes of a process into a core file, also where that goes to a program: nothing.
const FILTER: (&str, &str) = ("/proc/self/coredump_filter", "0");

/// Keeps this process and its children from being written to core files.
pub fn forbid() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "a crash of this host may leave a core file with secrets in it");
    }
    let (file, filter) = FILTER;
    // Only Linux has it, and there the limit alone does not hold for programs that take core files.
    if let Err(error) = std::fs::write(file, filter) {
        tracing::debug!(%error, file, "not set");
    }
}

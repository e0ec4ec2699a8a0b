//! The memory of this process, and the most of it that there was for a while.

use std::fs;

/// What the process held at one moment, from which on its peak is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HostMemory {
    resident: u64,
}

impl HostMemory {
    /// What it holds now.
    pub(crate) fn now() -> Self {
        /// Makes the kernel forget the peak.
        const FORGET_PEAK: &str = "5";
        // Where that is not to be had, the peak of all time is what counts: too much, never too little.
        let _ = fs::write("/proc/self/clear_refs", FORGET_PEAK);
        Self { resident: field("VmRSS:") }
    }

    /// How many bytes more it has held since.
    pub(crate) fn grown_at_most(self) -> u64 {
        field("VmHWM:").saturating_sub(self.resident)
    }
}

/// A field of the process's status, in bytes; 0 where there is none.
fn field(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_held_only_for_a_moment_counts() {
        let memory = HostMemory::now();
        drop(std::hint::black_box(vec![1_u8; 64 << 20]));
        let grown = memory.grown_at_most();
        assert!(grown > 60 << 20, "{grown}");
        assert!(HostMemory::now().grown_at_most() < 60 << 20, "the next begins anew");
    }
}

//! What was measured on: figures of two machines are not to be compared.

use rustix::system::uname;
use serde::Serialize;

use crate::process::kilobytes;

/// A machine, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Threads that can run at once.
    pub cores: usize,
    /// Memory in bytes.
    pub memory: u64,
    /// Release of the kernel.
    pub kernel: String,
    /// Release of nats-server; nothing if no row needed one.
    pub nats_server: Option<String>,
    /// Release of Saggar.
    pub saggar: &'static str,
}

impl Machine {
    /// This machine.
    pub(crate) fn this(nats_server: Option<String>) -> Self {
        let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            processor: field(&processors, "model name").unwrap_or("unknown").to_owned(),
            cores: cores(),
            memory: kilobytes(&memory, "MemTotal") << 10,
            kernel: uname().release().to_string_lossy().into_owned(),
            nats_server,
            saggar: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// Threads that can run at once.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The first value of a name in lines of `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_name() {
        let text = "processor\t: 0\nmodel name\t: Fast One\nMemTotal:       24 kB\n";
        assert_eq!(field(text, "model name"), Some("Fast One"));
        assert_eq!(field(text, "MemTotal"), Some("24 kB"));
        assert_eq!(field(text, "absent"), None);
    }
}

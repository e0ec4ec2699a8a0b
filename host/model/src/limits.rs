//! The limits of an attempt, their defaults, and the most that a host lets a queue ask for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What one attempt may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Guest work, in units of fuel; roughly one per executed instruction.
    pub fuel: u64,
    /// All linear memories and tables together, in bytes.
    pub memory: u64,
    /// Wall time.
    #[serde(with = "milliseconds")]
    pub timeout: Duration,
    /// Bytes of output.
    pub output: u64,
    /// Bytes kept of log messages, standard output and standard error together.
    pub log: u64,
    /// Bytes that one call into the host, or the handler's return, may carry over the wall.
    pub host_call: u64,
    /// Handles, streams and timers that are open at once.
    pub resources: u64,
}

impl Limits {
    /// Five billion: some seconds of work, long before an endless loop becomes a nuisance.
    pub const FUEL_DEFAULT: u64 = 5_000_000_000;
    /// Enough to decode a photograph or start a language runtime.
    pub const MEMORY_DEFAULT: u64 = 128 * MIB;
    /// Long for a web call, short for a hung one.
    pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
    /// What fits beside its headers into one message of a server with default settings (1 MiB).
    pub const OUTPUT_DEFAULT: u64 = 768 * KIB;
    /// Some thousand lines.
    pub const LOG_DEFAULT: u64 = 256 * KIB;
    /// More than any message holds, and no burden to copy.
    pub const HOST_CALL_DEFAULT: u64 = 16 * MIB;
    /// What a program has open that closes what it no longer needs.
    pub const RESOURCES_DEFAULT: u64 = 1024;

    /// The wall limit of a task whose publisher asked for a shorter one. A longer one changes nothing.
    #[must_use]
    pub fn tightened(self, timeout: Option<Duration>) -> Self {
        Self { timeout: timeout.map_or(self.timeout, |asked| asked.min(self.timeout)), ..self }
    }

    /// Bytes that may cross the wall in one host call, the handler's return value included: at least 1 MiB more
    /// than the output, so that an output over its limit is recognised as such and not as a trap.
    #[must_use]
    pub fn host_call_bytes(&self) -> u64 {
        self.host_call.max(self.output.saturating_add(MIB))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: Self::FUEL_DEFAULT,
            memory: Self::MEMORY_DEFAULT,
            timeout: Self::TIMEOUT_DEFAULT,
            output: Self::OUTPUT_DEFAULT,
            log: Self::LOG_DEFAULT,
            host_call: Self::HOST_CALL_DEFAULT,
            resources: Self::RESOURCES_DEFAULT,
        }
    }
}

/// The most that a queue may set, by the host's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceilings(pub Limits);

impl Default for Ceilings {
    fn default() -> Self {
        Self(Limits {
            fuel: 1_000_000_000_000,
            memory: 4 * GIB,
            timeout: Duration::from_hours(24),
            output: 64 * MIB,
            log: 16 * MIB,
            host_call: 256 * MIB,
            resources: 65_536,
        })
    }
}

impl Ceilings {
    /// The limits as this host serves them: none above its ceiling.
    #[must_use]
    pub fn lowered(&self, limits: &Limits) -> Limits {
        Limits {
            fuel: limits.fuel.min(self.0.fuel),
            memory: limits.memory.min(self.0.memory),
            timeout: limits.timeout.min(self.0.timeout),
            output: limits.output.min(self.0.output),
            log: limits.log.min(self.0.log),
            host_call: limits.host_call.min(self.0.host_call),
            resources: limits.resources.min(self.0.resources),
        }
    }

    /// What is wrong with `limits`, one sentence per field; nothing if all of them can be served.
    #[must_use]
    pub fn objections(&self, limits: &Limits) -> Vec<(&'static str, String)> {
        let mut objections = Vec::new();
        let mut check = |key, value: u64, most: u64, show: fn(u64) -> String| {
            if value == 0 {
                objections.push((key, "must be more than 0".to_owned()));
            } else if value > most {
                objections.push((
                    key,
                    format!("is {}, more than the host's maximum of {}", show(value), show(most)),
                ));
            }
        };
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        check("fuel", limits.fuel, self.0.fuel, |fuel| fuel.to_string());
        check("memory", limits.memory, self.0.memory, crate::format_bytes);
        check("timeout", millis(limits.timeout), millis(self.0.timeout), |ms| {
            crate::format_duration(Duration::from_millis(ms))
        });
        check("output", limits.output, self.0.output, crate::format_bytes);
        check("log", limits.log, self.0.log, crate::format_bytes);
        check("host_call", limits.host_call, self.0.host_call, crate::format_bytes);
        check("resources", limits.resources, self.0.resources, |resources| resources.to_string());
        objections
    }
}

mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publisher_can_only_tighten_the_wall_limit() {
        let limits = Limits::default();
        assert_eq!(limits.tightened(None), limits);
        assert_eq!(limits.tightened(Some(Duration::from_secs(1))).timeout, Duration::from_secs(1));
        assert_eq!(limits.tightened(Some(Duration::from_hours(1))).timeout, Limits::TIMEOUT_DEFAULT);
    }

    #[test]
    fn a_limit_of_zero_or_above_the_ceiling_is_named() {
        let ceilings = Ceilings::default();
        assert!(ceilings.objections(&Limits::default()).is_empty());
        let keys = |limits| ceilings.objections(&limits).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(keys(Limits { fuel: 0, ..Limits::default() }), ["fuel"]);
        assert_eq!(
            keys(Limits { memory: 5 * GIB, output: 65 * MIB, ..Limits::default() }),
            ["memory", "output"]
        );
        assert_eq!(keys(Limits { timeout: Duration::from_hours(25), ..Limits::default() }), ["timeout"]);
        assert_eq!(
            keys(Limits { host_call: 257 * MIB, resources: 65_537, ..Limits::default() }),
            ["host_call", "resources"]
        );
    }

    #[test]
    fn a_host_serves_no_limit_above_its_ceiling() {
        let ceilings = Ceilings(Limits { fuel: 10, ..Ceilings::default().0 });
        let lowered = ceilings.lowered(&Limits::default());
        assert_eq!(lowered, Limits { fuel: 10, ..Limits::default() });
    }

    #[test]
    fn an_output_of_any_allowed_size_fits_through_the_wall() {
        for output in [1, Limits::OUTPUT_DEFAULT, 64 * MIB] {
            let limits = Limits { output, ..Limits::default() };
            assert!(limits.host_call_bytes() >= output + MIB);
        }
    }

    #[test]
    fn limits_stored_by_an_older_host_read_with_defaults() {
        let limits: Limits = serde_json::from_str(r#"{"fuel": 5, "timeout": 1500}"#).unwrap();
        assert_eq!(limits, Limits { fuel: 5, timeout: Duration::from_millis(1500), ..Limits::default() });
    }
}

//! How much a tenant, a queue or one of a queue's keys may start and spend, over all hosts together.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::header::{belongs_to_nats, belongs_to_saggar};

/// So many in a time: `10/s`, `600/min`, `50/h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    count: u32,
    period: Period,
}

/// What a rate counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Period {
    Second,
    Minute,
    Hour,
}

impl Period {
    const ALL: [Self; 3] = [Self::Second, Self::Minute, Self::Hour];

    fn as_str(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "min",
            Self::Hour => "h",
        }
    }

    fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 60 * 60,
        }
    }
}

/// Why a text is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no rate: write a whole number from 1 to {} and a time, such as `10/s`, `600/min` or `50/h`",
    Rate::MAX
)]
pub struct NoRate;

impl Rate {
    /// The most a rate may say: more than any host starts.
    pub const MAX: u32 = 1_000_000;

    /// How many in a second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        f64::from(self.count) / f64::from(self.period.seconds())
    }

    /// What may start at once where nothing else is said: what a second allows, at least one.
    #[must_use]
    pub fn usual_burst(self) -> u32 {
        (self.count / self.period.seconds()).max(1)
    }
}

impl FromStr for Rate {
    type Err = NoRate;

    fn from_str(text: &str) -> Result<Self, NoRate> {
        let (count, period) = text.split_once('/').ok_or(NoRate)?;
        let count = count.trim().replace('_', "").parse().map_err(|_| NoRate)?;
        let period = Period::ALL.into_iter().find(|known| known.as_str() == period.trim()).ok_or(NoRate)?;
        if (1..=Self::MAX).contains(&count) { Ok(Self { count, period }) } else { Err(NoRate) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.period.as_str())
    }
}

impl TryFrom<String> for Rate {
    type Error = NoRate;

    fn try_from(text: String) -> Result<Self, NoRate> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

/// How often something may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// On average.
    pub rate: Rate,
    /// At once, after a quiet time.
    pub burst: u32,
}

impl RateLimit {
    /// The largest burst.
    pub const BURST_MAX: u32 = 1_000_000;
}

/// What a tenant may start and spend, in all its queues and on all hosts together. What is absent has no limit but the
/// hosts'. Whoever is at a limit waits; nothing is refused or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Allowance {
    /// Tasks at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Starts of tasks.
    #[serde(flatten)]
    pub rate: Option<RateLimit>,
    /// Units of fuel in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel_per_minute: Option<u64>,
    /// Time on processors in a day, from midnight to midnight UTC, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_per_day: Option<u64>,
    /// Bytes of log messages that are passed on in a minute. What exceeds it is dropped, and that is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs_per_minute: Option<u64>,
}

impl Allowance {
    /// Less fuel than this in a minute would not start a guest a second.
    pub const FUEL_MIN: u64 = 1_000_000;
    /// Less time than this in a day nobody would notice.
    pub const CPU_MIN: std::time::Duration = std::time::Duration::from_secs(1);
    /// Below this a single long line would never fit.
    pub const LOGS_MIN: u64 = 64 << 10;

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

/// What the tasks of one key may do: those whose header has the same value, such as one customer of the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLimits {
    /// The header that names the key. A task without it has none, and no such limits.
    pub header: String,
    /// Tasks of a key at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Starts of a key's tasks.
    #[serde(flatten)]
    pub rate: Option<RateLimit>,
}

impl KeyLimits {
    /// The longest name of a header.
    pub const HEADER_MAX_BYTES: usize = 64;

    /// What is wrong with the header's name, if anything.
    #[must_use]
    pub fn header_objection(&self) -> Option<String> {
        let header = &self.header;
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if header.is_empty() || header.len() > Self::HEADER_MAX_BYTES || !header.bytes().all(inner) {
            let most = Self::HEADER_MAX_BYTES;
            return Some(format!("is no header's name: use 1 to {most} letters, digits, `-` and `_`"));
        }
        let is_ours = belongs_to_nats(header) || belongs_to_saggar(header);
        is_ours.then(|| format!("`{header}` belongs to the message system"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_reads_back() {
        for (text, per_second, burst) in [("10/s", 10.0, 10), ("600/min", 10.0, 10), ("90/h", 0.025, 1)] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.to_string().as_str(), rate.usual_burst()), (text, burst));
            assert!((rate.per_second() - per_second).abs() < 1e-9);
            let json = serde_json::to_string(&rate).unwrap();
            assert_eq!(serde_json::from_str::<Rate>(&json).unwrap(), rate);
        }
        assert_eq!("1_000 / s".parse::<Rate>().unwrap().to_string(), "1000/s");
    }

    #[test]
    fn what_is_no_rate_is_refused_with_examples() {
        for text in ["", "10", "/s", "0/s", "-1/s", "1.5/s", "10/sec", "10/d", "1000001/s", "10/s/s"] {
            let refused = text.parse::<Rate>().unwrap_err().to_string();
            assert!(refused.contains("`10/s`"), "{text}: {refused}");
        }
    }

    #[test]
    fn a_header_that_names_keys_is_the_publishers() {
        let objection = |header: &str| {
            KeyLimits { header: header.to_owned(), concurrency: None, rate: None }.header_objection()
        };
        assert_eq!(objection("Customer-Id"), None);
        for bad in ["", "a b", "ä", "a:b", &"x".repeat(65), "Nats-Msg-Id", "saggar-once"] {
            assert!(objection(bad).is_some(), "{bad}");
        }
    }
}

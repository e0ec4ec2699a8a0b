//! What the attempts of a task before its last one cost, by the host that ran them.
//!
//! It goes with the task: in the record of what it has been through while it waits, and in its result in the end, so
//! that a result is the whole bill of its task and nobody has to have listened.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Receipt, Spent};

/// Hosts told apart. It bounds the header of a result to 2 KiB; a task that was tried on more is rare.
const HOSTS_MAX: usize = 8;

/// Where what the other hosts spent is added up. No host is called so.
pub(crate) const OTHERS: &str = "_others";

/// The cost of earlier attempts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Earlier(BTreeMap<String, Spent>);

/// A text is no account of earlier attempts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is no account of earlier attempts")]
pub struct NotEarlier;

impl Earlier {
    /// Adds an attempt that counted.
    pub fn add(&mut self, receipt: &Receipt) {
        let known = self.0.contains_key(&receipt.host) || self.0.len() < HOSTS_MAX;
        let host = if known { receipt.host.as_str() } else { OTHERS };
        let spent = self.0.entry(host.to_owned()).or_default();
        *spent = spent.plus(Spent::of(receipt, true));
    }

    /// Whether there was no attempt.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// All of it together.
    #[must_use]
    pub fn total(&self) -> Spent {
        self.0.values().fold(Spent::default(), |sum, spent| sum.plus(*spent))
    }

    /// By host.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, Spent)> {
        self.0.iter().map(|(host, spent)| (host.as_str(), *spent))
    }

    /// What is here and not in another account of the same task that may be older.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Self {
        let more = |(host, spent): (&String, &Spent)| {
            let more = spent.without(other.0.get(host).copied().unwrap_or_default());
            (!more.is_nothing()).then(|| (host.clone(), more))
        };
        Self(self.0.iter().filter_map(more).collect())
    }
}

impl fmt::Display for Earlier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Earlier {
    type Err = NotEarlier;

    fn from_str(text: &str) -> Result<Self, NotEarlier> {
        serde_json::from_str(text).map_err(|_| NotEarlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(host: &str, fuel: u64) -> Receipt {
        Receipt { fuel, host: host.to_owned(), ..Receipt::default() }
    }

    #[test]
    fn attempts_add_up_by_host_and_read_back() {
        let mut earlier = Earlier::default();
        for (host, fuel) in [("a", 1), ("b", 2), ("a", 4)] {
            earlier.add(&on(host, fuel));
        }
        assert_eq!(earlier.to_string(), r#"{"a":{"attempts":2,"fuel":5},"b":{"attempts":1,"fuel":2}}"#);
        assert_eq!(earlier.to_string().parse(), Ok(earlier.clone()));
        assert_eq!((earlier.total().attempts, earlier.total().fuel), (3, 7));
        assert_eq!("[]".parse::<Earlier>(), Err(NotEarlier));
    }

    #[test]
    fn however_many_hosts_tried_a_task_its_account_stays_short() {
        let mut earlier = Earlier::default();
        for n in 0..100 {
            let host = format!("{n}{}", "x".repeat(60));
            earlier.add(&Receipt { fuel: u64::MAX / 200, host_calls: u64::MAX / 200, ..on(&host, 1) });
        }
        assert_eq!(earlier.total().attempts, 100, "none is lost");
        assert!(earlier.to_string().len() < 2048);
    }

    #[test]
    fn what_an_older_account_has_is_not_there_twice() {
        let mut older = Earlier::default();
        older.add(&on("a", 1));
        let mut newer = older.clone();
        newer.add(&on("a", 2));
        newer.add(&on("b", 4));
        assert_eq!(newer.beyond(&older).total().fuel, 6);
        assert!(older.beyond(&newer).is_none());
    }
}

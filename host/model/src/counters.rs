//! What is counted of a queue, or of a host, on one day.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::spent::is_zero;
use crate::{Outcome, Spent};

/// A line of an account. All of it is charged but what is `uncharged`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Tasks that ended, by the outcome of their result.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tasks: BTreeMap<Outcome, u64>,
    /// What the receipts in these results say.
    #[serde(skip_serializing_if = "Spent::is_nothing")]
    pub spent: Spent,
    /// What was spent on a tenant's behalf and stands in no result: on a task that was cancelled while it ran, and on
    /// a second task of an id that had a result already.
    #[serde(skip_serializing_if = "Spent::is_nothing")]
    pub apart: Spent,
    /// What nobody is charged for: errors of hosts, and runs that a drain or the loss of a lease cut short.
    #[serde(skip_serializing_if = "Spent::is_nothing")]
    pub uncharged: Spent,
    /// Time that plugins took to compile, in microseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub compile_us: u64,
}

impl Counters {
    /// Adds another line.
    pub fn add(&mut self, other: &Self) {
        for (outcome, count) in &other.tasks {
            let sum = self.tasks.entry(*outcome).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.spent = self.spent.plus(other.spent);
        self.apart = self.apart.plus(other.apart);
        self.uncharged = self.uncharged.plus(other.uncharged);
        self.compile_us = self.compile_us.saturating_add(other.compile_us);
    }

    /// What is charged.
    #[must_use]
    pub fn charged(&self) -> Spent {
        self.spent.plus(self.apart)
    }

    /// Tasks that ended, whatever their outcome.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.tasks.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

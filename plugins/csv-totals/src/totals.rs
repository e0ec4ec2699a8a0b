//! What there is in the end, of a part and of the whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Sums by group.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// Parts that were handed on, or put together.
    #[serde(default)]
    pub(crate) parts: u32,
    /// Rows that were added up.
    #[serde(default)]
    pub(crate) rows: u64,
    /// The sums.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) totals: BTreeMap<String, f64>,
    /// Parts that are not in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) failed: Vec<String>,
    /// The task that will have the totals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) task: Option<String>,
}

impl Totals {
    /// Adds what was found in a part.
    pub(crate) fn add(&mut self, part: &Self) {
        self.parts += 1;
        self.rows += part.rows;
        for (group, sum) in &part.totals {
            *self.totals.entry(group.clone()).or_default() += sum;
        }
    }
}

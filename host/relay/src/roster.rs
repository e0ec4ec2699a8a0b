//! The servers that can be connected to, and which is tried first: those that were named, those that the last server
//! told of, and of both those last that did not answer last time.

use std::collections::BTreeMap;

use rand::seq::SliceRandom as _;

use crate::server::Address;

/// Known servers. They differ in nothing but in how often they failed.
#[derive(Debug)]
pub(crate) struct Roster {
    named: Vec<Address>,
    told: Vec<Address>,
    /// Attempts since the last that succeeded.
    failures: BTreeMap<Address, u32>,
}

impl Roster {
    pub(crate) fn new(named: Vec<Address>) -> Self {
        Self { named, told: Vec::new(), failures: BTreeMap::new() }
    }

    /// Takes over what a server has said of the others of its cluster, in place of what was said before.
    pub(crate) fn hear(&mut self, others: &[String]) {
        // A server that is alone says nothing; what is known of a cluster it has left may still help.
        if others.is_empty() {
            return;
        }
        self.told = others.iter().filter_map(|other| other.parse().ok()).collect();
        self.told.retain(|address| !self.named.contains(address));
        self.failures.retain(|address, _| self.named.contains(address) || self.told.contains(address));
    }

    pub(crate) fn succeeded(&mut self, address: &Address) {
        self.failures.remove(address);
    }

    pub(crate) fn failed(&mut self, address: &Address) {
        let failures = self.failures.entry(address.clone()).or_default();
        *failures = failures.saturating_add(1);
    }

    /// All of them, those first that failed least; otherwise by chance, so that a fleet spreads over a cluster.
    pub(crate) fn order(&self) -> Vec<Address> {
        let mut all: Vec<Address> = self.named.iter().chain(&self.told).cloned().collect();
        all.shuffle(&mut rand::rng());
        all.sort_by_key(|address| self.failures.get(address).copied().unwrap_or_default());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(all: &[&str]) -> Vec<Address> {
        all.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn who_failed_comes_last_until_it_answers() {
        let mut roster = Roster::new(addresses(&["a", "b"]));
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        roster.failed(&a);
        assert_eq!(roster.order(), addresses(&["b", "a"]));
        roster.failed(&b);
        roster.failed(&b);
        assert_eq!(roster.order(), addresses(&["a", "b"]));
        roster.succeeded(&b);
        assert_eq!(roster.order(), addresses(&["b", "a"]));
    }

    #[test]
    fn what_a_cluster_tells_replaces_what_it_told_before_and_not_what_was_named() {
        let mut roster = Roster::new(addresses(&["a"]));
        let mut order = |others: &[&str]| {
            roster.hear(&others.iter().map(|other| (*other).to_owned()).collect::<Vec<_>>());
            let mut order = roster.order();
            order.sort();
            order
        };
        assert_eq!(order(&["b:1", "a:4222", "not an address"]), addresses(&["a", "b:1"]));
        assert_eq!(order(&["c:1"]), addresses(&["a", "c:1"]));
        assert_eq!(order(&[]), addresses(&["a", "c:1"]));
    }
}

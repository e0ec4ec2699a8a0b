//! Who shares with this host what a tenant may.

use std::sync::{Arc, PoisonError, RwLock};

use saggar_jetstream::{Hosts, Nats, RequestError};
use saggar_model::Digest;

/// The live hosts, as this one saw them last. Clones share them.
#[derive(Clone)]
pub(crate) struct Fleet(Arc<Seen>);

struct Seen {
    hosts: Hosts,
    /// This host's name.
    me: String,
    names: RwLock<Vec<String>>,
}

impl Fleet {
    pub(crate) fn new(nats: &Nats, me: &str) -> Self {
        let names = RwLock::new(vec![me.to_owned()]);
        Self(Arc::new(Seen { hosts: Hosts::new(nats), me: me.to_owned(), names }))
    }

    /// Looks again; whether there are others than before.
    pub(crate) async fn look(&self) -> Result<bool, RequestError> {
        let mut seen = self.0.hosts.names().await?;
        // It may not have joined yet, and serves all the same.
        if !seen.contains(&self.0.me) {
            seen.push(self.0.me.clone());
        }
        seen.sort_unstable();
        let mut names = self.0.names.write().unwrap_or_else(PoisonError::into_inner);
        let differs = *names != seen;
        *names = seen;
        Ok(differs)
    }

    /// How many there are, this one included.
    pub(crate) fn count(&self) -> u32 {
        let names = self.0.names.read().unwrap_or_else(PoisonError::into_inner);
        u32::try_from(names.len()).unwrap_or(u32::MAX).max(1)
    }

    /// This host's part of a whole number, of which all hosts together have all.
    pub(crate) fn part(&self, whole: u32, of: &str) -> u32 {
        let names = self.0.names.read().unwrap_or_else(PoisonError::into_inner);
        part(whole, of, &names, &self.0.me)
    }
}

/// What does not divide goes to those who come first in an order that is another for each `of`, so that many small numbers
/// do not all fall to the same hosts.
fn part(whole: u32, of: &str, names: &[String], me: &str) -> u32 {
    let place = |name: &str| Digest::of(format!("{of}\n{name}").as_bytes());
    let mine = place(me);
    let before = names.iter().filter(|name| *name != me && place(name) < mine).count();
    let (count, before) = (names.len().max(1), u32::try_from(before).unwrap_or(u32::MAX));
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    whole / count + u32::from(before < whole % count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("host-{number}")).collect()
    }

    #[test]
    fn the_parts_are_the_whole() {
        for (whole, count) in [(0, 3), (1, 3), (7, 3), (64, 5), (3, 10), (100_000, 7), (5, 1)] {
            let names = names(count);
            let parts: Vec<u32> = names.iter().map(|me| part(whole, "acme", &names, me)).collect();
            assert_eq!(parts.iter().sum::<u32>(), whole, "{parts:?}");
            let (least, most) = (parts.iter().min().unwrap(), parts.iter().max().unwrap());
            assert!(most - least <= 1, "{parts:?}");
        }
    }

    #[test]
    fn what_is_left_over_falls_to_other_hosts_for_other_tenants() {
        let names = names(4);
        let mut had = [0; 4];
        for tenant in 0..400 {
            for (host, me) in names.iter().enumerate() {
                had[host] += part(1, &format!("tenant-{tenant}"), &names, me);
            }
        }
        assert_eq!(had.iter().sum::<u32>(), 400);
        assert!(had.iter().all(|had| (50..200).contains(had)), "{had:?}");
    }
}

//! The attacks, by what they are after, each named after its number in the list of `docs/attacks.md`.

mod border;
mod calls;
mod closed;
mod flood;
mod leak;
mod loading;
mod memory;
mod time;

use std::time::Duration;

use saggar_model::Limits;

use crate::program::Program;
use crate::{Attack, Guest};

/// Every attack, in the order of their numbers.
#[must_use]
pub fn all() -> Vec<Attack> {
    let mut all = [
        time::attacks(),
        calls::attacks(),
        memory::attacks(),
        border::attacks(),
        loading::attacks(),
        closed::attacks(),
        leak::attacks(),
        flood::attacks(),
    ]
    .concat();
    all.sort_by_key(Attack::number);
    all
}

/// The most fuel that any host gives, for attacks whose harm would show only if they go on for long.
const PLENTY: u64 = 1_000_000_000_000;

/// Limits that let an attack go on.
fn patience(limits: &mut Limits) {
    limits.fuel = PLENTY;
    limits.timeout = Duration::from_secs(30);
}

/// A plugin that means no harm.
pub(crate) fn neighbour() -> Guest {
    Program::default().guest()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_attack_has_a_name_of_its_own_that_begins_with_its_number() {
        let all = all();
        let ids: BTreeSet<_> = all.iter().map(|attack| attack.id).collect();
        assert_eq!(ids.len(), all.len());
        let kebab = |id: &str| {
            id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        assert!(ids.iter().all(|id| kebab(id)), "{ids:?}");
        assert!(all.iter().all(|attack| attack.number() > 0), "{ids:?}");
        assert!(all.is_sorted_by_key(Attack::number));
    }

    #[test]
    fn every_attack_can_be_made() {
        for attack in all() {
            attack.guest.build().unwrap_or_else(|error| panic!("{}: {error}", attack.id));
        }
    }

    #[test]
    fn every_row_that_a_guest_can_try_is_tried() {
        let tried: BTreeSet<_> = all().iter().map(Attack::number).collect();
        // Of the host's own mechanics are 12, 13 and 36; the attackers' world has no HTTP yet, which is 26.
        let rows =
            (1..=44).filter(|row| ![12, 13, 26, 36].contains(row)).chain([53, 54, 55, 62, 65, 66, 67, 68]);
        let missing: Vec<u32> = rows.filter(|row| !tried.contains(row)).collect();
        assert_eq!(missing, [67], "a guest cannot name a series: there is no attack to write");
    }
}

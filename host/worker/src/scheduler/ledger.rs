//! Whose turn it is: deficit round robin over tenants, and within each over its lanes, charged with what was used.
//!
//! Each account has a mark: how far what it has used, divided by its weight, has brought it. The one furthest behind has
//! the next turn. That is deficit round robin whose rounds take no time: a deficit is the distance between two marks,
//! and an account in debt is passed over until the others have caught up, without anybody counting rounds.
//!
//! Whoever was idle starts where turns are now: neither what it left unused nor what it used long ago counts for long.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// What is used is measured in nanoseconds of a whole host, and marks in parts of them, so that the greatest weight
/// still leaves a difference.
const PARTS: u128 = 1_024;

/// How far an account can be in debt, in nanoseconds of a whole host per weight. A task of an hour would otherwise keep
/// its tenant waiting for an hour after it.
const DEBT_MAX: u128 = 2_000_000_000 * PARTS;

/// How far an account that was away can be behind, in the same measure: who asks for more while it has something under
/// way is away for a moment only, and must not lose its place by that.
const CREDIT_MAX: u128 = 50_000_000 * PARTS;

/// So far behind the turns others are compared with, in the same measure: somebody who holds a task that sleeps for
/// hours uses next to nothing, and that alone makes no debtors of all others.
const LAG_MAX: u128 = 250_000_000 * PARTS;

/// So little is no debt.
const SLACK: u128 = 1_000_000 * PARTS;

/// Accounts that take turns.
#[derive(Debug)]
pub(super) struct Ledger<Key> {
    accounts: HashMap<Key, Account>,
    /// Those that wait, by their marks; with the order in which they came, for those with equal ones.
    waiting: BTreeSet<(u128, u64, Key)>,
    /// Those that wait or hold something, by their marks.
    present: BTreeSet<(u128, Key)>,
    /// The furthest mark that had a turn.
    reached: u128,
    arrivals: u64,
}

#[derive(Debug)]
struct Account {
    weight: u32,
    /// How far what it has used has brought it.
    paid: u128,
    /// What it is expected to use beside that, in nanoseconds of a whole host.
    reserved: u64,
    /// How far both bring it.
    mark: u128,
    /// The order in which it came, if it waits.
    arrival: Option<u64>,
    holds: bool,
}

impl Account {
    /// So many nanoseconds of a host, as they count for it.
    fn parts(&self, nanos: u64) -> u128 {
        u128::from(nanos) * PARTS / u128::from(self.weight)
    }

    fn is_present(&self) -> bool {
        self.holds || self.arrival.is_some()
    }
}

impl<Key> Default for Ledger<Key> {
    fn default() -> Self {
        Self {
            accounts: HashMap::new(),
            waiting: BTreeSet::new(),
            present: BTreeSet::new(),
            reached: 0,
            arrivals: 0,
        }
    }
}

impl<Key: Copy + Ord + Hash> Ledger<Key> {
    /// Opens an account, or changes its weight.
    pub(super) fn open(&mut self, key: Key, weight: u32) {
        let (paid, mark) = (self.reached, self.reached);
        let fresh = Account { weight, paid, reserved: 0, mark, arrival: None, holds: false };
        self.accounts.entry(key).or_insert(fresh).weight = weight.max(1);
    }

    /// Closes an account.
    pub(super) fn close(&mut self, key: Key) {
        self.change(key, |account| (account.arrival, account.holds) = (None, false));
        self.accounts.remove(&key);
    }

    /// An account waits for a turn. One that waits already keeps its place.
    pub(super) fn wait(&mut self, key: Key) {
        self.arrivals += 1;
        let (arrival, least) = (self.arrivals, self.last().saturating_sub(CREDIT_MAX));
        self.change(key, |account| {
            if !account.is_present() {
                account.paid = account.paid.max(least);
            }
            account.arrival.get_or_insert(arrival);
        });
    }

    /// An account waits no longer.
    pub(super) fn leave(&mut self, key: Key) {
        self.change(key, |account| account.arrival = None);
    }

    /// Whether an account holds anything.
    pub(super) fn holds(&mut self, key: Key, holds: bool) {
        if self.accounts.get(&key).is_some_and(|account| account.holds != holds) {
            self.change(key, |account| account.holds = holds);
        }
    }

    /// An account has its turn: turns have come as far as it is.
    pub(super) fn turn(&mut self, key: Key) {
        if let Some(account) = self.accounts.get(&key) {
            self.reached = self.reached.max(account.mark);
        }
    }

    /// An account has used so many nanoseconds of a host.
    pub(super) fn charge(&mut self, key: Key, used: u64) {
        self.change(key, |account| account.paid = account.paid.saturating_add(account.parts(used)));
    }

    /// An account is expected to use so many nanoseconds of a host.
    ///
    /// This is not simply charged and given back later: a debt has an end, and whoever gave back more than was charged
    /// would pay its owner for being in debt.
    pub(super) fn reserve(&mut self, key: Key, expected: u64) {
        self.change(key, |account| account.reserved = account.reserved.saturating_add(expected));
    }

    /// So much of what an account was expected to use is charged by now, or is not used after all.
    pub(super) fn release(&mut self, key: Key, expected: u64) {
        self.change(key, |account| account.reserved = account.reserved.saturating_sub(expected));
    }

    /// Changes an account, and its places with it.
    fn change(&mut self, key: Key, change: impl FnOnce(&mut Account)) {
        let Some(account) = self.accounts.get_mut(&key) else { return };
        if let Some(arrival) = account.arrival {
            self.waiting.remove(&(account.mark, arrival, key));
        }
        if account.is_present() {
            self.present.remove(&(account.mark, key));
        }
        change(account);
        let most = self.reached.saturating_add(DEBT_MAX);
        account.paid = account.paid.min(most);
        account.mark = account.paid.saturating_add(account.parts(account.reserved)).min(most);
        if let Some(arrival) = account.arrival {
            self.waiting.insert((account.mark, arrival, key));
        }
        if account.is_present() {
            self.present.insert((account.mark, key));
        }
    }

    /// Whether an account has used more than somebody else who wants or holds something.
    pub(super) fn is_in_debt(&self, key: Key) -> bool {
        let last = self.last();
        self.accounts.get(&key).is_some_and(|account| account.mark > last + SLACK)
    }

    /// The mark of the one furthest behind of those who want or hold something; where turns are if there is none.
    fn last(&self) -> u128 {
        let last = self.present.first().map_or(self.reached, |(mark, _)| *mark);
        last.clamp(self.reached.saturating_sub(LAG_MAX), self.reached)
    }

    /// Who waits, the next turn first.
    pub(super) fn waiting(&self) -> impl Iterator<Item = Key> + '_ {
        self.waiting.iter().map(|(_, _, key)| *key)
    }

    /// Whether nobody waits.
    pub(super) fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Everybody waits all the time; who has how many turns, each of which costs what `cost` says.
    fn turns(weights: &[u32], rounds: usize, cost: impl Fn(usize) -> u64) -> Vec<usize> {
        let mut ledger = Ledger::default();
        for (key, weight) in weights.iter().enumerate() {
            ledger.open(key, *weight);
            ledger.wait(key);
        }
        let mut had = vec![0; weights.len()];
        for _ in 0..rounds {
            let next = ledger.waiting().next().expect("all of them wait");
            ledger.turn(next);
            ledger.charge(next, cost(next));
            had[next] += 1;
        }
        had
    }

    #[test]
    fn turns_follow_weights() {
        let had = turns(&[1, 2, 4], 7_000, |_| MS);
        assert_eq!(had, [1_000, 2_000, 4_000]);
    }

    #[test]
    fn whoever_uses_more_at_a_time_has_fewer_turns() {
        let had = turns(&[1, 1], 1_010, |key| if key == 0 { 100 * MS } else { MS });
        assert_eq!(had, [10, 1_000]);
    }

    #[test]
    fn a_weight_of_a_thousand_leaves_the_other_its_thousandth() {
        let had = turns(&[1, 1_000], 100_100, |_| 10_000);
        assert!((99..=101).contains(&had[0]), "{had:?}");
    }

    #[test]
    fn idle_time_is_not_saved_up() {
        let mut ledger = Ledger::default();
        ledger.open("a", 1);
        ledger.open("b", 1);
        ledger.wait("a");
        for _ in 0..1_000 {
            ledger.turn("a");
            ledger.charge("a", MS);
        }
        ledger.wait("b");
        let mut had_b = 0;
        for _ in 0..1_000 {
            let next = ledger.waiting().next().unwrap();
            ledger.turn(next);
            ledger.charge(next, MS);
            had_b += usize::from(next == "b");
        }
        assert!((500..=530).contains(&had_b), "{had_b}");
    }

    #[test]
    fn a_debt_has_an_end() {
        let mut ledger = Ledger::default();
        ledger.open("a", 1);
        ledger.open("b", 1);
        ledger.charge("a", 3_600_000 * MS);
        ledger.wait("a");
        ledger.wait("b");
        for _ in 0..2_001 {
            let next = ledger.waiting().next().unwrap();
            ledger.turn(next);
            ledger.charge(next, MS);
            if next == "a" {
                return;
            }
        }
        panic!("it still waits");
    }

    fn of_two_that_wait() -> Ledger<&'static str> {
        let mut ledger = Ledger::default();
        ledger.open("a", 1);
        ledger.open("b", 1);
        ledger.wait("a");
        ledger.wait("b");
        ledger
    }

    #[test]
    fn what_was_expected_and_not_used_counts_no_longer() {
        let mut ledger = of_two_that_wait();
        ledger.reserve("a", 5 * MS);
        ledger.charge("b", MS);
        assert_eq!(ledger.waiting().collect::<Vec<_>>(), ["b", "a"]);
        ledger.release("a", 5 * MS);
        assert_eq!(ledger.waiting().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn whoever_is_in_debt_gains_nothing_by_ending_what_it_was_expected_to_use() {
        let mut ledger = of_two_that_wait();
        ledger.charge("a", 10 * MS);
        ledger.charge("b", MS);
        for _ in 0..10 {
            ledger.reserve("a", 3_600_000 * MS);
            ledger.release("a", 3_600_000 * MS);
        }
        assert_eq!(ledger.waiting().collect::<Vec<_>>(), ["b", "a"]);
        assert!(ledger.is_in_debt("a"));
    }

    #[test]
    fn who_leaves_or_closes_has_no_turn() {
        let mut ledger = Ledger::default();
        for key in ["a", "b", "c"] {
            ledger.open(key, 1);
            ledger.wait(key);
        }
        ledger.leave("a");
        ledger.close("b");
        assert_eq!(ledger.waiting().collect::<Vec<_>>(), ["c"]);
        ledger.leave("c");
        assert!(ledger.is_quiet());
    }
}

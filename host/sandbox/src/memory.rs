//! Counts the memory of a guest: all linear memories and all tables of all its instances together.
//!
//! wasmtime asks about one memory at a time, so that a limit per memory would be no limit for a guest with ninety
//! of them. What was denied last is remembered: it tells a guest that ran out of memory from one that crashed.

use wasmtime::{Error, ResourceLimiter};

use crate::settings::TABLE_ELEMENTS;

/// What an element of a table occupies on the host.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

/// The account of one attempt's memory.
#[derive(Debug)]
pub(crate) struct MemoryAccount {
    limit: usize,
    held: usize,
    peak: usize,
    last_growth_denied: bool,
}

impl MemoryAccount {
    pub(crate) fn new(limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { limit, held: 0, peak: 0, last_growth_denied: false }
    }

    /// The most that was held at once, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.peak as u64
    }

    /// Whether the last thing the guest asked for was too much.
    pub(crate) fn last_growth_denied(&self) -> bool {
        self.last_growth_denied
    }

    fn grow(&mut self, current: usize, desired: usize, own_maximum: Option<usize>) -> bool {
        let more = desired.saturating_sub(current);
        let total = self.held.saturating_add(more);
        if own_maximum.is_some_and(|maximum| desired > maximum) {
            // The guest's own declaration forbids it: its mistake, not our limit.
            return false;
        }
        self.last_growth_denied = total > self.limit;
        if self.last_growth_denied {
            return false;
        }
        self.held = total;
        self.peak = self.peak.max(total);
        true
    }
}

impl ResourceLimiter for MemoryAccount {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, maximum))
    }

    fn memory_grow_failed(&mut self, _error: Error) -> wasmtime::Result<()> {
        // The pool's own maximum or the operating system said no after the account had said yes.
        self.last_growth_denied = true;
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = |elements: usize| elements.saturating_mul(TABLE_ELEMENT_BYTES);
        // What the pool allows at most comes as the table's own maximum, and is our limit all the same.
        let own_maximum = maximum.filter(|maximum| *maximum < TABLE_ELEMENTS);
        let beyond_pool = desired > TABLE_ELEMENTS && own_maximum.is_none();
        let granted = !beyond_pool && self.grow(bytes(current), bytes(desired), own_maximum.map(bytes));
        self.last_growth_denied |= beyond_pool;
        Ok(granted)
    }

    fn table_grow_failed(&mut self, _error: Error) -> wasmtime::Result<()> {
        self.last_growth_denied = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_for_the_sum_of_all_memories_and_tables() {
        let mut account = MemoryAccount::new(100);
        assert!(account.memory_growing(0, 60, None).unwrap());
        assert!(!account.memory_growing(0, 60, None).unwrap(), "a second memory of the same size");
        assert!(account.last_growth_denied());
        assert!(account.table_growing(0, 5, None).unwrap(), "40 bytes of table");
        assert!(!account.table_growing(5, 6, None).unwrap());
        assert_eq!(account.peak(), 100);
    }

    #[test]
    fn a_growth_that_was_granted_forgets_an_earlier_denial() {
        let mut account = MemoryAccount::new(100);
        assert!(!account.memory_growing(0, 101, None).unwrap());
        assert!(account.memory_growing(0, 100, None).unwrap());
        assert!(!account.last_growth_denied());
    }

    #[test]
    fn a_table_beyond_what_the_pool_has_is_out_of_memory_and_one_beyond_its_own_maximum_is_not() {
        let mut account = MemoryAccount::new(1 << 30);
        assert!(!account.table_growing(1, TABLE_ELEMENTS + 1, Some(TABLE_ELEMENTS)).unwrap());
        assert!(account.last_growth_denied());
        assert!(account.table_growing(1, TABLE_ELEMENTS, Some(TABLE_ELEMENTS)).unwrap());
        assert!(!account.table_growing(1, 20, Some(10)).unwrap());
        assert!(!account.last_growth_denied());
    }

    #[test]
    fn a_guest_that_breaks_its_own_maximum_is_not_out_of_memory() {
        let mut account = MemoryAccount::new(100);
        assert!(!account.memory_growing(0, 80, Some(50)).unwrap());
        assert!(!account.last_growth_denied());
    }
}

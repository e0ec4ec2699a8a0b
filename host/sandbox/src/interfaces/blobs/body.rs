//! How many bodies and lists of names a guest has open. Each may hold some of the host's memory, which the guest's own
//! limit does not count.

use std::sync::Arc;

use saggar_model::StoreError;

/// Bodies and lists open at once: with two parts of 128 KiB each, 4 MiB of the host's memory at the most.
const OPEN_MAX: usize = 16;

/// The open bodies of one attempt. Nothing is allocated before the first one.
#[derive(Default)]
pub(crate) struct Bodies(Option<Arc<()>>);

/// An open body, for as long as this exists.
pub(crate) struct Permit(#[expect(dead_code, reason = "that it exists is what counts")] Arc<()>);

impl Bodies {
    /// Counts one more.
    pub(super) fn open(&mut self) -> Result<Permit, StoreError> {
        let open = self.0.get_or_insert_default();
        // The one here counts nothing.
        if Arc::strong_count(open) > OPEN_MAX {
            return Err(StoreError::TooManyOpen(OPEN_MAX));
        }
        Ok(Permit(open.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_bodies_and_a_closed_one_makes_room() {
        let mut bodies = Bodies::default();
        let mut open: Vec<_> = (0..OPEN_MAX).map(|_| bodies.open().ok()).collect();
        assert!(open.iter().all(Option::is_some));
        assert!(matches!(bodies.open(), Err(StoreError::TooManyOpen(OPEN_MAX))));
        open.pop();
        assert!(bodies.open().is_ok());
    }
}

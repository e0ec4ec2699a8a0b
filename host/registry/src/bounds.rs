//! How much a registry may take of us.

use std::time::Duration;

use saggar_model::COMPONENT_MAX_BYTES;

/// What one fetch may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of a component: what the store of plugins takes.
    pub component: u64,
    /// Bytes of a manifest, or of an answer with a token. An honest one with its annotations has two thousand.
    pub manifest: u64,
    /// How long it may take to be connected, and then to be answered.
    pub answer: Duration,
    /// Bytes a second that an answer must bring on average once [`Self::answer`] is over. A quarter of it would hold a
    /// command for an hour; four times as much would refuse a bad line.
    pub rate: u64,
    /// How long the whole may take: the largest component at the slowest rate is not quite done by then, and a person
    /// has long given up.
    pub total: Duration,
    /// How often one may be sent elsewhere. Registries send to their storage, once.
    pub redirects: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            component: COMPONENT_MAX_BYTES as u64,
            manifest: 64 << 10,
            answer: Duration::from_secs(20),
            rate: 64 << 10,
            total: Duration::from_mins(15),
            redirects: 3,
        }
    }
}

impl Bounds {
    /// How long after its beginning an answer of which `received` bytes have come must bring more.
    pub(crate) fn patience(&self, received: u64) -> Duration {
        self.answer + Duration::from_millis(received.saturating_mul(1000) / self.rate.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_with_what_has_come_and_with_nothing_else() {
        let bounds = Bounds { rate: 1000, answer: Duration::from_secs(1), ..Bounds::default() };
        assert_eq!(bounds.patience(0), Duration::from_secs(1));
        assert_eq!(bounds.patience(5000), Duration::from_secs(6));
        assert!(Bounds { rate: 0, ..bounds }.patience(u64::MAX) > bounds.total, "no number ends in a panic");
    }
}

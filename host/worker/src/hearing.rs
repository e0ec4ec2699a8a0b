//! What a lane hears of its queue. While it is deaf, its host is unwell.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::host::Shared;
use crate::watchdog::Watchdog;

/// The hearing of one lane, for as long as there is the lane.
pub(crate) struct Hearing {
    host: Arc<Shared>,
    dog: Watchdog,
    unwell: bool,
}

impl Hearing {
    pub(crate) fn new(host: Arc<Shared>) -> Self {
        Self { host, dog: Watchdog::default(), unwell: false }
    }

    /// Tells the watchdog, and the host what that makes of it.
    pub(crate) fn note<T>(&mut self, what: impl FnOnce(&mut Watchdog) -> T) -> T {
        let said = what(&mut self.dog);
        self.set(self.dog.is_unwell());
        said
    }

    fn set(&mut self, unwell: bool) {
        match (std::mem::replace(&mut self.unwell, unwell), unwell) {
            (false, true) => _ = self.host.deaf_lanes.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = self.host.deaf_lanes.fetch_sub(1, Ordering::Relaxed),
            _ => {}
        }
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.set(false);
    }
}

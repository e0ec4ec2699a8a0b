//! Clocks that tick in whole milliseconds: fine enough for work, too coarse to time a neighbour's cache lines.

use std::time::{Duration, Instant, SystemTime};

use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

const TICK: Duration = Duration::from_millis(1);

/// Unix time.
pub(crate) struct CoarseWallClock;

impl HostWallClock for CoarseWallClock {
    fn resolution(&self) -> Duration {
        TICK
    }

    fn now(&self) -> Duration {
        // A host clock before 1970 reads as 1970: wrong either way, and no reason to panic.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Duration::new(now.as_secs(), now.subsec_millis() * 1_000_000)
    }
}

/// Time since the attempt began, in nanoseconds.
pub(crate) struct CoarseMonotonicClock {
    pub(crate) start: Instant,
}

impl HostMonotonicClock for CoarseMonotonicClock {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        millis.saturating_mul(1_000_000)
    }
}

//! Clocks that tick in whole milliseconds, fine enough for work and too coarse to time a neighbour's cache lines; or
//! in nanoseconds, where that was granted.

use std::time::{Duration, Instant, SystemTime};

use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

/// How exactly a guest may tell the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tick {
    /// Whole milliseconds.
    Millisecond,
    /// As the machine has it.
    Nanosecond,
}

impl Tick {
    const fn nanoseconds(self) -> u32 {
        match self {
            Self::Millisecond => 1_000_000,
            Self::Nanosecond => 1,
        }
    }
}

/// Unix time.
pub(crate) struct WallClock(pub(crate) Tick);

impl HostWallClock for WallClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(self.0.nanoseconds().into())
    }

    fn now(&self) -> Duration {
        // A host clock before 1970 reads as 1970: wrong either way, and no reason to panic.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let nanoseconds = now.subsec_nanos();
        Duration::new(now.as_secs(), nanoseconds - nanoseconds % self.0.nanoseconds())
    }
}

/// Time since the attempt began and one tick more, in nanoseconds: Go takes a clock that says zero for a broken one.
pub(crate) struct MonotonicClock {
    pub(crate) start: Instant,
    pub(crate) tick: Tick,
}

impl HostMonotonicClock for MonotonicClock {
    fn resolution(&self) -> u64 {
        self.tick.nanoseconds().into()
    }

    fn now(&self) -> u64 {
        let elapsed = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let tick = u64::from(self.tick.nanoseconds());
        (elapsed - elapsed % tick).saturating_add(tick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_grant_no_clock_tells_less_than_a_millisecond() {
        let start = Instant::now().checked_sub(Duration::from_micros(12_345)).unwrap();
        for _ in 0..1000 {
            assert_eq!(WallClock(Tick::Millisecond).now().subsec_nanos() % 1_000_000, 0);
            assert_eq!(MonotonicClock { start, tick: Tick::Millisecond }.now() % 1_000_000, 0);
        }
    }

    #[test]
    fn no_clock_ever_says_zero() {
        for tick in [Tick::Millisecond, Tick::Nanosecond] {
            assert!(MonotonicClock { start: Instant::now(), tick }.now() > 0);
        }
    }

    #[test]
    fn a_granted_clock_tells_more() {
        let start = Instant::now();
        let fine =
            |_: &u32| !MonotonicClock { start, tick: Tick::Nanosecond }.now().is_multiple_of(1_000_000);
        assert!((0..1000).any(|turn| fine(&turn)));
    }
}

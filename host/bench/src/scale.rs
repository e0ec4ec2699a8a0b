//! How much is measured: enough to be believed, or enough to see that it works.

use std::time::Duration;

/// The sizes of all measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// How often each pair is measured.
    pub rounds: usize,
    /// Tasks in a queue that is drained.
    pub drain_tasks: u64,
    /// Tasks of a megabyte.
    pub large_tasks: u64,
    /// Round trips of which the time is taken.
    pub round_trips: usize,
    /// Tasks in the queue of the tenant that floods.
    pub flood_tasks: u64,
    /// How long shares are looked at.
    pub sharing: Duration,
    /// Numbers of tenants that are drained at once.
    pub tenants: &'static [u32],
    /// Tasks of all tenants together.
    pub tenant_tasks: u64,
    /// Depths of a queue; the first is the limit of the others.
    pub depths: &'static [u64],
    /// Tasks asleep at once.
    pub asleep: &'static [u32],
    /// How long one side of a computing row works at a time.
    pub work: Duration,
    /// After so long no row is begun any more.
    pub bound: Duration,
    /// A row that was begun before is broken off so much later.
    pub grace: Duration,
}

impl Scale {
    /// A quarter of an hour and a bit.
    pub const FULL: Self = Self {
        rounds: 5,
        drain_tasks: 100_000,
        large_tasks: 1_000,
        round_trips: 2_000,
        flood_tasks: 100_000,
        sharing: Duration::from_mins(1),
        tenants: &[1, 10, 100, 1_000],
        tenant_tasks: 60_000,
        depths: &[10_000, 100_000, 1_000_000],
        asleep: &[1_000, 10_000],
        work: Duration::from_secs(1),
        bound: Duration::from_mins(15),
        grace: Duration::from_secs(100),
    };

    /// At most a minute: to see that everything works, with figures that are rough.
    pub const QUICK: Self = Self {
        rounds: 1,
        drain_tasks: 20_000,
        large_tasks: 200,
        round_trips: 300,
        flood_tasks: 20_000,
        sharing: Duration::from_secs(6),
        tenants: &[1, 10, 100],
        tenant_tasks: 10_000,
        depths: &[10_000, 50_000],
        asleep: &[200, 1_000],
        work: Duration::from_millis(150),
        bound: Duration::from_secs(50),
        grace: Duration::from_secs(8),
    };
}

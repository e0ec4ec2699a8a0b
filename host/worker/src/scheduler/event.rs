//! What the scheduler hears, and what it answers.

use std::time::Duration;

use saggar_model::Digest;

/// A lane, as the scheduler knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(pub u64);

/// A tenant, as the scheduler knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(pub u64);

/// What one host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Tasks at once.
    pub slots: u32,
    /// Guest memory at once, in bytes.
    pub memory: u64,
    /// Guests that can compute at the same time.
    pub cores: u32,
}

/// What a lane is to the scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Its tenant's weight, against other tenants.
    pub tenant_weight: u32,
    /// Its weight, against other lanes of its tenant.
    pub weight: u32,
    /// Memory of one of its guests, in bytes.
    pub memory: u64,
    /// What it runs: tasks of other lanes that run the same show what to expect of its first.
    pub component: Option<Digest>,
}

/// So much by and by, and so much at once after a quiet time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flow {
    /// In a second.
    pub per_second: f64,
    /// At once; at least one.
    pub burst: f64,
}

/// What a tenant or a lane may start and spend on this host. What is absent has no bound.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Tasks at once.
    pub slots: Option<u32>,
    /// Starts of tasks.
    pub starts: Option<Flow>,
    /// Units of fuel. A tenant's; lanes share it.
    pub fuel: Option<Flow>,
}

/// What the scheduler hears.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    /// A lane was opened, or its terms are others from now on.
    Opened {
        /// The lane.
        lane: LaneId,
        /// Whose it is; that never changes.
        tenant: TenantId,
        /// What holds for it.
        terms: Terms,
    },
    /// A tenant's bounds are these from now on.
    TenantBounded {
        /// The tenant, one of whose lanes was opened.
        tenant: TenantId,
        /// What it may.
        bounds: Bounds,
    },
    /// A lane's bounds are these from now on.
    LaneBounded {
        /// The lane.
        lane: LaneId,
        /// What it may.
        bounds: Bounds,
    },
    /// So much time on processors is left of a tenant's budget on this host; nothing means without end.
    Budget {
        /// The tenant.
        tenant: TenantId,
        /// What is left.
        left: Option<Duration>,
    },
    /// A lane was closed. What it still holds comes back by `Settled` and `Ended`.
    Closed {
        /// The lane.
        lane: LaneId,
    },
    /// A lane could start so many tasks. Replaces what it said before.
    Waiting {
        /// The lane.
        lane: LaneId,
        /// How many tasks it could start at once.
        wanted: u32,
        /// How many of its tasks one guest's memory is good for: one, or many that are over in no time.
        ahead: u32,
        /// Whether it already holds a message, so that it should not be kept waiting for a full batch.
        holding: bool,
    },
    /// Tasks of a lane wait behind one that is longer than expected: the memory of one more guest would help.
    Stuck {
        /// The lane.
        lane: LaneId,
    },
    /// Slots came back.
    Settled {
        /// Whose they were.
        lane: LaneId,
        /// How many.
        slots: u32,
        /// How many of them were used.
        ran: u32,
    },
    /// Guests of a lane have computed since this was told last, whether their tasks have ended or not.
    Computed {
        /// The lane.
        lane: LaneId,
        /// For how long, all together.
        work: Work,
    },
    /// The memory of one guest came back.
    Ended {
        /// Whose it was.
        lane: LaneId,
        /// The bytes, as they were granted.
        memory: u64,
    },
}

/// What guests spent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// On a processor.
    pub computed: Duration,
    /// On a processor, or ready for one that did something else.
    pub ready: Duration,
    /// Units of fuel, told when a task ends.
    pub fuel: u64,
}

/// What a lane that waited gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The lane.
    pub lane: LaneId,
    /// Tasks it may hold; none if it was stuck.
    pub slots: u32,
    /// Guests it may run at once, at least one.
    pub guests: u32,
    /// Memory of each of them, in bytes.
    pub memory: u64,
    /// Whether its tasks go before those of others, for the lane has little to do and they are short.
    pub precedes: bool,
}

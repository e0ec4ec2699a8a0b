//! What the scheduler knows of lanes and tenants.

use std::time::{Duration, Instant};

use saggar_model::Digest;

use super::allowance::{Allowed, Parking, Reserved};
use super::cost::Cost;
use super::ledger::Ledger;
use super::quiet::Quiet;
use super::{Bucket, FEW, LaneId, TenantId};

/// A lane.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) tenant: TenantId,
    pub(super) memory: u64,
    pub(super) component: Option<Digest>,
    pub(super) wanted: u32,
    pub(super) ahead: u32,
    pub(super) holding: bool,
    pub(super) is_open: bool,
    pub(super) out: Holding,
    pub(super) cost: Cost,
    /// What tasks that are out are expected to use, in nanoseconds of a whole host.
    pub(super) expected: u64,
    pub(super) allowed: Allowed,
    pub(super) reserved: Reserved,
    /// It is at a limit of its own, and takes no turns.
    pub(super) parked: Option<Parking>,
    pub(super) quiet: Quiet,
    /// Since when it waits, if it does.
    pub(super) since: Option<Instant>,
}

/// A tenant, with its lanes.
#[derive(Debug, Default)]
pub(super) struct Tenant {
    pub(super) weight: u32,
    pub(super) lanes: Ledger<LaneId>,
    /// Lanes that are open or hold something.
    pub(super) known: u32,
    /// Lanes that want some, and are at no limit of their own.
    pub(super) waiting: u32,
    pub(super) out: Holding,
    pub(super) allowed: Allowed,
    pub(super) reserved: Reserved,
    /// It is at a limit, and its lanes take no turns.
    pub(super) parked: Option<Parking>,
    /// What its guests have computed since it was opened.
    pub(super) computed: Duration,
    /// Seconds for which its tasks may go before others.
    pub(super) precedence: Bucket,
}

/// What is out, or free.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) slots: u32,
    pub(super) memory: u64,
    pub(super) guests: u32,
}

impl Lane {
    /// A lane that was just opened.
    pub(super) fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            memory: 0,
            component: None,
            wanted: 0,
            ahead: 1,
            holding: false,
            is_open: true,
            out: Holding::default(),
            cost: Cost::default(),
            expected: 0,
            allowed: Allowed::default(),
            reserved: Reserved::default(),
            parked: None,
            quiet: Quiet::default(),
            since: None,
        }
    }

    /// Whether it wants some that it may have.
    pub(super) fn is_waiting(&self) -> bool {
        self.wanted > 0 && self.parked.is_none()
    }

    /// Whether a few free slots are enough for it.
    pub(super) fn is_short(&self) -> bool {
        self.holding || self.wanted <= FEW
    }

    /// What was expected of so many slots that have come back.
    pub(super) fn expected_of(&self, slots: u32) -> u64 {
        let before = u128::from(self.out.slots) + u128::from(slots);
        let part = u128::from(self.expected) * u128::from(slots) / before.max(1);
        u64::try_from(part).unwrap_or(u64::MAX).min(self.expected)
    }

    /// How many of its guests compute or want to.
    pub(super) fn load(&self) -> f64 {
        self.cost.busy() * f64::from(self.out.guests)
    }

    /// Whether nothing is left to be known of it.
    pub(super) fn is_gone(&self) -> bool {
        !self.is_open && self.out == Holding::default()
    }
}

impl Tenant {
    /// Whether it holds anything, or wants some that it may have.
    pub(super) fn is_active(&self) -> bool {
        (self.waiting > 0 && self.parked.is_none()) || self.out.slots > 0
    }
}

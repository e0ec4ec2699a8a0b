//! What tenants may start and spend on this host: their part of what all hosts together may.
//!
//! How many hosts there are is looked at every few seconds, and never agreed on: while one comes or goes, a tenant may
//! have one host's part too much or too little.

mod bounds;
mod budgets;
mod fleet;
mod keys;
mod logs;

pub(crate) use self::bounds::{lane_bounds, tenant_bounds};
pub(crate) use self::budgets::Budgets;
pub(crate) use self::fleet::Fleet;
pub(crate) use self::keys::{KeyGate, KeyHold, KeyTurn, Turn};
pub(crate) use self::logs::{LogAllowance, LogAllowances};

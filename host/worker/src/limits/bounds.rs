//! This host's part of what a file allows, as the scheduler counts it.

use saggar_model::{Allowance, RateLimit};

use super::fleet::Fleet;
use crate::scheduler::{Bounds, Flow};

/// What a tenant may start and spend on this host.
pub(crate) fn tenant_bounds(allowance: &Allowance, tenant: &str, fleet: &Fleet) -> Bounds {
    Bounds {
        slots: allowance.concurrency.map(|slots| fleet.part(slots, tenant)),
        starts: allowance.rate.map(|limit| starts(limit, tenant, fleet)),
        fuel: allowance.fuel_per_minute.map(|fuel| minutes(fuel, fleet)),
    }
}

/// What a queue may start on this host.
pub(crate) fn lane_bounds(rate: Option<RateLimit>, queue: &str, fleet: &Fleet) -> Bounds {
    Bounds { starts: rate.map(|limit| starts(limit, queue, fleet)), ..Bounds::default() }
}

fn starts(RateLimit { rate, burst }: RateLimit, of: &str, fleet: &Fleet) -> Flow {
    let per_second = rate.per_second() / f64::from(fleet.count());
    // With less than one nothing would ever start.
    Flow { per_second, burst: f64::from(fleet.part(burst, of).max(1)) }
}

/// So much in a minute, all of it at once if nothing was spent in the last.
#[expect(clippy::cast_precision_loss, reason = "nobody counts single units")]
pub(super) fn minutes(amount: u64, fleet: &Fleet) -> Flow {
    let burst = (amount as f64 / f64::from(fleet.count())).max(1.0);
    Flow { per_second: burst / 60.0, burst }
}

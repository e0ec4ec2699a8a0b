//! The rows, one file each.

mod asleep;
mod attempt;
mod cold;
mod cores;
mod cpu_bound;
mod depth;
mod drain;
mod drain_1mb;
mod flood;
mod idle;
mod json;
mod latency;
mod meters;
mod shares;
mod tenants;

use crate::bench::{BenchError, Setting};
use crate::figure::Figure;

/// The names of all rows, in the order of the report.
pub const NAMES: [&str; 15] = [
    "drain",
    "attempt",
    "latency",
    "drain-1mb",
    "tenants",
    "depth",
    "flood",
    "shares",
    "idle",
    "asleep",
    "cold",
    "cpu-bound",
    "json",
    "meters",
    "cores",
];

/// Measures one row. It may have several figures.
pub(crate) async fn measure(name: &str, setting: &Setting<'_>) -> Result<Vec<Figure>, BenchError> {
    match name {
        "drain" => drain::measure(setting).await,
        "attempt" => attempt::measure(setting).await,
        "latency" => latency::measure(setting).await,
        "drain-1mb" => drain_1mb::measure(setting).await,
        "tenants" => tenants::measure(setting).await,
        "depth" => depth::measure(setting).await,
        "flood" => flood::measure(setting).await,
        "shares" => shares::measure(setting).await,
        "idle" => idle::measure(setting).await,
        "asleep" => asleep::measure(setting).await,
        "cold" => cold::measure(setting).await,
        "cpu-bound" => cpu_bound::measure(setting).await,
        "json" => json::measure(setting).await,
        "meters" => meters::measure(setting).await,
        "cores" => cores::measure(setting).await,
        other => unreachable!("{other} is none of NAMES"),
    }
}

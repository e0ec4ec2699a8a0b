//! The rows, one file each.

mod drain;

use crate::bench::{BenchError, Setting};
use crate::figure::Figure;

/// The names of all rows, in the order of the report.
pub const NAMES: [&str; 1] = ["drain"];

/// Measures one row. It may have several figures.
pub(crate) async fn measure(name: &str, setting: &Setting<'_>) -> Result<Vec<Figure>, BenchError> {
    match name {
        "drain" => drain::measure(setting).await,
        other => unreachable!("{other} is none of NAMES"),
    }
}

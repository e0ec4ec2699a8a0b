//! Ten kilobytes of JSON read, added up and written, on one core, beside the same code on the machine itself.
//!
//! One source, compiled for each target as it is shipped.

use crate::alone::beside_native;
use crate::bench::{BenchError, Setting};
use crate::figure::Figure;

pub(crate) async fn measure(setting: &Setting<'_>) -> Result<Vec<Figure>, BenchError> {
    let document = saggar_bench_work::document();
    beside_native(setting, ("transform", 1, "1 core"), document, saggar_bench_work::transform).await
}

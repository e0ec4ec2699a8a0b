//! Pictures made smaller on all cores, beside the same code on the machine itself.
//!
//! One source, compiled for each target as it is shipped. The machine's own code takes its checksums from
//! instructions that it finds at run time and that a guest does not have; they are a small part of the work.

use crate::alone::beside_native;
use crate::bench::{BenchError, Setting};
use crate::figure::Figure;
use crate::machine::cores;

pub(crate) async fn measure(setting: &Setting<'_>) -> Result<Vec<Figure>, BenchError> {
    let case = format!("{} cores", cores());
    let picture = saggar_bench_work::picture();
    beside_native(setting, ("resize", cores(), &case), picture, saggar_bench_work::resize).await
}

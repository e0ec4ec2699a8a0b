//! Makes a picture smaller. The benchmark computes the same natively.

use saggar_plugin::handler;

#[handler]
fn resize(input: Vec<u8>) -> Vec<u8> {
    saggar_bench_work::resize(&input)
}

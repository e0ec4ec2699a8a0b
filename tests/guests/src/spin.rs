//! Works for ever.

use std::hint::black_box;

use saggar_plugin::handler;

#[handler]
fn spin() {
    let mut turns: u64 = 0;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

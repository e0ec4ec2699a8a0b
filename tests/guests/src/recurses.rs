//! Calls itself until the stack ends.

use std::sync::atomic::{AtomicU64, Ordering};

use saggar_plugin::handler;

static DEPTH: AtomicU64 = AtomicU64::new(0);

#[handler]
fn recurses() -> String {
    deeper().to_string()
}

/// Keeps nothing in memory, so that it is the sandbox's stack that ends and not the program's own.
#[inline(never)]
fn deeper() -> u64 {
    match DEPTH.fetch_add(1, Ordering::Relaxed) {
        u64::MAX => 0,
        depth => deeper().rotate_left(1).wrapping_add(depth),
    }
}

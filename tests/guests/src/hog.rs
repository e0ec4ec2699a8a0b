//! Takes memory a megabyte at a time: as many as the input says, or without end.

use std::hint::black_box;

use saggar_plugin::handler;

#[handler]
fn hog(megabytes: String) -> String {
    let wanted = megabytes.trim().parse().unwrap_or(usize::MAX);
    let mut held: Vec<Vec<u8>> = Vec::new();
    while held.len() < wanted {
        held.push(black_box(vec![1; 1 << 20]));
    }
    format!("held {}", held.len())
}

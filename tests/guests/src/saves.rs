//! Keeps checkpoints of as many bytes as each word of the input says, and says what became of each.

use saggar_plugin::{context, handler, progress};

#[handler]
fn saves(sizes: String) -> String {
    let mut said = vec![format!("from {}", context::checkpoint().map_or(0, |kept| kept.len()))];
    for size in sizes.split_whitespace() {
        let state = vec![7; size.parse().unwrap_or(0)];
        said.push(
            progress::save_checkpoint(&state)
                .map_or_else(|error| format!("{error:?}"), |()| "kept".to_owned()),
        );
    }
    said.join(", ")
}

//! Writes as many lines as the input says, to the log, to standard output and to standard error each.

use saggar_plugin::{handler, log};

#[handler]
fn chats(lines: String) -> String {
    for line in 0..lines.trim().parse().unwrap_or(0_u64) {
        log::info!("log {line}");
        println!("stdout {line}");
        eprintln!("stderr {line}");
    }
    "said".to_owned()
}

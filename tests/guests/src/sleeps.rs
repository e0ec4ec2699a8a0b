//! Sleeps: as many milliseconds as the input says, or for ever.

use std::thread::sleep;
use std::time::Duration;

use saggar_plugin::handler;

#[handler]
fn sleeps(millis: String) -> String {
    let millis = millis.trim().parse().ok();
    sleep(millis.map_or(Duration::MAX, Duration::from_millis));
    "awake".to_owned()
}

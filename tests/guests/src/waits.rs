//! Sleeps in short naps until it is asked to stop.

use std::thread::sleep;
use std::time::Duration;

use saggar_plugin::{Error, handler, progress};

#[handler]
fn waits() -> Result<(), Error> {
    while !progress::cancelled() {
        sleep(Duration::from_millis(5));
    }
    Err(Error::retry("asked to stop"))
}

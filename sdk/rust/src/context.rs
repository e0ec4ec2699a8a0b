//! What a handler may know about the task it runs.
//!
//! The answers do not change during an attempt, but for [`deadline`]. In a native build they come from the
//! [`testing::Context`](crate::testing::Context) around the call, or are its defaults if there is none.
//!
//! ```
//! use saggar_plugin::{context, handler};
//!
//! #[handler]
//! fn whoami() -> String {
//!     format!("attempt {} of {}/{}", context::attempt(), context::queue(), context::task_id())
//! }
//!
//! assert_eq!(whoami(), "attempt 1 of test/test");
//! ```

use std::time::Duration;

use crate::host;

/// The id under which the result will be found: the publisher's, or one beginning with `seq-` that the host made.
#[must_use]
pub fn task_id() -> String {
    host::task_id()
}

/// The tenant that owns the queue.
#[must_use]
pub fn tenant() -> String {
    host::tenant()
}

/// The queue that the task was published to.
#[must_use]
pub fn queue() -> String {
    host::queue()
}

/// Which counted attempt this is, from 1. A run cut short by a drain or a lost host is repeated under the same
/// number, so 1 is no proof that the task never ran before.
#[must_use]
pub fn attempt() -> u32 {
    host::attempt()
}

/// The `Content-Type` of the payload, as the publisher gave it; nobody has checked it against the payload.
#[must_use]
pub fn content_type() -> Option<String> {
    host::content_type()
}

/// The value of one task header, found without regard to case; the first if there are several. `None` also for
/// headers that belong to the message system (`Nats-…`) or to the host.
#[must_use]
pub fn header(name: &str) -> Option<String> {
    host::header(name)
}

/// All the headers that [`header`] would find, as name and value, in the order they were published.
#[must_use]
pub fn headers() -> Vec<(String, String)> {
    host::headers()
}

/// What an earlier attempt of this task kept last with [`progress::save_checkpoint`](crate::progress::save_checkpoint):
/// where to go on from. `None` in the first attempt. To be asked before this attempt keeps one of its own.
///
/// An attempt whose checkpoint cannot be read is ended by the host, and not counted.
#[must_use]
pub fn checkpoint() -> Option<Vec<u8>> {
    host::checkpoint()
}

/// The time until the wall limit ends this attempt, in whole milliseconds; zero when it is due. Plan with it but do
/// not rely on it: a drain or a cancellation can come earlier.
#[must_use]
pub fn deadline() -> Duration {
    host::deadline()
}

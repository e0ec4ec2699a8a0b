//! How a long attempt speaks to those who watch, and how it learns that it should stop.
//!
//! ```
//! use saggar_plugin::{Error, progress};
//!
//! fn fire(kilns: &[&str]) -> Result<(), Error> {
//!     for (done, kiln) in kilns.iter().enumerate() {
//!         if progress::cancelled() {
//!             return Err(Error::retry("stopped before it was done"));
//!         }
//!         progress::report(done as f64 / kilns.len() as f64, kiln);
//!         // … the work for one kiln …
//!     }
//!     Ok(())
//! }
//! # assert!(fire(&["north", "south"]).is_ok());
//! ```

use crate::host;

/// Tells watchers how far the attempt is.
///
/// `fraction` goes from 0 to 1; the host clamps what lies outside, and takes NaN for unknown. It cuts `message` at
/// 1 KiB and passes on one report a second, the newest; the others cost fuel and nothing else. No report is kept,
/// and none extends a limit.
pub fn report(fraction: f64, message: &str) {
    host::report(fraction, message);
}

/// Whether the host wants this attempt to end, which it does from a drain on.
///
/// A handler that then returns a retry loses nothing: an attempt that a drain ends is not counted. One that goes on
/// is stopped when the host's grace is over, and the task runs again elsewhere.
#[must_use]
pub fn cancelled() -> bool {
    host::cancelled()
}

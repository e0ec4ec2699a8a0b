//! How a long attempt speaks to those who watch, how it learns that it should stop, and how it keeps where it has come.
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
//!
//! A task of hours outlives its host if it keeps where it has come:
//!
//! ```
//! use saggar_plugin::{Error, context, progress};
//!
//! fn export(pages: u32) -> Result<(), Error> {
//!     let done = context::checkpoint().and_then(|kept| kept.try_into().ok()).map_or(0, u32::from_le_bytes);
//!     for page in done..pages {
//!         // … the work for one page …
//!         progress::save_checkpoint(&(page + 1).to_le_bytes())?;
//!     }
//!     Ok(())
//! }
//! # assert!(export(1).is_ok());
//! ```

use std::fmt;

use crate::host;

/// Tells watchers how far the attempt is.
///
/// `fraction` goes from 0 to 1; the host clamps what lies outside, and takes NaN for unknown. It cuts `message` at
/// 1 KiB and passes on one report a second, the newest; the others cost fuel and nothing else. No report is kept,
/// and none extends a limit.
pub fn report(fraction: f64, message: &str) {
    host::report(fraction, message);
}

/// Whether the host wants this attempt to end, which it does from a drain or a cancel on.
///
/// After a drain a handler that returns a retry loses nothing: an attempt that a drain ends is not counted. One that goes
/// on is stopped when the host's grace is over, and the task runs again elsewhere. After a cancel whatever it returns is
/// dropped, and it is stopped when the queue's `cancel_grace` is over.
#[must_use]
pub fn cancelled() -> bool {
    host::cancelled()
}

/// Keeps where the work has come, for the next attempt, on whatever host: [`context::checkpoint`](crate::context::checkpoint)
/// gives it. At most 1 MiB.
///
/// When this returns the checkpoint is stored, in place of the one before. An attempt keeps one a second; a call that comes
/// sooner waits. It needs no grant, and is gone when the task has its result.
///
/// # Errors
/// It was not kept; the one before it is.
pub fn save_checkpoint(state: &[u8]) -> Result<(), CheckpointError> {
    host::save_checkpoint(state)
}

/// Why a checkpoint was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckpointError {
    /// It has more bytes than this.
    TooLarge(u64),
    /// The tenant's quota `checkpoints` is used up.
    Full,
    /// The store did not answer in time. It may have been kept all the same.
    Unavailable,
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(most) => write!(f, "the checkpoint has more than {most} bytes"),
            Self::Full => f.write_str("the tenant's quota `checkpoints` is used up"),
            Self::Unavailable => {
                f.write_str("the checkpoint was perhaps not kept: the store did not answer in time")
            }
        }
    }
}

/// As an [`Error`](crate::Error) it asks for another attempt, which goes on from the checkpoint before.
impl std::error::Error for CheckpointError {}

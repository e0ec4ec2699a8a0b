//! A failure that the handler reports, and what it asks the host to do about it.
//!
//! [`Error`] is the SDK's side of the WIT record `handler.error`. Everything a `?` meets becomes one.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::reason;

/// What the host is asked to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The input can never succeed: the task becomes a dead letter at once.
    Reject,
    /// Another attempt may succeed: the queue's retry policy decides whether there is one, and when.
    Retry,
}

/// A failure of the handler.
///
/// ```
/// use saggar_plugin::{Error, Kind};
/// use std::time::Duration;
///
/// let error = Error::reject("GIF is not supported; send JPEG, PNG or WebP").code("unsupported-format");
/// assert_eq!(error.kind, Kind::Reject);
///
/// let error = Error::retry("the service answered 503").retry_after(Duration::from_secs(30));
/// assert_eq!(error.after, Some(Duration::from_secs(30)));
/// ```
///
/// `?` turns every `std::error::Error` into a retry whose reason holds the error and its sources; to reject instead,
/// see [`OrFail`](crate::OrFail). For that conversion to exist, `Error` itself does not implement
/// `std::error::Error`.
///
/// ```
/// use saggar_plugin::{Error, Kind};
///
/// fn pieces(text: &str) -> Result<u32, Error> {
///     Ok(text.parse::<u32>()?)
/// }
///
/// let error = pieces("many").unwrap_err();
/// assert_eq!(error.kind, Kind::Retry);
/// assert_eq!(error.reason, "invalid digit found in string");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Error {
    /// Whether another attempt makes sense.
    pub kind: Kind,
    /// One or two sentences for the person who reads the result. The host cuts it at 4 KiB.
    pub reason: String,
    /// With [`Kind::Retry`], the shortest wait before the next attempt. The host counts in milliseconds, rounded up.
    /// `None` leaves it to the queue's policy.
    pub after: Option<Duration>,
    /// A short machine-readable name of the failure, for example `unsupported-format`. The host cuts it at 64 bytes.
    pub code: Option<String>,
}

impl Error {
    /// The input can never succeed: no further attempt.
    pub fn reject(reason: impl Into<String>) -> Self {
        Self::new(Kind::Reject, reason.into())
    }

    /// Another attempt may succeed.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::new(Kind::Retry, reason.into())
    }

    /// Asks for another attempt, not before `wait` has passed: for example what a `Retry-After` header said. Makes a
    /// rejection a retry.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.kind = Kind::Retry;
        self.after = Some(wait);
        self
    }

    /// Names the failure for programs, in words joined by hyphens.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    fn new(kind: Kind, reason: String) -> Self {
        Self { kind, reason, after: None, code: None }
    }
}

/// A failure that nobody judged may be passing, so it is a retry. The reason is the error followed by its sources.
impl<E: StdError> From<E> for Error {
    fn from(error: E) -> Self {
        Self::retry(reason::with_sources(&error))
    }
}

/// Shows the reason.
impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_makes_a_rejection_a_retry() {
        let error = Error::reject("busy").retry_after(Duration::from_secs(1));
        assert_eq!((error.kind, error.after), (Kind::Retry, Some(Duration::from_secs(1))));
    }

    #[test]
    fn an_error_shows_its_reason() {
        assert_eq!(Error::reject("too old").code("stale").to_string(), "too old");
    }
}

//! Why a call to a store failed, for [`kv`](crate::kv) and [`blobs`](crate::blobs) alike.

use std::fmt;

/// What kind of failure a call to a store met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The queue has no grant for the store; an operator gives it.
    Denied,
    /// The tenant's quota is used up.
    Full,
    /// The value or body is larger than what can be handed over at once.
    TooLarge,
    /// A key or a name is too long.
    TooLong,
    /// There is no such container or object.
    NotFound,
    /// Others keep changing it.
    Conflict,
    /// The content was replaced or damaged while it was read.
    Changed,
    /// The value is no number that can be added to, or the sum is too large for one.
    NotANumber,
    /// The store did not answer in time. What was asked for may have been done all the same.
    Unavailable,
    /// Something else; the message says what.
    Other,
}

/// Why a call to a store failed.
///
/// `?` in a handler makes a retry of it, as of every other error. That is right for what may pass:
///
/// ```
/// use saggar_plugin::{Error, StoreErrorKind, kv};
///
/// fn remember(order: &str) -> Result<(), Error> {
///     match kv::open("orders")?.set(order, b"seen") {
///         Err(error) if error.kind() == StoreErrorKind::TooLong => Err(Error::reject(error.to_string())),
///         done => Ok(done?),
///     }
/// }
/// # assert!(remember("4711").is_ok());
/// # assert!(remember(&"4711".repeat(1000)).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
}

impl StoreError {
    /// Reads what a host says: a code, a colon, a sentence.
    pub(crate) fn read(text: &str) -> Self {
        let (code, message) = text.split_once(": ").unwrap_or(("", text));
        let kind = match code {
            "denied" => StoreErrorKind::Denied,
            "full" => StoreErrorKind::Full,
            "too-large" | "too-many" => StoreErrorKind::TooLarge,
            "too-long" => StoreErrorKind::TooLong,
            "not-found" => StoreErrorKind::NotFound,
            "conflict" => StoreErrorKind::Conflict,
            "changed" => StoreErrorKind::Changed,
            "not-a-number" | "overflow" => StoreErrorKind::NotANumber,
            "unavailable" => StoreErrorKind::Unavailable,
            // Not a code of ours, so that it is part of the sentence.
            _ => return Self { kind: StoreErrorKind::Other, message: text.to_owned() },
        };
        Self { kind, message: message.to_owned() }
    }

    #[cfg(target_arch = "wasm32")]
    pub(crate) fn of(kind: StoreErrorKind, message: &str) -> Self {
        Self { kind, message: message.to_owned() }
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StoreError {}

impl From<StoreError> for std::io::Error {
    fn from(error: StoreError) -> Self {
        let kind = match error.kind {
            StoreErrorKind::Denied => std::io::ErrorKind::PermissionDenied,
            StoreErrorKind::Full => std::io::ErrorKind::QuotaExceeded,
            StoreErrorKind::NotFound => std::io::ErrorKind::NotFound,
            StoreErrorKind::Unavailable => std::io::ErrorKind::TimedOut,
            _ => std::io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_known_by_its_code_and_told_without_it() {
        let error = StoreError::read("full: the quota is used up");
        assert_eq!(
            (error.kind(), error.to_string()),
            (StoreErrorKind::Full, "the quota is used up".to_owned())
        );
        let other = StoreError::read("who knows: what");
        assert_eq!((other.kind(), other.to_string()), (StoreErrorKind::Other, "who knows: what".to_owned()));
    }
}

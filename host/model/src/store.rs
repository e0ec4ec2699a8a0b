//! What plugins keep between tasks: names of stores and keys as guests choose them, and how a storage call can fail.
//!
//! A name is any text that is not too long. What makes it fit for a subject is the business of whoever stores it.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

/// How long one call to a store may take. A stream that loses its leader stores nothing for 4 to 9 s; less would turn
/// every such change into failures, more would eat a default wall limit of 30 s with two calls.
pub const STORE_CALL_MAX: Duration = Duration::from_secs(10);

/// The most keys or names that are listed at once.
pub const STORE_PAGE_MAX: usize = 256;

/// How often a value is read and written anew while others keep changing it. Of a hundred that add to one counter at
/// once, each gets its turn long before.
pub const STORE_TRIES_MAX: u32 = 64;

/// The part of a large body that is stored or fetched at once: what the object stores of NATS use.
pub const CHUNK_BYTES: usize = 128 << 10;

/// The most that a checkpoint may have: it is a place to go on from, and what was worked out so far belongs elsewhere.
pub const CHECKPOINT_MAX_BYTES: usize = 1 << 20;

/// Between two checkpoints of an attempt: no attempt loses more work than this, and none keeps the store busy.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// What a value may take of a message. The rest is for the headers that make a write conditional.
pub const VALUE_RESERVE: usize = 1024;

/// The name of a bucket or a container, as a guest chose it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreName(String);

/// The key of a value or the name of an object, as a guest chose it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreKey(String);

impl StoreName {
    /// A name for people, not a document. Three bytes for each at worst, it leaves most of a subject to the key.
    pub const MAX_BYTES: usize = 64;

    /// Takes any text that is not too long.
    ///
    /// # Errors
    /// It is longer than [`Self::MAX_BYTES`].
    pub fn new(text: &str) -> Result<Self, StoreError> {
        bounded("name", text, Self::MAX_BYTES).map(Self)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl StoreKey {
    /// A line of the NATS protocol has 4,096 bytes, and one that is longer ends the connection. The name of an object
    /// takes four bytes of it for each at worst, beside those of its container and of whom to answer; twice as many
    /// would not fit.
    pub const MAX_BYTES: usize = 512;

    /// Takes any text that is not too long.
    ///
    /// # Errors
    /// It is longer than [`Self::MAX_BYTES`].
    pub fn new(text: &str) -> Result<Self, StoreError> {
        bounded("key", text, Self::MAX_BYTES).map(Self)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn bounded(what: &'static str, text: &str, most: usize) -> Result<String, StoreError> {
    if text.len() > most {
        return Err(StoreError::TooLong { what, bytes: text.len(), most });
    }
    Ok(text.to_owned())
}

/// Which of a tenant's stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreKind {
    /// Keys and values.
    Kv,
    /// Objects.
    Blobs,
    /// Where long tasks had come.
    Checkpoints,
    /// Payloads of tasks and results that are too large for a message.
    Payloads,
}

impl StoreKind {
    /// The key of its quota, and the grant of those that are granted.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kv => "kv",
            Self::Blobs => "blobs",
            Self::Checkpoints => "checkpoints",
            Self::Payloads => "payloads",
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A value, and its revision: a number that no other value of the key ever had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The value.
    pub value: Bytes,
    /// The revision.
    pub revision: u64,
}

/// What a key must be for it to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Anything.
    Always,
    /// It has no value.
    Absent,
    /// Its value has this revision.
    Revision(u64),
}

/// A part of a list of names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamePage {
    /// The names, in the order in which they were last written.
    pub names: Vec<String>,
    /// Where the next part begins; nothing after the last one.
    pub next: Option<u64>,
}

/// What is known about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectFacts {
    /// Its size in bytes.
    pub size: u64,
    /// When it was written.
    pub created_at: SystemTime,
}

/// Why a storage call failed, for the guest that made it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The tenant's quota is used up.
    #[error("the tenant's quota `{0}` is used up; remove something, or ask the operator for a larger one")]
    Full(StoreKind),
    /// The value cannot be stored whole.
    #[error("{bytes} bytes are too many; there may be {most}")]
    TooLarge {
        /// Its size in bytes.
        bytes: u64,
        /// The most there may be.
        most: u64,
    },
    /// A name or a key is too long.
    #[error("a {what} of {bytes} bytes is too long; it may have {most}")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// Its length in bytes.
        bytes: usize,
        /// The most it may have.
        most: usize,
    },
    /// More was asked for at once than a call does.
    #[error("{asked} {what} at once are too many; there may be {most}")]
    TooMany {
        /// What it was.
        what: &'static str,
        /// How much of it.
        asked: u64,
        /// The most there may be.
        most: u64,
    },
    /// Others changed it each time before this call could.
    #[error("others keep changing it; try again later")]
    Conflict,
    /// The value is no number that can be added to.
    #[error("the value is no decimal number from 0 to 18446744073709551615")]
    NotANumber,
    /// The sum is larger than any number that can be stored.
    #[error("the sum is more than 18446744073709551615")]
    Overflow,
    /// There is no such container or object.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The first byte asked for comes after the last.
    #[error("the range ends before it begins")]
    BadRange,
    /// What was stored is not what is read, because it was replaced meanwhile or was damaged.
    #[error("the content was replaced or damaged while it was read")]
    Changed,
    /// Too many bodies are open at once.
    #[error("there are {0} bodies open, which is the most; close one first")]
    TooManyOpen(usize),
    /// A body was used in an order that makes no sense.
    #[error("{0}")]
    Misused(&'static str),
    /// So much has been done, and there is more to do.
    #[error("{0} were removed, and there are more; call again")]
    Unfinished(usize),
    /// The store does not answer.
    #[error("the store did not answer in time; what was asked for may have been done all the same")]
    Unavailable,
}

impl StoreError {
    /// A short name that programs can tell errors apart by.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Full(_) => "full",
            Self::TooLarge { .. } => "too-large",
            Self::TooLong { .. } => "too-long",
            Self::TooMany { .. } => "too-many",
            Self::Conflict => "conflict",
            Self::NotANumber => "not-a-number",
            Self::Overflow => "overflow",
            Self::NotFound(_) => "not-found",
            Self::BadRange => "bad-range",
            Self::Changed => "changed",
            Self::TooManyOpen(_) => "too-many-open",
            Self::Misused(_) => "misused",
            Self::Unfinished(_) => "unfinished",
            Self::Unavailable => "unavailable",
        }
    }

    /// As a guest reads it where an interface has nothing but a text: the code, a colon, the sentence.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}: {self}", self.code())
    }
}

/// A counter's next value, written as the store keeps it: a decimal number.
///
/// # Errors
/// The value is no such number, or the sum is too large.
pub fn incremented(value: Option<&[u8]>, delta: u64) -> Result<(u64, Bytes), StoreError> {
    let current = match value {
        None => 0,
        Some(text) => std::str::from_utf8(text)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse::<u64>().ok())
            .ok_or(StoreError::NotANumber)?,
    };
    let sum = current.checked_add(delta).ok_or(StoreError::Overflow)?;
    Ok((sum, sum.to_string().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_a_key_unless_it_is_too_long() {
        for text in ["", "a", "../..", "*", ">", "a\0b\r\nc", "ключ", " "] {
            assert_eq!(StoreKey::new(text).unwrap().as_str(), text);
            assert_eq!(StoreName::new(text).unwrap().as_str(), text);
        }
        let long = "k".repeat(5000);
        let error = StoreError::TooLong { what: "key", bytes: 5000, most: 512 };
        assert_eq!(StoreKey::new(&long), Err(error.clone()));
        assert_eq!(error.text(), "too-long: a key of 5000 bytes is too long; it may have 512");
        assert!(StoreKey::new(&long[..512]).is_ok() && StoreKey::new(&long[..513]).is_err());
        assert!(StoreName::new(&long[..64]).is_ok() && StoreName::new(&long[..65]).is_err());
    }

    #[test]
    fn a_counter_counts_in_decimal_and_says_why_it_cannot() {
        assert_eq!(incremented(None, 5), Ok((5, "5".into())));
        assert_eq!(incremented(Some(b"37"), 5), Ok((42, "42".into())));
        assert_eq!(incremented(Some(b"7"), 0), Ok((7, "7".into())));
        assert_eq!(incremented(Some(b"18446744073709551615"), 1), Err(StoreError::Overflow));
        for text in [b"".as_slice(), b"+1", b"-1", b" 1", b"1e3", b"\xff", b"18446744073709551616"] {
            assert_eq!(incremented(Some(text), 1), Err(StoreError::NotANumber), "{text:?}");
        }
    }
}

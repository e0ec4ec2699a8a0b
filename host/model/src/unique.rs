//! A task that is unique by a key within a window of time.
//!
//! The windows lie fixed, one behind the other since 1970: the key and the beginning of the window make the task's id, so
//! that JetStream itself refuses a second one, and no host keeps anything. A window that begins with the first task
//! would need a record beside the stream, and a moment between the two in which it is wrong.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::TaskId;

/// The shortest window. Between two tasks there are never fewer than a few milliseconds, and a clock is rarely better.
pub const WINDOW_MIN: Duration = Duration::from_secs(1);

/// The id of the task of this key in the window that `now` is in: `key-`, 128 bits of the key, and when the window
/// begins.
///
/// Nothing if the window is shorter than a second, or the year has more than four digits.
#[must_use]
pub fn unique_id(key: &str, window: Duration, now: SystemTime) -> Option<TaskId> {
    let begins = window_of(window, now)?;
    let digest = Sha256::digest(key.as_bytes());
    let begins = Timestamp::try_from(begins).ok()?.strftime("%Y%m%dT%H%M%SZ");
    TaskId::published(&format!("key-{}-{begins}", hex::encode(&digest[..16]))).ok()
}

/// When the window begins that `now` is in.
#[must_use]
pub fn window_of(window: Duration, now: SystemTime) -> Option<SystemTime> {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    let begins = since - since.checked_rem(window.as_secs())?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(begins))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> SystemTime {
        time.parse::<Timestamp>().unwrap().into()
    }

    fn id(key: &str, window: Duration, now: &str) -> String {
        unique_id(key, window, at(now)).unwrap().to_string()
    }

    #[test]
    fn one_key_has_one_id_in_a_window_and_another_in_the_next() {
        let hour = Duration::from_hours(1);
        let first = id("user-7", hour, "2026-11-22T18:00:00Z");
        assert!(first.starts_with("key-") && first.ends_with("-20261122T180000Z"), "{first}");
        assert_eq!(first, id("user-7", hour, "2026-11-22T18:59:59.999Z"));
        assert_ne!(first, id("user-7", hour, "2026-11-22T19:00:00Z"));
        assert_ne!(first, id("user-8", hour, "2026-11-22T18:00:00Z"));
    }

    #[test]
    fn any_key_makes_an_id() {
        for key in ["", "a.>", "ключ", &"x".repeat(10_000)] {
            let id = id(key, Duration::from_hours(24), "2026-11-22T18:30:00Z");
            assert!(id.ends_with("-20261122T000000Z"), "{id}");
        }
    }

    #[test]
    fn a_window_of_nothing_has_no_beginning() {
        assert_eq!(window_of(Duration::from_millis(999), at("2026-11-22T18:30:00Z")), None);
    }
}

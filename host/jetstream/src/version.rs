//! Which releases of nats-server are used, and which are warned about.

use std::fmt;

/// A release of nats-server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

/// The oldest release that has all that is used.
pub const OLDEST: ServerVersion = ServerVersion { major: 2, minor: 14, patch: 0 };

/// The first release of its line without known loss or stalls of work queues.
const SOUND_2_14: ServerVersion = ServerVersion { major: 2, minor: 14, patch: 8 };

/// A release that came before the last of those corrections.
const UNSOUND_2_15: ServerVersion = ServerVersion { major: 2, minor: 15, patch: 0 };

impl ServerVersion {
    /// Reads `2.15.1`, `v2.14.8` or `2.15.0-RC.1`; also `nats-server: v2.15.1`.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let start = text.find(|c: char| c.is_ascii_digit())?;
        let mut numbers = text[start..].splitn(3, '.').map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..digits].parse::<u32>().ok()
        });
        let mut next = || numbers.next().flatten();
        Some(Self { major: next()?, minor: next()?, patch: next()? })
    }

    /// Whether it has all that is used.
    #[must_use]
    pub fn is_supported(self) -> bool {
        self >= OLDEST
    }

    /// What an operator should know about this release.
    #[must_use]
    pub fn warning(self) -> Option<String> {
        (self < SOUND_2_14 || self == UNSOUND_2_15).then(|| {
            format!(
                "nats-server {self} is known to lose or stall messages of work queues in rare cases; upgrade to \
                 2.14.8, 2.15.1 or later"
            )
        })
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> ServerVersion {
        ServerVersion::read(text).unwrap()
    }

    #[test]
    fn versions_are_read_as_servers_write_them() {
        for text in ["2.15.1", "v2.15.1", "nats-server: v2.15.1", "2.15.1-RC.2", "2.15.1\n"] {
            assert_eq!(version(text).to_string(), "2.15.1", "{text:?}");
        }
        for text in ["", "nats", "2", "2.15", "2.x.1"] {
            assert_eq!(ServerVersion::read(text), None, "{text:?}");
        }
    }

    #[test]
    fn old_releases_are_refused_and_unsound_ones_warned_about() {
        for (text, supported, warned) in [
            ("2.9.10", false, true),
            ("2.13.99", false, true),
            ("2.14.0", true, true),
            ("2.14.7", true, true),
            ("2.14.8", true, false),
            ("2.15.0", true, true),
            ("2.15.1", true, false),
            ("3.0.0", true, false),
        ] {
            assert_eq!(version(text).is_supported(), supported, "{text}");
            assert_eq!(version(text).warning().is_some(), warned, "{text}");
        }
    }
}

//! Secrets: which of them a queue's tasks may use and how, and the values, which are never printed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{HostPattern, NameError, SecretName, TenantName};

/// A secret that the tasks of a queue may use: `"API_TOKEN"`, or `{ name = "API_TOKEN", only_to = ["api.example.com"] }`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct SecretGrant {
    /// What it is called.
    pub name: SecretName,
    /// Absent: the guest reads the value. Present: the guest reads a placeholder, which the host replaces in the
    /// headers of requests to these hosts, and nowhere else.
    pub only_to: Vec<HostPattern>,
}

/// The two forms of a grant in files and records.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Name(SecretName),
    Table { name: SecretName, only_to: Vec<HostPattern> },
}

impl From<Written> for SecretGrant {
    fn from(written: Written) -> Self {
        match written {
            Written::Name(name) => Self::readable(name),
            Written::Table { name, only_to } => Self { name, only_to },
        }
    }
}

impl From<SecretGrant> for Written {
    fn from(grant: SecretGrant) -> Self {
        let SecretGrant { name, only_to } = grant;
        if only_to.is_empty() { Self::Name(name) } else { Self::Table { name, only_to } }
    }
}

impl SecretGrant {
    /// A secret whose value the guest reads.
    #[must_use]
    pub fn readable(name: SecretName) -> Self {
        Self { name, only_to: Vec::new() }
    }

    /// Whether the guest never sees the value.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        !self.only_to.is_empty()
    }
}

impl fmt::Display for SecretGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_hidden() {
            let hosts: Vec<String> = self.only_to.iter().map(ToString::to_string).collect();
            write!(f, "{} (only to {})", self.name, hosts.join(", "))
        } else {
            write!(f, "{}", self.name)
        }
    }
}

impl std::str::FromStr for SecretGrant {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self::readable)
    }
}

/// Where the values of secrets lie: a file for each secret of each tenant.
pub type SecretFiles = BTreeMap<TenantName, BTreeMap<SecretName, PathBuf>>;

/// A text that cannot serve as a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnfitSecret {
    /// To keep it out of a log would blacken the log.
    #[error("is shorter than {} bytes, too short to be kept out of logs", SecretValue::MIN_BYTES)]
    TooShort,
    /// To look for it in everything would cost too much.
    #[error("is longer than {} bytes", SecretValue::MAX_BYTES)]
    TooLong,
    /// It is no text.
    #[error("is not UTF-8")]
    NoText,
}

/// The value of a secret. Formatting it shows nothing.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SecretValue(String);

impl SecretValue {
    /// Shorter ones turn up in texts by chance.
    pub const MIN_BYTES: usize = 6;
    /// Room for a private key of 8,192 bits as PEM.
    pub const MAX_BYTES: usize = 8 << 10;

    /// Takes what a file holds: one line break at its end belongs to the file.
    ///
    /// # Errors
    /// It is too short or too long, or no text.
    pub fn from_file(bytes: &[u8]) -> Result<Self, UnfitSecret> {
        let text = std::str::from_utf8(bytes).map_err(|_| UnfitSecret::NoText)?;
        let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        match text.len() {
            ..Self::MIN_BYTES => Err(UnfitSecret::TooShort),
            Self::MIN_BYTES..=Self::MAX_BYTES => Ok(Self(text.to_owned())),
            _ => Err(UnfitSecret::TooLong),
        }
    }

    /// The value itself, for whoever may have it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_formatted() {
        let value = SecretValue::from_file(b"hunter22\n").unwrap();
        assert_eq!(format!("{value:?}"), "[secret]");
        assert_eq!(value.reveal(), "hunter22");
    }

    #[test]
    fn the_line_break_of_a_file_is_no_part_of_the_value() {
        for file in ["token-1", "token-1\n", "token-1\r\n"] {
            assert_eq!(SecretValue::from_file(file.as_bytes()).unwrap().reveal(), "token-1");
        }
        assert_eq!(SecretValue::from_file(b"token-1\n\n").unwrap().reveal(), "token-1\n");
    }

    #[test]
    fn what_cannot_be_kept_secret_is_refused() {
        assert_eq!(SecretValue::from_file(b"short\n"), Err(UnfitSecret::TooShort));
        assert_eq!(SecretValue::from_file(&[b'x'; 9000]), Err(UnfitSecret::TooLong));
        assert_eq!(SecretValue::from_file(b"\xff\xff\xff\xff\xff\xff"), Err(UnfitSecret::NoText));
    }

    #[test]
    fn a_grant_is_written_as_short_as_it_can_be() {
        let readable: SecretGrant = serde_json::from_str(r#""API_TOKEN""#).unwrap();
        assert!(!readable.is_hidden());
        assert_eq!(serde_json::to_string(&readable).unwrap(), r#""API_TOKEN""#);
        let text = r#"{"name":"API_TOKEN","only_to":["api.example.com"]}"#;
        let hidden: SecretGrant = serde_json::from_str(text).unwrap();
        assert!(hidden.is_hidden());
        assert_eq!(serde_json::to_string(&hidden).unwrap(), text);
        assert_eq!(hidden.to_string(), "API_TOKEN (only to api.example.com)");
    }
}

//! How plugins are named: by version within a tenant, or by digest anywhere.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{NameError, PluginName, escape_and_cut};

/// The largest component that is looked at, stored or fetched: three times a language runtime with its library.
pub const COMPONENT_MAX_BYTES: usize = 64 << 20;

/// A text that names no plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// The part before the `@` is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The part after the `@` is no version.
    #[error(
        "`{0}` is not a plugin version: use 1 to 64 of a-z, A-Z, 0-9, `.` and `-`, beginning with a letter or digit, for example 1.2.0"
    )]
    Version(String),
    /// The digest is not written as digests are.
    #[error("`{0}` is not a digest: write `sha256:` and 64 of 0-9 and a-f")]
    Digest(String),
    /// There is no `@`.
    #[error("`{0}` names no version: write `NAME@VERSION` or `NAME@sha256:…`")]
    Unversioned(String),
}

/// The SHA-256 of a component: what runs, whatever it is called.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest without its `sha256:`, as 64 hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The bytes of the digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 2 * size_of::<Self>()];
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        f.write_str("sha256:")?;
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = PluginError;

    fn from_str(text: &str) -> Result<Self, PluginError> {
        let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let mut digest = [0; 32];
        text.strip_prefix("sha256:")
            // Upper case would be a second spelling of one digest.
            .filter(|digits| digits.bytes().all(lower))
            .and_then(|digits| hex::decode_to_slice(digits, &mut digest).ok())
            .map(|()| Self(digest))
            .ok_or_else(|| PluginError::Digest(escape_and_cut(text, 128)))
    }
}

impl TryFrom<String> for Digest {
    type Error = PluginError;

    fn try_from(text: String) -> Result<Self, PluginError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// A version of a plugin. Once pushed it never changes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PluginVersion(Arc<str>);

impl PluginVersion {
    /// The version as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PluginVersion {
    type Err = PluginError;

    fn from_str(text: &str) -> Result<Self, PluginError> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-')
            && text.as_bytes()[0].is_ascii_alphanumeric()
            && !text.ends_with('.')
            && !text.contains("..");
        if fits { Ok(Self(text.into())) } else { Err(PluginError::Version(escape_and_cut(text, 128))) }
    }
}

impl TryFrom<String> for PluginVersion {
    type Error = PluginError;

    fn try_from(text: String) -> Result<Self, PluginError> {
        text.parse()
    }
}

impl From<PluginVersion> for String {
    fn from(version: PluginVersion) -> Self {
        version.0.as_ref().to_owned()
    }
}

impl fmt::Display for PluginVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for PluginVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// What a queue is bound to: `thumbnail@1.2.0` or `thumbnail@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PluginRef {
    /// A version that the tenant pushed.
    Version(PluginName, PluginVersion),
    /// One component, whatever its versions are called.
    Digest(PluginName, Digest),
}

impl PluginRef {
    /// The name within the tenant.
    #[must_use]
    pub fn name(&self) -> &PluginName {
        match self {
            Self::Version(name, _) | Self::Digest(name, _) => name,
        }
    }

    /// The version, where there is one.
    #[must_use]
    pub fn version(&self) -> Option<&PluginVersion> {
        match self {
            Self::Version(_, version) => Some(version),
            Self::Digest(..) => None,
        }
    }
}

impl FromStr for PluginRef {
    type Err = PluginError;

    fn from_str(text: &str) -> Result<Self, PluginError> {
        let (name, version) =
            text.split_once('@').ok_or_else(|| PluginError::Unversioned(escape_and_cut(text, 128)))?;
        let name = name.parse()?;
        if version.starts_with("sha256:") {
            Ok(Self::Digest(name, version.parse()?))
        } else {
            Ok(Self::Version(name, version.parse()?))
        }
    }
}

impl TryFrom<String> for PluginRef {
    type Error = PluginError;

    fn try_from(text: String) -> Result<Self, PluginError> {
        text.parse()
    }
}

impl From<PluginRef> for String {
    fn from(plugin: PluginRef) -> Self {
        plugin.to_string()
    }
}

impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(name, version) => write!(f, "{name}@{version}"),
            Self::Digest(name, digest) => write!(f, "{name}@{digest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_50_a_digest_has_one_spelling() {
        let digest = Digest::of(b"");
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse(), Ok(digest));
        for bad in
            [&text.to_uppercase(), &text.replace('e', "E"), &text[..70], &text[7..], "sha256:", "sha512:00"]
        {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn plugins_are_named_by_version_or_digest() {
        let version: PluginRef = "thumbnail@1.2.0".parse().unwrap();
        assert_eq!(version.version().unwrap().as_str(), "1.2.0");
        let digest: PluginRef = format!("thumbnail@{}", Digest::of(b"x")).parse().unwrap();
        assert_eq!(digest.version(), None);
        for plugin in [version, digest] {
            assert_eq!(plugin.to_string().parse(), Ok(plugin));
        }
        for bad in
            ["thumbnail", "@1", "thumbnail@", "Thumb@1", "a@..", "a@1..2", "a@-1", "a@1 2", "a@sha256:zz"]
        {
            assert!(bad.parse::<PluginRef>().is_err(), "{bad}");
        }
    }
}

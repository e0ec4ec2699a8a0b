//! What is to be fetched: `oci://HOST[:PORT]/REPOSITORY:TAG` or `…@sha256:…`.

use std::fmt;
use std::str::FromStr;

use saggar_model::{Digest, escape_and_cut};

/// What every reference begins with.
const SCHEME: &str = "oci://";

/// Longest host with its port: a DNS name and a bit.
const HOST_MAX_BYTES: usize = 261;

/// Longest repository, as the distribution specification advises with the host's name.
const REPOSITORY_MAX_BYTES: usize = 255;

/// Longest tag, as the specification has it.
const TAG_MAX_BYTES: usize = 128;

/// A text that refers to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` refers to nothing in a registry: {reason}; write `oci://HOST/REPOSITORY:TAG` or `oci://HOST/REPOSITORY@sha256:…`"
)]
pub struct ReferenceError {
    text: String,
    reason: &'static str,
}

/// Which of a repository's artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Whatever the registry says that this name stands for now.
    Tag(String),
    /// The one whose manifest has this digest.
    Manifest(Digest),
}

/// A reference to an artifact in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub(crate) host: String,
    pub(crate) repository: String,
    pub(crate) wanted: Wanted,
}

impl Reference {
    /// Whether a text is meant as a reference, rather than as a file's name.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME))
    }

    /// Which artifact it is.
    #[must_use]
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// The last part of the repository, which mostly is what a thing is called.
    #[must_use]
    pub fn name(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or_default()
    }

    /// The same repository's artifact of this digest.
    pub(crate) fn pinned(&self, manifest: Digest) -> Self {
        Self { wanted: Wanted::Manifest(manifest), ..self.clone() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, repository, wanted } = self;
        write!(f, "{SCHEME}{host}/{repository}")?;
        match wanted {
            Wanted::Tag(tag) => write!(f, ":{tag}"),
            Wanted::Manifest(digest) => write!(f, "@{digest}"),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let wrong = |reason| ReferenceError { text: escape_and_cut(text, 256), reason };
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| wrong("it does not begin with `oci://`"))?;
        let (host, path) = rest.split_once('/').ok_or_else(|| wrong("it names no repository"))?;
        if !is_host(host) {
            return Err(wrong("the host is none"));
        }
        let (repository, wanted) = if let Some((repository, digest)) = path.split_once('@') {
            let digest = digest.parse().map_err(|_| wrong("the digest is none"))?;
            (repository, Wanted::Manifest(digest))
        } else if let Some((repository, tag)) = path.split_once(':') {
            (repository, Wanted::Tag(tag.to_owned()))
        } else {
            return Err(wrong("it names neither tag nor digest"));
        };
        if !is_repository(repository) {
            return Err(wrong("the repository is none"));
        }
        match &wanted {
            Wanted::Tag(tag) if !is_tag(tag) => Err(wrong("the tag is none")),
            _ => Ok(Self { host: host.to_owned(), repository: repository.to_owned(), wanted }),
        }
    }
}

/// A name or an address with a port perhaps; whether there is such a host, is asked later.
fn is_host(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]".contains(&byte);
    (1..=HOST_MAX_BYTES).contains(&text.len()) && text.bytes().all(plain)
}

fn is_repository(text: &str) -> bool {
    text.len() <= REPOSITORY_MAX_BYTES && text.split('/').all(is_component)
}

/// Words of small letters and digits, between them a dot, one or two underscores, or dashes.
fn is_component(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let (Some(first), Some(last)) = (text.bytes().next(), text.bytes().last()) else { return false };
    let separators = text.split(|character: char| word(u8::try_from(character).unwrap_or(b'!')));
    let mut separators = separators.filter(|separator| !separator.is_empty());
    word(first)
        && word(last)
        && separators.all(|one| matches!(one, "." | "_" | "__") || one.bytes().all(|byte| byte == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=TAG_MAX_BYTES).contains(&text.len())
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
        && word(text.as_bytes()[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_read_back_as_they_are_written() {
        let digest = Digest::of(b"x");
        for text in [
            "oci://registry.example.com/acme/thumbnail:1.2.0".to_owned(),
            "oci://localhost:5000/a:latest".to_owned(),
            "oci://[::1]:5000/a/b__c/d-e.f--g:1_2-3.4".to_owned(),
            format!("oci://registry.example.com/acme/thumbnail@{digest}"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
        let reference: Reference = "oci://registry.example.com/acme/thumbnail:1.2.0".parse().unwrap();
        assert_eq!(reference.name(), "thumbnail");
        assert_eq!(
            reference.pinned(digest).to_string(),
            format!("oci://registry.example.com/acme/thumbnail@{digest}")
        );
    }

    #[test]
    fn attack_50_what_could_be_read_in_two_ways_is_no_reference() {
        let digest = Digest::of(b"x").to_string();
        let bad = [
            "registry.example.com/a:1".to_owned(),
            "oci://registry.example.com".to_owned(),
            "oci://registry.example.com/".to_owned(),
            "oci://registry.example.com/a".to_owned(),
            "oci://registry.example.com/a:".to_owned(),
            "oci://registry.example.com/A:1".to_owned(),
            "oci://registry.example.com/a..b:1".to_owned(),
            "oci://registry.example.com/../b:1".to_owned(),
            "oci://registry.example.com/a/:1".to_owned(),
            "oci://registry.example.com//a:1".to_owned(),
            "oci://registry.example.com/a:1?x=2".to_owned(),
            "oci://registry.example.com/a:1#x".to_owned(),
            "oci://registry.example.com/a:../b".to_owned(),
            "oci://registry.example.com/ä:1".to_owned(),
            "oci://user:password@registry.example.com/a:1".to_owned(),
            "oci://Registry.example.com/a:1".to_owned(),
            "oci:///a:1".to_owned(),
            "OCI://registry.example.com/a:1".to_owned(),
            format!("oci://registry.example.com/a:1@{digest}"),
            format!("oci://registry.example.com/a@{}", digest.to_uppercase()),
            format!("oci://registry.example.com/a@{}", &digest[..70]),
            format!("oci://registry.example.com/a@{}", digest.trim_start_matches("sha256:")),
            format!("oci://registry.example.com/a:{}", "x".repeat(129)),
            format!("oci://registry.example.com/{}:1", "x".repeat(256)),
        ];
        for text in bad {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}

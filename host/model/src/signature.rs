//! Signatures of plugins: what is signed, and whether a signature counts.
//!
//! A signature is of a name, a version and a digest together, so that it says nothing of any other name, version or
//! component. It names no tenant: an organisation signs once for all of them. What is stored is text from elsewhere,
//! and nothing of it is believed before it was checked here.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Digest, KeyError, PluginName, PluginVersion, PublicKey, SecretKey, escape_and_cut};

/// Signatures of one version: the makers, a reviewer, an operator, and two generations of each one's keys. Checking
/// that many costs a host less than a millisecond.
pub const SIGNATURES_MAX: usize = 8;

/// What a signature says: that this version of this plugin is this component.
///
/// Its text is what is signed. None of its parts can hold a line break, and its first line belongs to no other kind of
/// statement, so that there is one way to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement<'a> {
    /// What the plugin is called.
    pub name: &'a PluginName,
    /// Which version it is.
    pub version: &'a PluginVersion,
    /// The component.
    pub digest: &'a Digest,
}

impl Statement<'_> {
    /// This statement, signed.
    #[must_use]
    pub fn sign(&self, key: &SecretKey) -> Signature {
        Signature { key: key.public().to_string(), signature: key.sign(self.to_string().as_bytes()) }
    }
}

impl fmt::Display for Statement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, version, digest } = self;
        write!(f, "saggar plugin signature 1\n{name}\n{version}\n{digest}\n")
    }
}

/// A signature as it is stored. It may be anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The key that it claims to be of.
    pub key: String,
    /// The signature, in hexadecimal digits.
    pub signature: String,
}

impl Signature {
    /// Whether the key that it names has signed this; whose key that is, is another question.
    ///
    /// # Errors
    /// It names no key.
    pub fn is_of(&self, statement: &Statement<'_>) -> Result<bool, KeyError> {
        Ok(self.key.parse::<PublicKey>()?.signed(statement.to_string().as_bytes(), &self.signature))
    }
}

/// The keys of which one must have signed a plugin for it to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedKeys(Vec<PublicKey>);

/// Why a plugin is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// Nobody has signed it.
    #[error("nobody has signed it")]
    NotSigned,
    /// Somebody else has.
    #[error("it is signed by {}, and none of these keys is trusted", .keys.join(", "))]
    OtherKeys {
        /// What the signatures say that they are of.
        keys: Vec<String>,
    },
    /// A trusted key has signed something else.
    #[error("its signature by {key} is not of this name, version and component, or is damaged")]
    SomethingElse {
        /// The key.
        key: String,
    },
}

impl TrustedKeys {
    /// These keys; nothing if there are none, because a list without keys would trust nobody, or everybody.
    #[must_use]
    pub fn new(keys: Vec<PublicKey>) -> Option<Self> {
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.0
    }

    /// Whether a trusted key has signed this, and which.
    ///
    /// # Errors
    /// None has. Signatures beyond [`SIGNATURES_MAX`] are not looked at.
    pub fn check(
        &self,
        statement: &Statement<'_>,
        signatures: &[Signature],
    ) -> Result<&PublicKey, Untrusted> {
        let signed = statement.to_string();
        let mut something_else = None;
        for signature in signatures.iter().take(SIGNATURES_MAX) {
            let Some(key) = self.0.iter().find(|key| key.to_string() == signature.key) else { continue };
            if key.signed(signed.as_bytes(), &signature.signature) {
                return Ok(key);
            }
            something_else = Some(key.short());
        }
        Err(match something_else {
            Some(key) => Untrusted::SomethingElse { key },
            None if signatures.is_empty() => Untrusted::NotSigned,
            None => Untrusted::OtherKeys {
                keys: signatures.iter().take(SIGNATURES_MAX).map(|signature| shown(&signature.key)).collect(),
            },
        })
    }
}

/// A key as a signature names it, for people.
fn shown(key: &str) -> String {
    key.parse::<PublicKey>().map_or_else(|_| escape_and_cut(key, 32), |key| key.short())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Release {
        name: PluginName,
        version: PluginVersion,
        digest: Digest,
    }

    impl Release {
        fn new(name: &str, version: &str, component: &[u8]) -> Self {
            let digest = Digest::of(component);
            Self { name: name.parse().unwrap(), version: version.parse().unwrap(), digest }
        }

        fn statement(&self) -> Statement<'_> {
            Statement { name: &self.name, version: &self.version, digest: &self.digest }
        }

        fn signed(&self, key: &SecretKey) -> Signature {
            self.statement().sign(key)
        }
    }

    fn key(n: u8) -> SecretKey {
        SecretKey::from_random(&[n; 32])
    }

    fn trusted(keys: &[u8]) -> TrustedKeys {
        TrustedKeys::new(keys.iter().map(|n| key(*n).public()).collect()).unwrap()
    }

    fn thumbnail() -> Release {
        Release::new("thumbnail", "1.2.0", b"component")
    }

    #[test]
    fn a_plugin_that_one_of_the_trusted_keys_has_signed_is_trusted() {
        let release = thumbnail();
        let signatures = [release.signed(&key(9)), release.signed(&key(2))];
        assert_eq!(trusted(&[1, 2]).check(&release.statement(), &signatures), Ok(&key(2).public()));
        assert_eq!(signatures[0].is_of(&release.statement()), Ok(true));
    }

    #[test]
    fn what_is_signed_is_a_text_that_any_tool_can_sign() {
        assert_eq!(
            thumbnail().statement().to_string(),
            format!("saggar plugin signature 1\nthumbnail\n1.2.0\n{}\n", Digest::of(b"component"))
        );
    }

    #[test]
    fn attack_49_a_plugin_without_a_signature_is_not_trusted() {
        assert_eq!(trusted(&[1]).check(&thumbnail().statement(), &[]), Err(Untrusted::NotSigned));
        assert_eq!(TrustedKeys::new(Vec::new()), None, "no keys are no policy, and must not look like one");
    }

    #[test]
    fn attack_49_a_signature_of_another_name_version_or_component_is_not_trusted() {
        let others = [
            Release::new("thumbnails", "1.2.0", b"component"),
            Release::new("thumbnail", "1.2.1", b"component"),
            Release::new("thumbnail", "1.2.0", b"component 2"),
            // The same letters, cut elsewhere.
            Release::new("thumbnail1", "2.0", b"component"),
        ];
        for other in others {
            let signatures = [other.signed(&key(1))];
            let refused = trusted(&[1]).check(&thumbnail().statement(), &signatures).cloned();
            assert_eq!(refused, Err(Untrusted::SomethingElse { key: key(1).public().short() }));
            assert_eq!(signatures[0].is_of(&thumbnail().statement()), Ok(false));
        }
    }

    #[test]
    fn attack_49_a_signature_by_another_key_is_not_trusted_whatever_name_it_bears() {
        let release = thumbnail();
        let refused = trusted(&[1]).check(&release.statement(), &[release.signed(&key(2))]).unwrap_err();
        assert_eq!(refused, Untrusted::OtherKeys { keys: vec![key(2).public().short()] });
        let renamed = Signature { key: key(1).public().to_string(), ..release.signed(&key(2)) };
        let refused = trusted(&[1]).check(&release.statement(), &[renamed]).unwrap_err();
        assert_eq!(refused, Untrusted::SomethingElse { key: key(1).public().short() });
    }

    #[test]
    fn attack_49_malformed_and_cut_signatures_are_not_trusted() {
        let release = thumbnail();
        let good = release.signed(&key(1));
        let flipped = {
            let last = if good.signature.ends_with('0') { "1" } else { "0" };
            format!("{}{last}", &good.signature[..127])
        };
        let bad = [
            String::new(),
            good.signature[..126].to_owned(),
            good.signature[..127].to_owned(),
            format!("{}00", good.signature),
            flipped,
            "0".repeat(128),
            "f".repeat(128),
            "é".repeat(64),
            "\u{1b}[31m".repeat(100_000),
        ];
        for signature in bad {
            let signature = Signature { key: good.key.clone(), signature };
            let refused =
                trusted(&[1]).check(&release.statement(), std::slice::from_ref(&signature)).cloned();
            assert_eq!(
                refused,
                Err(Untrusted::SomethingElse { key: key(1).public().short() }),
                "{signature:?}"
            );
        }
        let hostile = Signature { key: "\u{1b}[2Jed25519:".repeat(10_000), ..good };
        let refused = trusted(&[1]).check(&release.statement(), &[hostile]).unwrap_err().to_string();
        assert!(refused.len() < 256 && !refused.contains('\u{1b}'), "{refused}");
    }

    #[test]
    fn attack_49_signatures_beyond_the_bound_are_not_looked_at() {
        let release = thumbnail();
        let mut signatures = vec![release.signed(&key(2)); SIGNATURES_MAX];
        signatures.push(release.signed(&key(1)));
        assert!(trusted(&[1]).check(&release.statement(), &signatures).is_err());
    }

    #[test]
    fn attack_49_a_small_order_point_for_a_nonce_proves_nothing() {
        let release = thumbnail();
        let signature = format!("01{}", "0".repeat(126));
        let forged = Signature { key: key(1).public().to_string(), signature };
        assert!(trusted(&[1]).check(&release.statement(), &[forged]).is_err());
    }
}

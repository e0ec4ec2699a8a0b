//! Keys that plugins are signed with: Ed25519, as PEM files that any tool can make.
//!
//! A public key is short enough to be its own name, so that nothing here has to be looked up by a fingerprint.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _, KeypairBytes,
};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::escape_and_cut;

/// What every public key's text begins with.
const PREFIX: &str = "ed25519:";

/// Digits that tell one key from another for a person who has a handful of them.
const SHORT: usize = 12;

/// A text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is no public key in PEM.
    #[error(
        "it is not an Ed25519 public key in PEM; one is made of a private key with `openssl pkey -pubout -in KEY`"
    )]
    NotPublic,
    /// It is no private key in PEM.
    #[error(
        "it is not an Ed25519 private key in PEM; one is made with `saggar plugin keygen FILE` or with \
         `openssl genpkey -algorithm ed25519`"
    )]
    NotPrivate,
    /// It is the other half of the pair.
    #[error("it is the private key, and only the signer may have that; the public key is wanted")]
    Private,
    /// It is the other half of the pair.
    #[error("it is the public key, which signs nothing; the private key is wanted")]
    Public,
    /// Signatures of such a key prove nothing.
    #[error("it is a key of small order, whose signatures anybody can make")]
    Weak,
    /// It is not how we write a public key.
    #[error("`{0}` is not a public key: write `ed25519:` and 64 of 0-9 and a-f")]
    Text(String),
}

/// What a signature is checked with.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads a key from PEM, as `openssl pkey -pubout` writes it.
    ///
    /// # Errors
    /// It is none, or one that proves nothing.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        match VerifyingKey::from_public_key_pem(pem.trim()) {
            Ok(key) => Self::sound(key),
            Err(_) if SigningKey::from_pkcs8_pem(pem.trim()).is_ok() => Err(KeyError::Private),
            Err(_) => Err(KeyError::NotPublic),
        }
    }

    /// The key in PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.0.to_public_key_pem(LineEnding::LF).expect("a key of 32 bytes can always be written")
    }

    /// The beginning of the key, for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string().chars().take(PREFIX.len() + SHORT).collect()
    }

    /// Whether these 64 bytes, in hexadecimal digits, are a signature of `statement` by this key.
    pub(crate) fn signed(&self, statement: &[u8], signature: &str) -> bool {
        let mut bytes = [0; ed25519_dalek::SIGNATURE_LENGTH];
        // Strict: there is one signature of a statement, not several spellings of it.
        hex::decode_to_slice(signature, &mut bytes).is_ok()
            && self.0.verify_strict(statement, &ed25519_dalek::Signature::from_bytes(&bytes)).is_ok()
    }

    fn sound(key: VerifyingKey) -> Result<Self, KeyError> {
        if key.is_weak() { Err(KeyError::Weak) } else { Ok(Self(key)) }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", hex::encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let mut bytes = [0; ed25519_dalek::PUBLIC_KEY_LENGTH];
        text.strip_prefix(PREFIX)
            // Upper case would be a second spelling of one key.
            .filter(|digits| digits.bytes().all(lower))
            .and_then(|digits| hex::decode_to_slice(digits, &mut bytes).ok())
            .and_then(|()| VerifyingKey::from_bytes(&bytes).ok())
            .ok_or_else(|| KeyError::Text(escape_and_cut(text, 128)))
            .and_then(Self::sound)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

/// What plugins are signed with. It is wiped when it is dropped, and never printed.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key that these bytes make, which nobody may know or guess.
    #[must_use]
    pub fn from_random(bytes: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(bytes))
    }

    /// Reads a key from PEM, as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// It is none.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        match SigningKey::from_pkcs8_pem(pem.trim()) {
            Ok(key) => Ok(Self(key)),
            Err(_) if VerifyingKey::from_public_key_pem(pem.trim()).is_ok() => Err(KeyError::Public),
            Err(_) => Err(KeyError::NotPrivate),
        }
    }

    /// The key in PEM, for its owner's file.
    #[must_use]
    pub fn to_pem(&self) -> impl AsRef<str> {
        // Without the public key, which openssl would not read.
        let bytes = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        // What comes back wipes itself, too.
        let pem = bytes.to_pkcs8_pem(LineEnding::LF).expect("a key of 32 bytes can always be written");
        Pem(pem)
    }

    /// The other half of the pair.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The signature of a statement, in hexadecimal digits.
    pub(crate) fn sign(&self, statement: &[u8]) -> String {
        hex::encode(self.0.sign(statement).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {}", self.public())
    }
}

/// A text that wipes itself.
struct Pem<T>(T);

impl<T: std::ops::Deref<Target = String>> AsRef<str> for Pem<T> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout`.
    const OPENSSL_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
         MC4CAQAwBQYDK2VwBCIEIKT9/Sg79KEzHxam+lCTdzI3HcRAF8AFJJYT/U9/c/ra\n\
         -----END PRIVATE KEY-----\n";
    const OPENSSL_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
         MCowBQYDK2VwAyEAuNdJ/5oqoM/Jtcg2S9j/+zr/onWkM4CCP01/Juk7AVM=\n\
         -----END PUBLIC KEY-----\n";

    #[test]
    fn keys_are_those_that_openssl_writes() {
        let secret = SecretKey::from_pem(OPENSSL_PRIVATE).unwrap();
        assert_eq!(secret.to_pem().as_ref(), OPENSSL_PRIVATE);
        assert_eq!(secret.public().to_pem(), OPENSSL_PUBLIC);
        assert_eq!(PublicKey::from_pem(OPENSSL_PUBLIC), Ok(secret.public()));
        assert_eq!(PublicKey::from_pem(&OPENSSL_PUBLIC.replace('\n', "\r\n")), Ok(secret.public()));
    }

    #[test]
    fn a_public_key_is_its_own_name() {
        let key = SecretKey::from_random(&[7; 32]).public();
        assert_eq!(key.to_string().parse(), Ok(key.clone()));
        assert_eq!(key.short().len(), PREFIX.len() + SHORT);
        for bad in [key.to_string().to_uppercase(), key.to_string().replace(':', "-"), format!("{key}0")] {
            assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn one_half_of_a_pair_is_not_taken_for_the_other() {
        assert_eq!(PublicKey::from_pem(OPENSSL_PRIVATE), Err(KeyError::Private));
        assert_eq!(SecretKey::from_pem(OPENSSL_PUBLIC).map(|_| ()), Err(KeyError::Public));
    }

    #[test]
    fn attack_49_keys_that_are_none_are_refused() {
        let cut: String = OPENSSL_PUBLIC.chars().filter(|character| *character != 'M').collect();
        for bad in ["", "-----BEGIN PUBLIC KEY-----", "AAAA", &cut, &OPENSSL_PUBLIC.to_lowercase()] {
            assert_eq!(PublicKey::from_pem(bad), Err(KeyError::NotPublic), "{bad}");
        }
        // The neutral element signs everything.
        let neutral = format!("ed25519:01{}", "0".repeat(62));
        assert_eq!(neutral.parse::<PublicKey>(), Err(KeyError::Weak));
    }

    #[test]
    fn a_private_key_is_not_printed() {
        let secret = SecretKey::from_random(&[7; 32]);
        assert!(!format!("{secret:?}").contains(&hex::encode([7; 32])));
    }
}

//! Keys of operators, accounts and users, as NATS writes them.

use std::fmt;
use std::sync::Arc;

use nkeys::{KeyPair, KeyPairType};

/// Whose key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRole {
    /// Whoever signs accounts.
    Operator,
    /// An account, which signs its users.
    Account,
    /// A user, who connects.
    User,
}

impl KeyRole {
    fn kind(self) -> KeyPairType {
        match self {
            Self::Operator => KeyPairType::Operator,
            Self::Account => KeyPairType::Account,
            Self::User => KeyPairType::User,
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Operator => "SO",
            Self::Account => "SA",
            Self::User => "SU",
        }
    }
}

/// A key with its secret part. It is shown as its public part.
#[derive(Clone)]
pub struct NatsKey(Arc<KeyPair>);

/// A text that is not the secret part of such a key. The text is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it holds no seed of a key of this kind; such a seed begins with {}", .0.prefix())]
pub struct BadKey(KeyRole);

impl NatsKey {
    /// A new key.
    #[must_use]
    pub fn new(role: KeyRole) -> Self {
        Self(Arc::new(KeyPair::new(role.kind())))
    }

    /// The key whose secret part this is.
    ///
    /// # Errors
    /// It is none, or that of another role.
    pub fn from_seed(role: KeyRole, text: &str) -> Result<Self, BadKey> {
        let text = text.trim();
        match KeyPair::from_seed(text) {
            Ok(pair) if text.starts_with(role.prefix()) => Ok(Self(Arc::new(pair))),
            Ok(_) | Err(_) => Err(BadKey(role)),
        }
    }

    /// The secret part. Whoever has it is who the key says.
    #[must_use]
    pub fn seed(&self) -> String {
        self.0.seed().expect("no key is made without it")
    }

    /// The public part.
    #[must_use]
    pub fn public(&self) -> String {
        self.0.public_key()
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.0.sign(bytes).expect("no key is made without its secret part")
    }
}

impl fmt::Debug for NatsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NatsKey({})", self.public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_from_its_seed() {
        for role in [KeyRole::Operator, KeyRole::Account, KeyRole::User] {
            let key = NatsKey::new(role);
            let again = NatsKey::from_seed(role, &format!("{}\n", key.seed())).unwrap();
            assert_eq!(again.public(), key.public());
        }
    }

    #[test]
    fn attack_86_neither_a_key_nor_a_bad_one_shows_its_seed() {
        let key = NatsKey::new(KeyRole::User);
        assert!(!format!("{key:?}").contains(&key.seed()));
        let wrong = NatsKey::from_seed(KeyRole::Account, &key.seed()).unwrap_err().to_string();
        assert!(wrong.contains("SA") && !wrong.contains(&key.seed()), "{wrong}");
        for bad in ["", "SU", "SUAAAA", "hello", &key.public(), &key.seed()[..20], "SUÄ"] {
            assert!(NatsKey::from_seed(KeyRole::User, bad).is_err(), "{bad}");
        }
    }
}

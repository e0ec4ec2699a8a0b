//! What an attack is.

use bytes::Bytes;
use saggar_model::{Limits, Outcome};

/// A hostile plugin and what must become of it.
#[derive(Debug, Clone)]
pub struct Attack {
    /// Its name for machines, in kebab case; it begins with its number and stays the same for good.
    pub id: &'static str,
    /// What it tries, for people.
    pub name: &'static str,
    /// The program.
    pub guest: Guest,
    /// What it is given.
    pub input: Bytes,
    /// The limits it runs under.
    pub limits: Limits,
    /// What must become of it.
    pub expected: Expected,
}

/// A program.
#[derive(Debug, Clone)]
pub enum Guest {
    /// A core module with the handler's function, in text; it is made into a component of the world that attackers
    /// have.
    Module(String),
    /// The same in binary.
    CoreModule(Vec<u8>),
    /// A component in text.
    Component(String),
    /// Bytes that claim to be a component.
    Bytes(Vec<u8>),
}

/// What must become of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It cannot be pushed: nothing of it ever runs.
    Refused,
    /// Its attempt ends so.
    Ends(Outcome),
    /// Its attempt ends in one of two ways, whichever limit is reached first.
    EndsEither(Outcome, Outcome),
}

impl Attack {
    /// An attack with the usual limits: 200 million units of fuel, 64 MiB, and more time than that takes on
    /// any machine, so that how an attack ends does not depend on how busy one is.
    #[must_use]
    pub fn new(id: &'static str, name: &'static str, expected: Expected, guest: Guest) -> Self {
        let limits = Limits {
            fuel: 200_000_000,
            memory: 64 << 20,
            timeout: std::time::Duration::from_mins(2),
            ..Limits::default()
        };
        Self { id, name, guest, input: Bytes::new(), limits, expected }
    }

    /// Its number, 0 for none.
    #[must_use]
    pub fn number(&self) -> u32 {
        let digits = self.id.find(|character: char| !character.is_ascii_digit());
        self.id[..digits.unwrap_or(self.id.len())].parse().unwrap_or(0)
    }

    /// The same with other limits.
    #[must_use]
    pub fn within(self, change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = self.limits;
        change(&mut limits);
        Self { limits, ..self }
    }
}

impl Expected {
    /// Whether an attempt that ended so is what was expected.
    #[must_use]
    pub fn allows(self, outcome: Outcome) -> bool {
        match self {
            Self::Refused => false,
            Self::Ends(one) => outcome == one,
            Self::EndsEither(one, other) => outcome == one || outcome == other,
        }
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused => f.pad("refused"),
            Self::Ends(one) => f.pad(one.as_str()),
            Self::EndsEither(one, other) => f.pad(&format!("{one} or {other}")),
        }
    }
}

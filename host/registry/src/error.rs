//! Why nothing was fetched.

use std::net::IpAddr;
use std::time::Duration;

use saggar_model::{Digest, escape_and_cut, format_bytes};

use crate::manifest::ManifestError;

/// Why an address that a registry named is not gone to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Astray {
    /// It is no URL.
    #[error("which is no URL")]
    NoUrl,
    /// It is spoken to without TLS.
    #[error("without TLS")]
    Plain,
    /// Somebody's password stands in it.
    #[error("with a name or a password in the URL")]
    Credentials,
    /// It lies inside: on this machine, in its network, or where a cloud answers its machines.
    #[error("at {0}, which is not where the registry was said to be, and no public address")]
    Inside(IpAddr),
    /// There was enough of it.
    #[error("after it had led elsewhere {0} times")]
    Often(u32),
}

/// Why an artifact could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The reference's host is none.
    #[error("`{0}` is no host")]
    Host(String),
    /// Nobody answers there, or speaks another protocol.
    #[error("{host} cannot be reached: {reason}")]
    Unreachable {
        /// Who.
        host: String,
        /// What happened.
        reason: String,
    },
    /// It takes too long to answer, or brings too little at a time.
    #[error("{host} is too slow: {doing} was not done after {}", saggar_model::format_duration(*.after))]
    Slow {
        /// Who.
        host: String,
        /// What took too long.
        doing: &'static str,
        /// How long it had.
        after: Duration,
    },
    /// It leads where nobody should go.
    #[error("{host} leads to {to} {why}")]
    Astray {
        /// Who.
        host: String,
        /// Where to, escaped and cut.
        to: String,
        /// What is wrong with that.
        why: Astray,
    },
    /// It says no.
    #[error("{host} denies it ({status}): there is no such artifact, or credentials are wanted")]
    Denied {
        /// Who.
        host: String,
        /// The HTTP status.
        status: u16,
    },
    /// It asks for a kind of credentials that there are none of.
    #[error("{host} asks for credentials in a way that is not understood: {reason}")]
    Challenge {
        /// Who.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such thing.
    #[error("{host} has no {what}")]
    NotFound {
        /// Who.
        host: String,
        /// What.
        what: String,
    },
    /// It answers with something else.
    #[error("{host} answers with status {status}")]
    Status {
        /// Who.
        host: String,
        /// The HTTP status.
        status: u16,
    },
    /// More than is taken.
    #[error("the {what} has more than {}", format_bytes(*.most))]
    TooLarge {
        /// What.
        what: &'static str,
        /// Bytes that are taken.
        most: u64,
    },
    /// Fewer or more bytes than its manifest says.
    #[error("the {what} has {found} bytes, and {wanted} were announced")]
    WrongSize {
        /// What.
        what: &'static str,
        /// What was said.
        wanted: u64,
        /// What came.
        found: u64,
    },
    /// It is compressed, which nobody asked for.
    #[error("the {what} comes compressed as `{encoding}`, and is not unpacked")]
    Encoded {
        /// What.
        what: &'static str,
        /// As what.
        encoding: String,
    },
    /// Other bytes than those that were asked for.
    #[error("the {what} is {found}, and {wanted} was asked for")]
    WrongDigest {
        /// What.
        what: &'static str,
        /// What was asked for.
        wanted: Digest,
        /// What came.
        found: Digest,
    },
    /// The manifest is not one of a component.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// What to say about a place that is not gone to.
pub(crate) fn astray(host: &str, to: &str, why: Astray) -> RegistryError {
    RegistryError::Astray { host: host.to_owned(), to: escape_and_cut(to, 256), why }
}

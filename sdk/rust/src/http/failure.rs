//! Why there is no response.

use std::fmt;

/// What went wrong with a request. As an error of the standard kind it becomes a retry by `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The operator has not granted it. The task's log says what to ask for.
    Denied,
    /// It cannot be sent as it is: what about it, for a person.
    Invalid(String),
    /// The host's name cannot be looked up.
    NoSuchHost,
    /// Nobody answers there, or there is no way.
    Unreachable,
    /// Whoever answers is not who the URL names, or does not encrypt as it should.
    Insecure,
    /// A time limit passed: the request's, or one of the host that runs the task.
    TimedOut,
    /// The response has more bytes than the request or the grant takes.
    TooLarge,
    /// The attempt has as many requests open as it may have.
    TooManyAtOnce,
    /// The connection ended, or what came was not HTTP.
    Broken,
}

impl Failure {
    /// Whether the same request can have better luck later, with nothing changed but time.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Denied | Self::Invalid(_) | Self::TooLarge => false,
            Self::NoSuchHost
            | Self::Unreachable
            | Self::Insecure
            | Self::TimedOut
            | Self::TooManyAtOnce
            | Self::Broken => true,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denied => "the request is not granted; the task's log says what to ask the operator for",
            Self::Invalid(what) => return write!(f, "the request cannot be sent: {what}"),
            Self::NoSuchHost => "the host's name could not be looked up",
            Self::Unreachable => "the host could not be reached",
            Self::Insecure => "the host could not prove that it is who the URL names",
            Self::TimedOut => "the response took too long",
            Self::TooLarge => "the response is too large",
            Self::TooManyAtOnce => "too many requests are open at once",
            Self::Broken => "the response was broken off, or was no HTTP",
        })
    }
}

impl std::error::Error for Failure {}

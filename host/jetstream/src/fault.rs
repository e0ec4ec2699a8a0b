//! Whose fault an error is.

/// What kind of failure an error is, so that a caller can decide without reading its text: whether to wait and try
/// again, what to tell the user, which exit code to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// NATS cannot be reached, has no leader, or does not answer. Trying again later may help.
    Unavailable,
    /// What was asked for is not there.
    NotFound,
    /// NATS knows who asks and refuses.
    Denied,
    /// Something else was there first, or has changed meanwhile.
    Conflict,
    /// The request can never succeed as it stands.
    Invalid,
    /// Something is stored that nobody should have written, or an invariant of ours is broken.
    Internal,
}

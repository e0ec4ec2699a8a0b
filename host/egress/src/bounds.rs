//! How long is waited and how much is held for a request, whatever the other end does.

use std::time::Duration;

/// The bounds of requests. The body of a response is bounded by its grant, the whole by the attempt's deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// For looking up a name, with all name servers asked.
    pub lookup: Duration,
    /// For a connection with its handshake, over all addresses that are tried.
    pub connect: Duration,
    /// For the head of a response, from the end of the request on.
    pub first_byte: Duration,
    /// For each further part of a body.
    pub between_bytes: Duration,
    /// Bytes of the head of a response.
    pub response_head: usize,
    /// Requests that one attempt has open at once.
    pub at_once: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            // Two questions to each of two servers that do not answer.
            lookup: Duration::from_secs(8),
            // Long enough for two lost packets, too short to be mistaken for work.
            connect: Duration::from_secs(10),
            // What slow services answer within; the wall limit of most tasks is shorter.
            first_byte: Duration::from_mins(2),
            // A stream that says nothing for so long has been forgotten.
            between_bytes: Duration::from_secs(30),
            // Twice what common servers send at most.
            response_head: 32 << 10,
            // A guest has one thread; this keeps a few slow services busy beside each other. With 256 attempts these
            // are 2,048 sockets at the most.
            at_once: 8,
        }
    }
}

/// Name parts of the pool that no test needs to change.
pub(crate) mod pool {
    use std::time::Duration;

    /// A connection idle for longer is often closed by the other end already.
    pub(crate) const IDLE: Duration = Duration::from_secs(15);
    /// After so long a name is looked up again, as its records ask for at the most.
    pub(crate) const AGE: Duration = Duration::from_mins(1);
    /// Idle connections to one host for one tenant and grant.
    pub(crate) const PER_KEY: usize = 4;
    /// Idle connections of a host: a quarter of the files that a process may have open by default.
    pub(crate) const TOTAL: usize = 256;
}

/// Path and query: what servers commonly take, and what most URLs stay far below.
pub(crate) const URI_MAX_BYTES: usize = 8 << 10;

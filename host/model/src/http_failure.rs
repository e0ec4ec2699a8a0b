//! Why a request of a guest brought no response, or not all of it.
//!
//! Each is one error code of `wasi:http`, so that a guest can act on it; what was denied carries why.

use std::time::Duration;

use crate::HttpDenial;

/// How a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpFailure {
    /// It is not granted.
    #[error("{0}")]
    Denied(Box<HttpDenial>),
    /// The URL cannot be requested.
    #[error("the URL cannot be requested")]
    UriInvalid,
    /// Path and query are longer than anybody reads.
    #[error("the URL is too long")]
    UriTooLong,
    /// A header that says how long the body is says it wrongly.
    #[error("the headers of the request contradict its body")]
    RequestInvalid,
    /// The body is not as long as the request said it would be.
    #[error("the body of the request is not as long as it was said to be")]
    RequestBodySize,
    /// The attempt has as many requests open as it may have.
    #[error("too many requests are open at once")]
    TooManyAtOnce,
    /// No name server answered in time.
    #[error("looking up the name took too long")]
    LookupTimedOut,
    /// There is no such name, or it has no address.
    #[error("the name could not be looked up")]
    LookupFailed,
    /// Nobody listens there.
    #[error("the connection was refused")]
    ConnectionRefused,
    /// Nobody answered in time.
    #[error("connecting took too long")]
    ConnectTimedOut,
    /// There is no way there.
    #[error("there is no way to the host")]
    Unreachable,
    /// The other end has no certificate that this host believes, for this name.
    #[error("the certificate is not valid for the host")]
    Certificate,
    /// No common language of encryption.
    #[error("the TLS handshake failed")]
    Tls,
    /// The connection ended before the response did.
    #[error("the connection ended early")]
    Terminated,
    /// No response began in time.
    #[error("the response took too long to begin")]
    ResponseTimedOut,
    /// The next part of the body did not come in time.
    #[error("the response stopped coming")]
    BodyTimedOut,
    /// The headers of the response are more than is read.
    #[error("the headers of the response are too large")]
    ResponseHeadersTooLarge,
    /// The body of the response is more than is read.
    #[error("the body of the response is longer than {0} bytes")]
    ResponseBodyTooLarge(u64),
    /// What came is not HTTP.
    #[error("the response is not valid HTTP")]
    Protocol,
}

/// How long a guest is willing to wait; nothing means as long as the host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HttpTimeouts {
    /// For a connection.
    pub connect: Option<Duration>,
    /// For the head of the response.
    pub first_byte: Option<Duration>,
    /// For each further part of the body.
    pub between_bytes: Option<Duration>,
}

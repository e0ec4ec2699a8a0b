//! Failures in the words of `wasi:http`.

use saggar_model::{HttpDenial, HttpFailure, Missing};
use wasmtime_wasi::p2::StreamError;
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;

/// What a guest is told. A denial is told without its text, which is in the task's log.
pub(super) fn for_the_guest(failure: HttpFailure) -> Error {
    match failure {
        HttpFailure::Denied(denial) => match *denial {
            HttpDenial::Target { missing: Missing::Address { .. }, .. } => Error::DestinationIpProhibited,
            HttpDenial::Target { .. } | HttpDenial::Host(_) => Error::HttpRequestDenied,
        },
        HttpFailure::UriInvalid => Error::HttpRequestUriInvalid,
        HttpFailure::UriTooLong => Error::HttpRequestUriTooLong,
        HttpFailure::RequestInvalid => Error::HttpRequestLengthRequired,
        HttpFailure::RequestBodySize => Error::HttpRequestBodySize(None),
        HttpFailure::TooManyAtOnce => Error::ConnectionLimitReached,
        HttpFailure::LookupTimedOut => Error::DnsTimeout,
        HttpFailure::LookupFailed => Error::DnsError { rcode: None, info_code: None },
        HttpFailure::ConnectionRefused => Error::ConnectionRefused,
        HttpFailure::ConnectTimedOut => Error::ConnectionTimeout,
        HttpFailure::Unreachable => Error::DestinationUnavailable,
        HttpFailure::Certificate => Error::TlsCertificateError,
        HttpFailure::Tls => Error::TlsProtocolError,
        HttpFailure::Terminated => Error::ConnectionTerminated,
        HttpFailure::ResponseTimedOut => Error::HttpResponseTimeout,
        HttpFailure::BodyTimedOut => Error::ConnectionReadTimeout,
        HttpFailure::ResponseHeadersTooLarge => Error::HttpResponseHeaderSectionSize(None),
        HttpFailure::ResponseBodyTooLarge(most) => Error::HttpResponseBodySize(Some(most)),
        HttpFailure::Protocol => Error::HttpProtocolError,
    }
}

/// Why a guest's body goes no further: it is not as long as the guest said, or the guest gave it up.
pub(super) fn of_the_guest(error: &Error) -> HttpFailure {
    match error {
        Error::HttpRequestBodySize(_) => HttpFailure::RequestBodySize,
        _ => HttpFailure::Terminated,
    }
}

/// An error of a stream that brings a body, as the function which tells its code looks for it. wasmtime's own is of
/// another type there, and the guest would learn nothing.
pub(super) fn with_code(error: StreamError) -> StreamError {
    let StreamError::LastOperationFailed(error) = error else { return error };
    let code = match error.downcast_ref::<Error>() {
        Some(Error::ConnectionTerminated) => ErrorCode::ConnectionTerminated,
        Some(Error::ConnectionReadTimeout) => ErrorCode::ConnectionReadTimeout,
        Some(Error::HttpResponseTimeout) => ErrorCode::HttpResponseTimeout,
        Some(Error::HttpResponseBodySize(most)) => ErrorCode::HttpResponseBodySize(*most),
        Some(Error::HttpResponseHeaderSectionSize(most)) => ErrorCode::HttpResponseHeaderSectionSize(*most),
        Some(Error::HttpProtocolError) => ErrorCode::HttpProtocolError,
        // Nothing else happens to a body.
        Some(_) | None => return StreamError::LastOperationFailed(error),
    };
    StreamError::LastOperationFailed(code.into())
}

//! `wasi:http`, asked for one request at a time.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions,
    Scheme, http_error_code,
};
use wasip2::io::streams::StreamError;

use crate::http::url::Parts;
use crate::http::{Failure, Request, Response};

/// Bytes that are asked for at once.
const PART: u64 = 64 << 10;

pub(crate) fn send(request: &Request) -> Result<Response, Failure> {
    let outgoing = outgoing(request)?;
    let body = if request.body.is_empty() {
        None
    } else {
        Some(outgoing.body().map_err(|()| Failure::Invalid("it can have no body".to_owned()))?)
    };
    let answer = outgoing_handler::handle(outgoing, Some(options(request))).map_err(failure)?;
    if let Some(body) = body {
        write(body, &request.body);
    }
    loop {
        match answer.get() {
            Some(Ok(Ok(incoming))) => return read(&incoming, request),
            Some(Ok(Err(code))) => return Err(failure(code)),
            Some(Err(())) => return Err(Failure::Broken),
            None => answer.subscribe().block(),
        }
    }
}

fn outgoing(request: &Request) -> Result<OutgoingRequest, Failure> {
    let invalid = |what: &str| Failure::Invalid(what.to_owned());
    let parts = Parts::of(&request.url)?;
    let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, value) in &request.headers {
        // These are not the guest's to write; the world would refuse all headers for one of them.
        if !is_the_hosts(name) {
            headers.push((name.clone(), value.clone().into_bytes()));
        }
    }
    if !request.body.is_empty() || ["POST", "PUT", "PATCH"].contains(&request.method.as_str()) {
        headers.push(("content-length".to_owned(), request.body.len().to_string().into_bytes()));
    }
    let headers =
        Fields::from_list(&headers).map_err(|_| invalid("a header is not valid, or there are too many"))?;
    let outgoing = OutgoingRequest::new(headers);
    outgoing.set_method(&method(&request.method)).map_err(|()| invalid("the method is not valid"))?;
    let scheme = if parts.tls { Scheme::Https } else { Scheme::Http };
    outgoing.set_scheme(Some(&scheme)).map_err(|()| invalid("the scheme is not valid"))?;
    outgoing.set_authority(Some(parts.authority)).map_err(|()| invalid("the host is not valid"))?;
    outgoing.set_path_with_query(Some(parts.path)).map_err(|()| invalid("the path is not valid"))?;
    Ok(outgoing)
}

fn is_the_hosts(name: &str) -> bool {
    ["connection", "content-length", "host", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]
        .iter()
        .any(|ours| name.eq_ignore_ascii_case(ours))
}

fn options(request: &Request) -> RequestOptions {
    let options = RequestOptions::new();
    if let Some(timeout) = request.timeout {
        let nanoseconds = Some(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
        // An option that a host does not know is one that it does without.
        let _ = options.set_connect_timeout(nanoseconds);
        let _ = options.set_first_byte_timeout(nanoseconds);
        let _ = options.set_between_bytes_timeout(nanoseconds);
    }
    options
}

/// Writes as much as is taken. Who has stopped taking has answered, or has a reason that the answer will tell.
fn write(body: OutgoingBody, mut rest: &[u8]) {
    if let Ok(stream) = body.write() {
        while !rest.is_empty() {
            match stream.check_write() {
                Ok(0) => stream.subscribe().block(),
                Ok(most) => {
                    let most = usize::try_from(most).unwrap_or(usize::MAX).min(rest.len());
                    let (part, later) = rest.split_at(most);
                    if stream.write(part).is_err() {
                        break;
                    }
                    rest = later;
                }
                Err(_) => break,
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}

fn read(incoming: &IncomingResponse, request: &Request) -> Result<Response, Failure> {
    let (status, headers) = (incoming.status(), incoming.headers().entries());
    if request.skip_body {
        return Ok(Response { status, headers, body: Vec::new() });
    }
    let body = incoming.consume().map_err(|()| Failure::Broken)?;
    Ok(Response { status, headers, body: read_body(&body, request.max_body)? })
}

fn read_body(body: &IncomingBody, max_body: u64) -> Result<Vec<u8>, Failure> {
    let stream = body.stream().map_err(|()| Failure::Broken)?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(PART) {
            Ok(part) if (bytes.len() + part.len()) as u64 > max_body => return Err(Failure::TooLarge),
            Ok(part) => bytes.extend(part),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(http_error_code(&error).map_or(Failure::Broken, failure));
            }
        }
    }
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn failure(code: ErrorCode) -> Failure {
    match code {
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => Failure::Denied,
        ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => Failure::NoSuchHost,
        ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused => Failure::Unreachable,
        ErrorCode::TlsProtocolError | ErrorCode::TlsCertificateError | ErrorCode::TlsAlertReceived(_) => {
            Failure::Insecure
        }
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => Failure::TimedOut,
        ErrorCode::HttpResponseBodySize(_)
        | ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSize(_) => Failure::TooLarge,
        ErrorCode::ConnectionLimitReached => Failure::TooManyAtOnce,
        ErrorCode::HttpRequestMethodInvalid => Failure::Invalid("the method is not valid".to_owned()),
        ErrorCode::HttpRequestUriInvalid => Failure::Invalid("the URL is not valid".to_owned()),
        ErrorCode::HttpRequestUriTooLong => Failure::Invalid("the URL is too long".to_owned()),
        ErrorCode::HttpRequestBodySize(_) | ErrorCode::HttpRequestLengthRequired => {
            Failure::Invalid("its length contradicts its body".to_owned())
        }
        _ => Failure::Broken,
    }
}

//! A request as it goes over the wire: the path alone in its first line, and the headers that say where it goes and how
//! long it is made by this crate, whatever the guest wrote there.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{Request, Version};
use saggar_model::{HttpFailure, HttpTarget};
use tokio::sync::oneshot;

use crate::Body;
use crate::request_body::RequestBody;

/// Headers that are about the connection, or that this crate writes itself.
const OURS: [HeaderName; 13] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// The request for the wire, and what tells when its body has been sent.
///
/// # Errors
/// Its own words about its length cannot be understood, or its path is none.
pub(crate) fn for_the_wire(
    parts: Parts,
    body: Body,
    target: &HttpTarget,
) -> Result<(Request<RequestBody>, oneshot::Receiver<()>), HttpFailure> {
    let length = content_length(&parts.headers)?;
    let mut headers = parts.headers;
    for name in &OURS {
        headers.remove(name);
    }
    headers.insert(header::HOST, host(target)?);
    let (sent, is_sent) = oneshot::channel();
    let mut request = Request::new(RequestBody::new(body, length, sent));
    *request.method_mut() = parts.method;
    *request.uri_mut() = origin_form(parts.uri.path_and_query())?;
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    Ok((request, is_sent))
}

/// How long the guest says that its body is. Two answers are none.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, HttpFailure> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match (text.and_then(|text| text.parse().ok()), values.next()) {
        (Some(length), None) => Ok(Some(length)),
        _ => Err(HttpFailure::RequestInvalid),
    }
}

/// The host as grants know it, with the port unless it is the scheme's own.
fn host(target: &HttpTarget) -> Result<HeaderValue, HttpFailure> {
    let HttpTarget { tls, host, port, .. } = target;
    let text = match (tls, port) {
        (true, 443) | (false, 80) => host.to_string(),
        _ => format!("{host}:{port}"),
    };
    HeaderValue::try_from(text).map_err(|_| HttpFailure::UriInvalid)
}

fn origin_form(path: Option<&PathAndQuery>) -> Result<Uri, HttpFailure> {
    let path = path.map_or("/", PathAndQuery::as_str);
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{slash}{path}").parse().map_err(|_| HttpFailure::UriInvalid)
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Empty};

    use super::*;

    fn wire(request: http::request::Builder) -> Result<Request<RequestBody>, HttpFailure> {
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let (parts, body) = request.body(body).unwrap().into_parts();
        let target = crate::target::read(&parts)?;
        for_the_wire(parts, body, &target).map(|(request, _)| request)
    }

    #[test]
    fn the_first_line_is_a_path_and_the_host_is_the_targets() {
        let request = Request::get("https://API.example.com:8443?q=1").header("host", "evil.example");
        let request = wire(request).unwrap();
        assert_eq!(request.uri(), "/?q=1");
        assert_eq!(request.headers()[header::HOST], "api.example.com:8443");
        assert_eq!(wire(Request::get("http://a.example:80")).unwrap().headers()[header::HOST], "a.example");
    }

    #[test]
    fn headers_about_the_connection_do_not_pass() {
        let mut request = Request::get("https://a.example/").header("x-mine", "1");
        for name in OURS.iter().filter(|name| *name != header::CONTENT_LENGTH) {
            request = request.header(name, "chunked");
        }
        let request = wire(request).unwrap();
        let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-mine", "host"]);
    }

    #[test]
    fn words_about_the_length_are_understood_or_refused() {
        let with = |values: &[&str]| {
            let request = Request::post("https://a.example/");
            wire(values.iter().fold(request, |request, value| request.header("content-length", *value)))
        };
        assert!(with(&["5"]).is_ok());
        for values in [["5", "6"].as_slice(), &["5", "5"], &["+5"], &["5, 5"], &[""], &["0x5"], &["-1"]] {
            assert_eq!(with(values).err(), Some(HttpFailure::RequestInvalid), "{values:?}");
        }
    }
}

//! Where a request wants to go, read in one way only: what is checked is what is connected to.

use http::request::Parts;
use saggar_model::{HttpDenial, HttpFailure, HttpHost, HttpTarget};

use crate::bounds::URI_MAX_BYTES;

/// Reads the target of a request with an absolute URL.
///
/// # Errors
/// The URL is none that can be requested, or its host is in no spelling that a grant could have.
pub(crate) fn read(parts: &Parts) -> Result<HttpTarget, HttpFailure> {
    let tls = match parts.uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(HttpFailure::UriInvalid),
    };
    let authority = parts.uri.authority().ok_or(HttpFailure::UriInvalid)?.as_str();
    let (host, port) = host_and_port(authority, if tls { 443 } else { 80 })
        .map_err(|error| HttpFailure::Denied(Box::new(HttpDenial::Host(error))))?;
    let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    if path.len() > URI_MAX_BYTES {
        return Err(HttpFailure::UriTooLong);
    }
    if !path.starts_with(['/', '?']) {
        return Err(HttpFailure::UriInvalid);
    }
    Ok(HttpTarget { tls, host, port, method: parts.method.as_str().to_owned() })
}

/// Who may be asked for a user's name and password has a header for them: before an `@`, a host hides.
fn host_and_port(authority: &str, usual: u16) -> Result<(HttpHost, u16), saggar_model::HttpHostError> {
    let end_of_host = authority.find(']').map_or(0, |bracket| bracket + 1);
    let (host, port) = match authority[end_of_host..].find(':') {
        Some(colon) => (&authority[..end_of_host + colon], Some(&authority[end_of_host + colon + 1..])),
        None => (authority, None),
    };
    let port = match port {
        None => Some(usual),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port != 0)
        }
        Some(_) => None,
    };
    match port {
        Some(port) => Ok((host.parse()?, port)),
        // With its port, no text is a host: the error shows all of it.
        None => Err(authority.parse::<HttpHost>().expect_err("a host has no colon outside of brackets")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> Result<String, HttpFailure> {
        let (parts, ()) = http::Request::get(uri).body(()).unwrap().into_parts();
        read(&parts).map(|target| target.to_string())
    }

    #[test]
    fn a_url_is_read_with_its_port_or_the_schemes_own() {
        assert_eq!(target("https://API.example.com./x?y").unwrap(), "GET https://api.example.com");
        assert_eq!(target("http://api.example.com:8080").unwrap(), "GET http://api.example.com:8080");
        assert_eq!(target("https://[2001:DB8::1]:443/").unwrap(), "GET https://[2001:db8::1]");
    }

    #[test]
    fn what_hides_a_host_is_denied() {
        for uri in [
            "http://api.example.com@127.0.0.1/",
            "http://a:b@127.0.0.1/",
            "http://127.0.0.1:/",
            "http://a:+80/",
            "http://a:0/",
            "http://[::1]x:80/",
            "http://a:65616/",
        ] {
            let Ok(request) = http::Request::get(uri).body(()) else { continue };
            let (parts, ()) = request.into_parts();
            assert!(matches!(read(&parts), Err(HttpFailure::Denied(_))), "{uri}");
        }
    }

    #[test]
    fn a_url_without_scheme_or_host_or_end_is_invalid() {
        assert_eq!(target("/only/a/path"), Err(HttpFailure::UriInvalid));
        assert_eq!(target("ftp://api.example.com/"), Err(HttpFailure::UriInvalid));
        let long = format!("https://a.example/{}", "x".repeat(URI_MAX_BYTES));
        assert_eq!(target(&long), Err(HttpFailure::UriTooLong));
    }
}

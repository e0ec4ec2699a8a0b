//! Secrets that a guest never sees: it puts a placeholder into a header, and the value goes out in its place, to the
//! hosts that the operator named and to no others.

use http::{HeaderValue, Request};
use saggar_model::HttpHost;

use crate::granted::HiddenSecret;

/// Replaces the placeholders in the headers of a request by their values.
pub(super) fn reveal<Body>(request: &mut Request<Body>, hidden: &[HiddenSecret]) {
    let Some(Ok(host)) = request.uri().host().map(str::parse::<HttpHost>) else { return };
    let goes_to = |secret: &&HiddenSecret| secret.only_to.iter().any(|pattern| pattern.covers(&host));
    for secret in hidden.iter().filter(goes_to) {
        for value in request.headers_mut().values_mut() {
            let Some(replaced) = replaced(value, secret) else { continue };
            *value = replaced;
        }
    }
}

/// The header with the value in it, if the placeholder was. A value that fits into no header stays hidden.
fn replaced(header: &HeaderValue, secret: &HiddenSecret) -> Option<HeaderValue> {
    let text = header.to_str().ok().filter(|text| text.contains(&secret.placeholder))?;
    let mut replaced =
        HeaderValue::from_str(&text.replace(&secret.placeholder, secret.value.reveal())).ok()?;
    replaced.set_sensitive(true);
    Some(replaced)
}

#[cfg(test)]
mod tests {
    use saggar_model::SecretValue;

    use super::*;

    fn sent(url: &str, only_to: &[&str]) -> Request<()> {
        let secret = HiddenSecret {
            placeholder: "saggar-secret-0123".to_owned(),
            value: SecretValue::from_file(b"value-of-it").unwrap(),
            only_to: only_to.iter().map(|host| host.parse().unwrap()).collect(),
        };
        let request = Request::get(url).header("authorization", "Bearer saggar-secret-0123").header("x", "y");
        let mut request = request.body(()).unwrap();
        reveal(&mut request, &[secret]);
        request
    }

    #[test]
    fn a_placeholder_is_replaced_on_the_way_to_a_host_that_was_named() {
        for (url, only_to) in [
            ("https://api.example.com/x", "api.example.com"),
            ("https://API.example.com./x", "api.example.com"),
            ("https://a.api.example.com/x", "*.api.example.com"),
        ] {
            let request = sent(url, &["other.example", only_to]);
            assert_eq!(request.headers()["authorization"], "Bearer value-of-it");
            assert!(request.headers()["authorization"].is_sensitive());
            assert_eq!(request.headers()["x"], "y");
        }
    }

    #[test]
    fn on_the_way_to_anybody_else_it_stays_a_placeholder() {
        for url in [
            "https://evil.example/api.example.com",
            "https://api.example.com.evil.example/",
            "https://api.example.com@evil.example/",
            "https://xapi.example.com/",
        ] {
            let request = sent(url, &["api.example.com"]);
            assert_eq!(request.headers()["authorization"], "Bearer saggar-secret-0123", "{url}");
        }
    }
}

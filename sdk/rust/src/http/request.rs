//! A request, put together step by step.

use std::time::Duration;

use super::{Failure, Response};
use crate::host;

/// The most of a response that is read unless a request says otherwise: with the copies that are made of it on the
/// way, it fits into the memory of a queue that sets no limit.
const MAX_BODY: u64 = 8 << 20;

/// A request that is not sent yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a request does nothing before it is sent"]
pub struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_body: u64,
    pub(crate) skip_body: bool,
}

impl Request {
    /// A request with any method, in capitals, to a URL with `https://` or `http://`.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
            max_body: MAX_BODY,
            skip_body: false,
        }
    }

    /// Reads.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// Sends something to be dealt with.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// Puts something where the URL says.
    pub fn put(url: impl Into<String>) -> Self {
        Self::new("PUT", url)
    }

    /// Changes a part of something.
    pub fn patch(url: impl Into<String>) -> Self {
        Self::new("PATCH", url)
    }

    /// Removes something.
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new("DELETE", url)
    }

    /// Adds a header after those already there. Those about the connection, the length and the host are the host's to
    /// write, and have no effect.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to a value as JSON, and `content-type`.
    ///
    /// # Errors
    /// The value has no form in JSON.
    #[cfg(feature = "json")]
    pub fn json(self, value: &impl serde::Serialize) -> Result<Self, Failure> {
        let body = serde_json::to_vec(value).map_err(|error| Failure::Invalid(error.to_string()))?;
        Ok(self.header("content-type", "application/json").body(body))
    }

    /// Waits so long for a connection, for the response to begin, and for each further part of it. The host's own limits
    /// hold beside it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Reads responses of up to so many bytes; 8 MiB, unless it is said. What the grant allows holds beside it.
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = bytes;
        self
    }

    /// Reads nothing of a response but its status and headers, however much there is.
    pub fn skip_body(mut self) -> Self {
        self.skip_body = true;
        self
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The value of a header that was set, found without regard to case; the first if there are several.
    #[must_use]
    pub fn header_value(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body.
    #[must_use]
    pub fn body_bytes(&self) -> &[u8] {
        &self.body
    }

    /// Sends the request and reads the response.
    ///
    /// # Errors
    /// There is no response, or not all of it.
    pub fn send(self) -> Result<Response, Failure> {
        host::send(&self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Context;

    #[test]
    fn a_request_goes_to_whoever_answers_in_the_test() {
        let context = Context::new().answer(|request| {
            assert_eq!((request.method(), request.url()), ("POST", "https://a.example/"));
            assert_eq!(request.header_value("CONTENT-TYPE"), Some("application/json"));
            Ok(Response::new(201).header("location", "/7").body(request.body_bytes()))
        });
        let response = context.run(|| Request::post("https://a.example/").json(&[1, 2])?.send()).unwrap();
        assert_eq!((response.status(), response.header_value("Location")), (201, Some("/7")));
        assert_eq!(response.text().unwrap(), "[1,2]");
    }

    #[test]
    fn where_nobody_answers_nothing_is_granted() {
        assert_eq!(Request::get("https://a.example/").send(), Err(Failure::Denied));
        assert_eq!(Context::new().run(|| Request::get("https://a.example/").send()), Err(Failure::Denied));
    }
}

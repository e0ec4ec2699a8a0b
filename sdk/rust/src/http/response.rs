//! A response, read to its end.

use std::time::{Duration, SystemTime};

use crate::Error;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// A response for a test to answer with.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a header after those already there.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The status, for example 200.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The value of a header, found without regard to case; the first if there are several, nothing if it is no text.
    #[must_use]
    pub fn header_value(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// All headers, as names in lower case and values, in the order in which they came.
    #[must_use]
    pub fn headers(&self) -> &[(String, Vec<u8>)] {
        &self.headers
    }

    /// The body.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.body
    }

    /// The body as text.
    ///
    /// # Errors
    /// It is no UTF-8.
    pub fn text(self) -> Result<String, std::string::FromUtf8Error> {
        String::from_utf8(self.body)
    }

    /// The body as a value in JSON.
    ///
    /// # Errors
    /// It is none of this type.
    #[cfg(feature = "json")]
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// How long the other end asks to be left alone: its header `Retry-After`, in seconds or as a date. A date is
    /// compared with the response's own, if it has one, since the clocks of two machines rarely agree.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let value = self.header_value("retry-after")?.trim();
        if let Ok(seconds) = value.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let until = httpdate::parse_http_date(value).ok()?;
        let date = self.header_value("date").and_then(|date| httpdate::parse_http_date(date).ok());
        Some(until.duration_since(date.unwrap_or_else(SystemTime::now)).unwrap_or_default())
    }

    /// The failure to return after a status that asks for patience, as 429 and 503 do: another attempt, not before the
    /// other end wants one.
    #[must_use]
    pub fn ask_again(&self) -> Error {
        let error = Error::retry(format!("the service answered {}", self.status));
        match self.retry_after() {
            Some(wait) => error.retry_after(wait),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn patience_is_asked_for_in_seconds_or_until_a_date() {
        let asked = |value: &str| {
            let response = Response::new(429).header("Date", "Fri, 31 Dec 1999 23:59:00 GMT");
            response.header("Retry-After", value).retry_after()
        };
        assert_eq!(asked("120"), Some(Duration::from_mins(2)));
        assert_eq!(asked(" 0 "), Some(Duration::ZERO));
        assert_eq!(asked("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::from_secs(59)));
        assert_eq!(asked("Thu, 30 Dec 1999 23:59:59 GMT"), Some(Duration::ZERO));
        for other in ["", "-1", "1.5", "tomorrow", "99999999999999999999999"] {
            assert_eq!(asked(other), None, "{other}");
        }
    }

    #[test]
    fn asking_again_is_a_retry_that_waits_as_long_as_it_was_told() {
        let error = Response::new(503).header("retry-after", "7").ask_again();
        assert_eq!((error.kind, error.after), (Kind::Retry, Some(Duration::from_secs(7))));
        assert_eq!(Response::new(500).ask_again().after, None);
    }

    #[test]
    fn a_header_that_is_no_text_is_not_guessed_at() {
        let response = Response::new(200).header("x", [0xff]);
        assert_eq!(response.header_value("x"), None);
        assert_eq!(response.headers().len(), 1);
    }
}

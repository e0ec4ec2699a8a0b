//! Turning failures of other libraries into reasons that a person can read.
//!
//! A library's error often says only the half ("invalid digit found in string"); [`OrFail`] puts the plugin's half
//! before it and settles in the same breath whether another attempt makes sense.

use std::error::Error as StdError;

use crate::Error;

/// Rejects or retries where a `Result` or an `Option` holds no value, with a reason.
///
/// ```
/// use saggar_plugin::{Error, OrFail};
///
/// fn width(header: Option<&str>) -> Result<u32, Error> {
///     header.or_reject("the header `Width` is missing")?.parse().or_reject("`Width` is no number")
/// }
///
/// assert_eq!(width(None).unwrap_err().reason, "the header `Width` is missing");
/// assert_eq!(width(Some("x")).unwrap_err().reason, "`Width` is no number: invalid digit found in string");
/// ```
///
/// It works for every error that `Box<dyn std::error::Error>` can be made from, which includes `anyhow::Error`.
pub trait OrFail<T> {
    /// The value, or a failure that no further attempt can mend.
    ///
    /// # Errors
    /// [`Kind::Reject`](crate::Kind::Reject) with `reason`, followed by the error and its sources if there are any.
    fn or_reject(self, reason: impl Into<String>) -> Result<T, Error>;

    /// The value, or a failure that another attempt may mend.
    ///
    /// # Errors
    /// [`Kind::Retry`](crate::Kind::Retry) with `reason`, followed by the error and its sources if there are any.
    fn or_retry(self, reason: impl Into<String>) -> Result<T, Error>;
}

impl<T, E: Into<Box<dyn StdError>>> OrFail<T> for Result<T, E> {
    fn or_reject(self, reason: impl Into<String>) -> Result<T, Error> {
        self.map_err(|error| Error::reject(explained(reason.into(), error)))
    }

    fn or_retry(self, reason: impl Into<String>) -> Result<T, Error> {
        self.map_err(|error| Error::retry(explained(reason.into(), error)))
    }
}

impl<T> OrFail<T> for Option<T> {
    fn or_reject(self, reason: impl Into<String>) -> Result<T, Error> {
        self.ok_or_else(|| Error::reject(reason))
    }

    fn or_retry(self, reason: impl Into<String>) -> Result<T, Error> {
        self.ok_or_else(|| Error::retry(reason))
    }
}

fn explained(reason: String, error: impl Into<Box<dyn StdError>>) -> String {
    reason + ": " + &with_sources(&*error.into())
}

/// The error's text and that of its sources, joined by colons. Many libraries repeat the source in their own text;
/// what stands at the end already is not said twice.
pub(crate) fn with_sources(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let said = source.to_string();
        if !text.ends_with(&said) {
            text = text + ": " + &said;
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use std::fmt;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str(self.0)
        }
    }

    impl StdError for Layer {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            self.1.as_deref().map(|source| source as _)
        }
    }

    #[test]
    fn the_reason_of_a_question_mark_holds_the_whole_source_chain() {
        let error = Layer(
            "no invoice",
            Some(Box::new(Layer("request failed", Some(Box::new(Layer("timed out", None)))))),
        );
        assert_eq!(Error::from(error), Error::retry("no invoice: request failed: timed out"));
    }

    #[test]
    fn a_source_that_the_error_repeats_is_said_once() {
        let error = Layer("request failed: timed out", Some(Box::new(Layer("timed out", None))));
        assert_eq!(Error::from(error).reason, "request failed: timed out");
    }

    #[test]
    fn plain_text_and_missing_values_can_be_judged_too() {
        let failed: Result<(), &str> = Err("no such month");
        assert_eq!(failed.or_reject("bad date").unwrap_err(), Error::reject("bad date: no such month"));
        assert_eq!(None::<()>.or_retry("not there yet").unwrap_err().kind, Kind::Retry);
    }
}

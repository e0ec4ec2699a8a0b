//! What a handler may return.

use crate::Error;

/// A result: its media type and its bytes.
///
/// ```
/// use saggar_plugin::{Output, handler};
///
/// #[handler]
/// fn rule() -> Output {
///     Output::new("text/html", "<hr>")
/// }
/// # assert_eq!(rule().content_type, "text/html");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// Media type of the payload. The host takes at most 256 bytes of visible ASCII, and makes anything else, the
    /// empty string too, `application/octet-stream`.
    pub content_type: String,
    /// The bytes. More than the queue's output limit, 768 KiB by default, ends the attempt as `output-too-large`.
    pub payload: Vec<u8>,
}

impl Output {
    /// A result of this media type with these bytes.
    pub fn new(content_type: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self { content_type: content_type.into(), payload: payload.into() }
    }
}

/// A type that can be written as a task's result.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`: it cannot be written as a task's result",
    label = "not writable as a result",
    note = "return `Json<T>`, `String`, `Vec<u8>`, `Output` or `()`, alone or in a `Result`, or implement `IntoOutput`",
    note = "the error of a `Result` must be `saggar_plugin::Error` or implement `std::error::Error`"
)]
pub trait IntoOutput {
    /// Writes the value, or passes on why there is none.
    ///
    /// # Errors
    /// Ends the attempt as `rejected` or `retried`, by the error's kind.
    fn into_output(self) -> Result<Output, Error>;
}

impl IntoOutput for Output {
    fn into_output(self) -> Result<Output, Error> {
        Ok(self)
    }
}

/// `application/octet-stream`.
impl IntoOutput for Vec<u8> {
    fn into_output(self) -> Result<Output, Error> {
        Ok(Output::new("application/octet-stream", self))
    }
}

/// `text/plain; charset=utf-8`.
impl IntoOutput for String {
    fn into_output(self) -> Result<Output, Error> {
        Ok(Output::new("text/plain; charset=utf-8", self))
    }
}

/// `text/plain; charset=utf-8`.
impl IntoOutput for &'static str {
    fn into_output(self) -> Result<Output, Error> {
        self.to_owned().into_output()
    }
}

/// No bytes and no media type: the task is done, and that is all there is to say.
impl IntoOutput for () {
    fn into_output(self) -> Result<Output, Error> {
        Ok(Output::default())
    }
}

impl<T: IntoOutput, E: Into<Error>> IntoOutput for Result<T, E> {
    fn into_output(self) -> Result<Output, Error> {
        self.map_err(Into::into)?.into_output()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_names_its_media_type() {
        assert_eq!(vec![1, 2].into_output(), Ok(Output::new("application/octet-stream", [1, 2])));
        assert_eq!("kiln".into_output(), Ok(Output::new("text/plain; charset=utf-8", "kiln")));
        assert_eq!(().into_output(), Ok(Output::new("", [])));
    }

    #[test]
    fn an_ordinary_error_in_a_result_is_a_retry() {
        let result: Result<String, std::fmt::Error> = Err(std::fmt::Error);
        assert_eq!(result.into_output().unwrap_err().kind, crate::Kind::Retry);
    }
}

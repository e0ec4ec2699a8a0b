//! What a handler may take as its argument.

use crate::Error;

/// The code of the rejection when the payload cannot be read as the type that the handler asks for.
pub(crate) const BAD_INPUT: &str = "bad-input";

/// A type that is read from a task's payload.
///
/// Implement it for a type of your own to keep decoding out of the handler:
///
/// ```
/// use saggar_plugin::{Error, FromInput, handler};
///
/// struct Lines(Vec<String>);
///
/// impl FromInput for Lines {
///     fn from_input(payload: Vec<u8>) -> Result<Self, Error> {
///         Ok(Lines(String::from_input(payload)?.lines().map(str::to_owned).collect()))
///     }
/// }
///
/// #[handler]
/// fn count(Lines(lines): Lines) -> String {
///     lines.len().to_string()
/// }
/// # assert_eq!(count(Lines(vec![])), "0");
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}`: it cannot be read from a task's payload",
    label = "not readable from a payload",
    note = "take `Json<{Self}>` for JSON, `String` for text, `Vec<u8>` for the bytes, or implement `FromInput`"
)]
pub trait FromInput: Sized {
    /// Reads the value from the payload, which is given byte for byte as it was published.
    ///
    /// # Errors
    /// Ends the attempt without calling the handler. The types of this crate reject with the code `bad-input`: the
    /// same bytes will not read better next time.
    fn from_input(payload: Vec<u8>) -> Result<Self, Error>;
}

/// The bytes themselves. Never fails.
impl FromInput for Vec<u8> {
    fn from_input(payload: Vec<u8>) -> Result<Self, Error> {
        Ok(payload)
    }
}

/// UTF-8 text.
impl FromInput for String {
    fn from_input(payload: Vec<u8>) -> Result<Self, Error> {
        Self::from_utf8(payload).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Error::reject(format!(
                "the payload is not UTF-8 text: the byte at offset {at} does not belong there"
            ))
            .code(BAD_INPUT)
        })
    }
}

/// `None` for an empty payload.
impl<T: FromInput> FromInput for Option<T> {
    fn from_input(payload: Vec<u8>) -> Result<Self, Error> {
        if payload.is_empty() { Ok(None) } else { T::from_input(payload).map(Some) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_utf_8_is_rejected_with_the_place() {
        let error = String::from_input(b"kiln \xff".to_vec()).unwrap_err();
        assert_eq!(error.code.as_deref(), Some("bad-input"));
        assert!(error.reason.contains("offset 5"), "{error}");
    }

    #[test]
    fn an_empty_payload_is_none_and_any_other_is_read() {
        assert_eq!(Option::<String>::from_input(vec![]), Ok(None));
        assert_eq!(Option::<String>::from_input(b"clay".to_vec()), Ok(Some("clay".to_owned())));
    }
}

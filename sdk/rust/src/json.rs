//! JSON in and out, through serde.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::input::BAD_INPUT;
use crate::{Error, FromInput, IntoOutput, Output};

/// A value that is read from JSON or written as JSON.
///
/// As an argument it takes the payload as JSON, whatever content type the publisher gave. As a return value its
/// content type is `application/json`.
///
/// ```
/// use saggar_plugin::{Json, handler};
///
/// #[handler]
/// fn total(Json(prices): Json<Vec<u64>>) -> Json<u64> {
///     Json(prices.iter().sum())
/// }
///
/// assert_eq!(total(Json(vec![3, 4])), Json(7));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// Rejects with the code `bad-input` what is not JSON or not the JSON of a `T`, with the line and column.
impl<T: DeserializeOwned> FromInput for Json<T> {
    fn from_input(payload: Vec<u8>) -> Result<Self, Error> {
        if payload.is_empty() {
            return Err(Error::reject("the payload is empty; this plugin takes JSON").code(BAD_INPUT));
        }
        serde_json::from_slice(&payload).map(Json).map_err(|error| {
            let what = if error.is_data() { "the JSON that this plugin takes" } else { "JSON" };
            Error::reject(format!("the payload is not {what}: {error}")).code(BAD_INPUT)
        })
    }
}

/// Rejects with the code `bad-output` a value that JSON cannot express, such as a map whose keys are lists: another
/// attempt would meet the same value.
impl<T: Serialize> IntoOutput for Json<T> {
    fn into_output(self) -> Result<Output, Error> {
        let payload = serde_json::to_vec(&self.0).map_err(|error| {
            Error::reject(format!("the result cannot be written as JSON: {error}")).code("bad-output")
        })?;
        Ok(Output::new("application/json", payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Pot {
        glaze: String,
    }

    fn refused(payload: &str) -> Error {
        Json::<Pot>::from_input(payload.into()).unwrap_err()
    }

    #[test]
    fn json_that_lacks_a_member_is_rejected_with_its_name_and_place() {
        let error = refused("{\n}");
        assert_eq!(error.code.as_deref(), Some("bad-input"));
        assert_eq!(
            error.reason,
            "the payload is not the JSON that this plugin takes: missing field `glaze` at line 2 column 1"
        );
    }

    #[test]
    fn text_that_is_not_json_is_rejected_as_such() {
        assert!(refused("glaze").reason.starts_with("the payload is not JSON: expected value at line 1"));
        assert_eq!(refused("").reason, "the payload is empty; this plugin takes JSON");
    }

    #[test]
    fn a_value_is_written_as_application_json() {
        assert_eq!(Json([1, 2]).into_output(), Ok(Output::new("application/json", "[1,2]")));
    }

    #[test]
    fn a_value_that_json_cannot_express_is_rejected() {
        let error = Json(BTreeMap::from([([1], 2)])).into_output().unwrap_err();
        assert_eq!((error.kind, error.code.as_deref()), (crate::Kind::Reject, Some("bad-output")));
    }
}

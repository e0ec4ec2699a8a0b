//! The one function of a plugin, and how it is run: payload to argument, return value to output.

use crate::{Error, FromInput, IntoOutput, Output, logging};

/// A function that can be a plugin's handler: `fn() -> R` or `fn(A) -> R`, where `A` is [`FromInput`] and `R` is
/// [`IntoOutput`].
///
/// `Arguments` only tells the two shapes apart; the compiler finds it. There is nothing to implement here, the
/// trait lets [`testing::Context::call`](crate::testing::Context::call) take either shape.
pub trait Handler<Arguments> {
    /// Reads the argument from the payload, calls the function and writes what it returns.
    ///
    /// # Errors
    /// Those of the reading, of the function and of the writing.
    fn run(self, payload: Vec<u8>) -> Result<Output, Error>;
}

impl<F: FnOnce() -> R, R: IntoOutput> Handler<()> for F {
    fn run(self, payload: Vec<u8>) -> Result<Output, Error> {
        run_without_argument(self, payload)
    }
}

impl<F: FnOnce(A) -> R, A: FromInput, R: IntoOutput> Handler<(A,)> for F {
    fn run(self, payload: Vec<u8>) -> Result<Output, Error> {
        run_with_argument(self, payload)
    }
}

/// What `#[handler]` calls. It names the types, so that the compiler points at the one that does not fit.
///
/// # Errors
/// The payload cannot be read, or the handler says so.
pub fn run_with_argument<A: FromInput, R: IntoOutput>(
    handler: impl FnOnce(A) -> R,
    payload: Vec<u8>,
) -> Result<Output, Error> {
    logging::install();
    handler(A::from_input(payload)?).into_output()
}

/// The same for a handler that does not look at the payload.
///
/// # Errors
/// The handler says so.
pub fn run_without_argument<R: IntoOutput>(
    handler: impl FnOnce() -> R,
    _payload: Vec<u8>,
) -> Result<Output, Error> {
    logging::install();
    handler().into_output()
}

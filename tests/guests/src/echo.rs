//! Gives back what it got.

use saggar_plugin::{Output, context, handler};

#[handler]
fn echo(input: Vec<u8>) -> Output {
    Output::new(context::content_type().unwrap_or_default(), input)
}

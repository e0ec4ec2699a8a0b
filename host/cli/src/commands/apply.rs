//! Stub.
use crate::console::Console;
use crate::failure::{Exit, Failure};
/// Stub.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example")]
pub struct Arguments {}
/// Stub.
pub async fn execute(_arguments: Arguments, _console: Console) -> Result<Exit, Failure> { Ok(Exit::Success) }

//! `saggar completions`: what a shell needs to complete command lines.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::arguments;
use crate::console::Console;
use crate::failure::{Exit, Failure};

const EXAMPLES: &str = "\
Example:
  saggar completions bash > ~/.local/share/bash-completion/completions/saggar";

/// The arguments of `saggar completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints completions.
///
/// # Errors
/// Standard output cannot be written.
pub fn execute(arguments: &Arguments, console: Console) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut arguments::Arguments::command(), "saggar", &mut script);
    let script = String::from_utf8_lossy(&script);
    console.answer(serde_json::json!({ "script": script }), script.trim_end())?;
    Ok(Exit::Success)
}

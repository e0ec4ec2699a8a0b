//! `saggar schema`: the JSON Schemas of the files, for editors.

use serde_json::{Value, json};

use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};

const EXAMPLES: &str = "\
Example:
  saggar schema tenant > tenant.schema.json";

/// The arguments of `saggar schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The file it describes.
    #[arg(value_enum)]
    file: File,
}

/// The files that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum File {
    /// A tenant's, as `saggar apply` takes it.
    Tenant,
    /// A host's, as `saggar host --config` takes it.
    Host,
    /// A plugin's, `plugin.toml`.
    Plugin,
}

impl File {
    const fn schema(self) -> &'static str {
        match self {
            Self::Tenant => include_str!("../../../../docs/schemas/tenant.schema.json"),
            Self::Host => include_str!("../../../../docs/schemas/host.schema.json"),
            Self::Plugin => include_str!("../../../../docs/schemas/plugin.schema.json"),
        }
    }
}

/// Prints it.
///
/// # Errors
/// Standard output cannot be written.
pub fn execute(arguments: &Arguments, console: Console) -> Result<Exit, Failure> {
    let text = arguments.file.schema();
    let schema: Value = serde_json::from_str(text).map_err(|error| Failure::new(Kind::Internal, error))?;
    console.object(schema, &json!({}))?;
    console.line(text.trim_end())?;
    Ok(Exit::Success)
}

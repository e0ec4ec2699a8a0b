//! `saggar plugin`: bringing components to a tenant, signing them, and looking at them.

mod inspect;
mod keygen;
mod list;
mod pull;
mod push;
mod sign;
mod verify;

use clap::Subcommand;
use saggar_jetstream::{Fault, Nats, PluginInfo, Plugins, PluginsError};
use saggar_model::{PluginRef, TenantName};
use serde_json::{Value, json};

use crate::arguments::ConnectionFlags;
use crate::connection::TenantFlag;
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};

const EXAMPLES: &str = "\
Examples:
  saggar plugin push target/wasm32-wasip2/release/thumbnail.wasm --tenant acme
  saggar plugin push oci://registry.example.com/acme/thumbnail:1.2.0 --tenant acme
  saggar plugin sign thumbnail@1.2.0 --tenant acme --key release.pem
  saggar plugin ls --tenant acme";

/// The arguments of `saggar plugin`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    tenant: TenantFlag,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Store a component as a version of a tenant's plugin. A version once pushed never changes.
    Push(push::Push),
    /// Write a component into a file.
    Pull(pull::Pull),
    /// List a tenant's plugins.
    #[command(after_help = "Example:\n  saggar plugin ls --tenant acme")]
    Ls,
    /// Show what a component is for, what it imports and exports, and who signed it.
    #[command(after_help = "Examples:\n  saggar plugin inspect thumbnail.wasm\n  \
                            saggar plugin inspect thumbnail@1.2.0 --tenant acme")]
    Inspect {
        /// A component's file, or a plugin of the tenant's.
        #[arg(value_name = "FILE|NAME@VERSION")]
        plugin: String,
    },
    /// Sign a version, so that hosts which trust the key run it.
    Sign(sign::Sign),
    /// Check that one of these keys has signed a version, as a host that trusts them would.
    Verify(verify::Verify),
    /// Make a pair of keys to sign with.
    Keygen(keygen::Keygen),
}

/// Does what the command line says.
///
/// # Errors
/// The component is none, there is no such plugin or key, a signature does not hold, or NATS or a registry does not
/// answer.
pub async fn execute(
    arguments: Arguments,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    let tenant = &arguments.tenant;
    match arguments.command {
        Command::Push(push) => push::execute(push, tenant, flags, console).await,
        Command::Pull(pull) => pull::execute(pull, tenant, flags, console).await,
        Command::Ls => list::execute(tenant, flags, console).await,
        Command::Inspect { plugin } => inspect::execute(&plugin, tenant, flags, console).await,
        Command::Sign(sign) => sign::execute(sign, tenant, flags, console).await,
        Command::Verify(verify) => verify::execute(verify, tenant, flags, console).await,
        Command::Keygen(keygen) => keygen::execute(&keygen, console),
    }
}

/// A plugin of a tenant's.
async fn find(nats: &Nats, tenant: &TenantName, plugin: &PluginRef) -> Result<PluginInfo, Failure> {
    let found = match Plugins::new(nats).resolve(tenant, plugin).await {
        // The store is made by the first push.
        Err(PluginsError::Request(error)) if error.fault() == Fault::NotFound => None,
        found => found?,
    };
    found.ok_or_else(|| {
        Failure::new(Kind::NotFound, format!("tenant {tenant} has no plugin {plugin}"))
            .advice(format!("See `saggar plugin ls --tenant {tenant}`."))
    })
}

/// The signatures of a version for programs: whose each claims to be, and whether that key has signed this version.
fn signatures(info: &PluginInfo) -> Vec<Value> {
    let genuine = |signature: &saggar_model::Signature| signature.is_of(&info.statement()).unwrap_or(false);
    info.signatures
        .iter()
        .take(saggar_model::SIGNATURES_MAX)
        .map(|signature| json!({ "key": signature.key, "genuine": genuine(signature) }))
        .collect()
}

/// The signatures of a version for people: keys, and what is wrong with those that are of something else.
fn signers(info: &PluginInfo) -> Vec<String> {
    let shown = |signature: &saggar_model::Signature| match signature.is_of(&info.statement()) {
        Ok(true) => signature.key.clone(),
        Ok(false) => format!("{}, but not of this version and component", signature.key),
        Err(error) => error.to_string(),
    };
    info.signatures.iter().take(saggar_model::SIGNATURES_MAX).map(shown).collect()
}

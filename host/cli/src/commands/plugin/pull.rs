//! `saggar plugin pull`: a component becomes a file.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use bytes::Bytes;
use owo_colors::{OwoColorize, Style};
use saggar_jetstream::Plugins;
use saggar_model::{Digest, PluginRef, format_bytes};
use saggar_registry::{Reference, Wanted};
use serde_json::json;

use crate::arguments::ConnectionFlags;
use crate::connection::{self, TenantFlag};
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::keys::not_written;
use crate::registry::RegistryFlags;

const HELP: &str = "\
The component is compared with its digest before it is written. No file is written over.

Examples:
  saggar plugin pull thumbnail@1.2.0 --tenant acme
  saggar plugin pull thumbnail@1.2.0 --tenant acme -o thumbnail.wasm
  saggar plugin pull oci://registry.example.com/acme/thumbnail:1.2.0 -o thumbnail.wasm";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Pull {
    /// A plugin of the tenant's, or a reference to a registry.
    #[arg(value_name = "NAME@VERSION|oci://…")]
    plugin: String,

    /// Where it goes [default: NAME-VERSION.wasm].
    #[arg(short = 'o', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    registry: RegistryFlags,
}

/// A component that is to be written.
struct Pulled {
    /// What it is called, for people.
    title: String,
    digest: Digest,
    component: Bytes,
    file: PathBuf,
}

/// Writes it.
///
/// # Errors
/// There is no such plugin, the store holds something else, the file exists, or NATS does not answer.
pub async fn execute(
    pull: Pull,
    tenant: &TenantFlag,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    let Pulled { title, digest, component, file } = if Reference::is_meant(&pull.plugin) {
        fetched(&pull).await?
    } else {
        stored(&pull, tenant, flags, console).await?
    };
    File::create_new(&file)
        .and_then(|mut opened| opened.write_all(&component))
        .map_err(|error| not_written(&file, &error))?;
    let size = component.len() as u64;
    let data = json!({ "plugin": title, "digest": digest, "size": size, "file": file });
    let about = format!("{digest}, {}, in {}", format_bytes(size), file.display());
    console.answer(data, format!("{title} {}", about.style(Style::new().dimmed())))?;
    Ok(Exit::Success)
}

async fn stored(
    pull: &Pull,
    tenant: &TenantFlag,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Pulled, Failure> {
    let plugin: PluginRef = pull.plugin.parse().map_err(|error| Failure::new(Kind::Usage, error))?;
    let tenant = tenant.get()?;
    let nats = connection::connect(flags, console).await?;
    let info = super::find(&nats, &tenant, &plugin).await?;
    let component = Plugins::new(&nats).fetch(&info.digest).await?;
    let (name, version) = (info.name, info.version);
    let file = pull.file.clone().unwrap_or_else(|| format!("{name}-{version}.wasm").into());
    Ok(Pulled { title: format!("{name}@{version}"), digest: info.digest, component, file })
}

async fn fetched(pull: &Pull) -> Result<Pulled, Failure> {
    let reference: Reference = pull.plugin.parse().map_err(|error| Failure::new(Kind::Usage, error))?;
    let artifact = pull.registry.fetch(&reference).await?;
    let file = pull.file.clone().unwrap_or_else(|| {
        let version = match reference.wanted() {
            Wanted::Tag(tag) => tag.clone(),
            Wanted::Manifest(_) => artifact.digest.hex(),
        };
        format!("{}-{version}.wasm", reference.name()).into()
    });
    Ok(Pulled { title: artifact.source, digest: artifact.digest, component: artifact.component, file })
}

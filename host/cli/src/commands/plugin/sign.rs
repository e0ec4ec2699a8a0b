//! `saggar plugin sign`: says of a version that is there that it is the one that was meant.

use std::path::PathBuf;

use saggar_jetstream::Plugins;
use saggar_model::{Digest, PluginRef, Statement};
use serde_json::json;

use crate::arguments::ConnectionFlags;
use crate::connection::{self, TenantFlag};
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::keys;

const HELP: &str = "\
Signed are the name, the version and the digest, so that the signature is of nothing else. Which
digest that is, the store says, unless --digest does: whoever signs a component that others could
have written to the store says it, or signs while pushing, with `saggar plugin push FILE --sign KEY`.

Examples:
  saggar plugin sign thumbnail@1.2.0 --tenant acme --key release.pem
  saggar plugin sign thumbnail@1.2.0 --tenant acme --key release.pem --digest sha256:9f86…";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Sign {
    /// Which version.
    #[arg(value_name = "NAME@VERSION")]
    plugin: PluginRef,

    /// The private key, in PEM.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// The component that it has to be.
    #[arg(long, value_name = "DIGEST")]
    digest: Option<Digest>,
}

/// Signs it.
///
/// # Errors
/// There is no such key or version, it is another component, or NATS does not answer.
pub async fn execute(
    sign: Sign,
    tenant: &TenantFlag,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    let tenant = tenant.get()?;
    let PluginRef::Version(name, version) = &sign.plugin else {
        return Err(Failure::new(Kind::Usage, "a signature is of a version: write `NAME@VERSION`")
            .advice("The digest that the version has to have can be said with --digest."));
    };
    let key = keys::secret(&sign.key, console)?;
    let nats = connection::connect(flags, console).await?;
    let digest = match sign.digest {
        Some(digest) => digest,
        None => super::find(&nats, &tenant, &sign.plugin).await?.digest,
    };
    let signature = Statement { name, version, digest: &digest }.sign(&key);
    let signed = Plugins::new(&nats).sign(&tenant, name, version, &digest, &signature).await?;
    let data = json!({
        "tenant": tenant, "name": name, "version": version, "digest": digest, "key": key.public(),
        "already_there": signed.already_there, "signatures": super::signatures(&signed.info),
    });
    let done = if signed.already_there { "was signed already" } else { "signed" };
    console.answer(data, format!("{name}@{version} {digest}, {done} by {}", key.public()))?;
    Ok(Exit::Success)
}

//! `saggar plugin verify`: whether hosts that trust some keys would run a version.

use std::path::PathBuf;

use saggar_jetstream::Plugins;
use saggar_model::{PluginRef, TrustedKeys};
use serde_json::json;

use crate::arguments::ConnectionFlags;
use crate::connection::{self, TenantFlag};
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::keys;

const HELP: &str = "\
The component is read from the store and its digest compared before the signature is checked. Exit
code 64: none of the keys has signed it.

Examples:
  saggar plugin verify thumbnail@1.2.0 --tenant acme --key release.pub.pem
  saggar plugin verify thumbnail@sha256:9f86… --tenant acme --key old.pub.pem --key new.pub.pem";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Verify {
    /// Which version, or which component.
    #[arg(value_name = "NAME@VERSION")]
    plugin: PluginRef,

    /// A public key, in PEM; of several, one suffices.
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
}

/// Checks it.
///
/// # Errors
/// No key has signed it, the store holds something else, or NATS does not answer.
pub async fn execute(
    verify: Verify,
    tenant: &TenantFlag,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    let tenant = tenant.get()?;
    let keys = verify.keys.iter().map(|path| keys::public(path)).collect::<Result<Vec<_>, _>>()?;
    let trusted =
        TrustedKeys::new(keys).ok_or_else(|| Failure::new(Kind::Usage, "no key is named: add --key FILE"))?;
    let nats = connection::connect(flags, console).await?;
    let info = super::find(&nats, &tenant, &verify.plugin).await?;
    let plugins = Plugins::new(&nats);
    // Checks the digest.
    plugins.fetch(&info.digest).await?;
    let plugin = &verify.plugin;
    let key = plugins.check(&tenant, plugin, &info.digest, &trusted).await?.map_err(|untrusted| {
        Failure::new(Kind::BadConfiguration, format!("plugin {plugin} of tenant {tenant}: {untrusted}"))
    })?;
    let data = json!({ "tenant": tenant, "plugin": plugin, "digest": info.digest, "key": key });
    console.answer(data, format!("{plugin} is {}, signed by {key}", info.digest))?;
    Ok(Exit::Success)
}

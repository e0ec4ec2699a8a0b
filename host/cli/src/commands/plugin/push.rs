//! `saggar plugin push`: a component becomes a version of a tenant's plugin.

use std::path::{Path, PathBuf};

use owo_colors::{OwoColorize, Style};
use saggar_jetstream::{Declared, Nats, Plugins};
use saggar_model::config::PluginFile;
use saggar_model::{
    Digest, PluginName, PluginRef, PluginVersion, PublicKey, SecretKey, Statement, TenantName, format_bytes,
};
use saggar_registry::{Reference, Wanted};
use serde_json::json;

use crate::arguments::ConnectionFlags;
use crate::component::{self, Component};
use crate::connection::{self, TenantFlag};
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::local::Local;
use crate::registry::RegistryFlags;
use crate::{keys, manifest, policy};

const HELP: &str = "\
What the plugin is called is said by --name and --version, or else by the manifest: --manifest FILE,
or the first `plugin.toml` found
  1. beside the component,
  2. in the workspace whose `target` directory holds the component, or in a directory of that
     workspace, if it names the plugin as the component's file is named,
  3. in the current directory.
What comes from a registry is called as its repository's last part and its tag, unless --name and
--version say otherwise. The tag is looked up once; kept is the digest that it stood for.

Examples:
  saggar plugin push target/wasm32-wasip2/release/thumbnail.wasm --tenant acme
  saggar plugin push thumbnail.wasm --tenant acme --name thumbnail --version 1.2.0
  saggar plugin push thumbnail.wasm --tenant acme --sign release.pem
  saggar plugin push oci://registry.example.com/acme/thumbnail:1.2.0 --tenant acme";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Push {
    /// The component, or a module for `wasi_snapshot_preview1`, of which one is made: a file, or a reference to a registry.
    #[arg(value_name = "FILE|oci://…")]
    component: String,

    /// What the tenant calls the plugin [default: see below].
    #[arg(long)]
    name: Option<PluginName>,

    /// Which version it is [default: see below].
    #[arg(long)]
    version: Option<PluginVersion>,

    /// The manifest [default: see below].
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,

    /// Sign it with this private key, in PEM.
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,

    #[command(flatten)]
    registry: RegistryFlags,
}

/// What is pushed, and as what.
struct Parcel {
    component: Component,
    name: PluginName,
    version: PluginVersion,
    declared: Declared,
}

/// Pushes it.
///
/// # Errors
/// The component is none, nothing says what it is called, the version is another component, or NATS does not answer.
pub async fn execute(
    push: Push,
    tenant: &TenantFlag,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    let tenant = tenant.get()?;
    let key = push.sign.as_deref().map(|path| keys::secret(path, console)).transpose()?;
    let parcel = if Reference::is_meant(&push.component) { fetched(&push).await? } else { read(&push)? };
    // What cannot be compiled here cannot be compiled on any host, and nothing of it is to be stored.
    Local::new(console)?.prepare(&parcel.component).await?;
    let nats = connection::connect(flags, console).await?;
    connection::ensure_stores(&nats).await?;
    store(&nats, &tenant, parcel, key.as_ref(), console).await?;
    Ok(Exit::Success)
}

async fn store(
    nats: &Nats,
    tenant: &TenantName,
    parcel: Parcel,
    key: Option<&SecretKey>,
    console: Console,
) -> Result<(), Failure> {
    let Parcel { component, name, version, declared } = parcel;
    let plugins = Plugins::new(nats);
    let pushed = plugins.push(tenant, &name, &version, component.wasm, &declared).await?;
    let signed_by = match key {
        Some(key) => Some(sign(&plugins, tenant, &name, &version, &pushed.digest, key).await?),
        None => None,
    };
    let size = format_bytes(component.inspection.size);
    let done = if pushed.already_there { "was there already" } else { "pushed" };
    let data = json!({
        "tenant": tenant, "name": name, "version": version, "digest": pushed.digest,
        "size": component.inspection.size, "world": component.inspection.world.as_str(),
        "wants": declared.wants, "source": declared.source,
        "already_there": pushed.already_there, "signed_by": signed_by,
    });
    let signed = signed_by.map(|key| format!(", signed by {}", key.short())).unwrap_or_default();
    let about = format!("{}, {size}, {done} for tenant {tenant}{signed}", pushed.digest);
    console.answer(data, format!("{name}@{version} {}", about.style(Style::new().dimmed())))?;
    if !declared.wants.is_empty() {
        let wants = declared.wants.join("; ");
        console.note(format!("  its manifest asks for {wants}; nothing is granted by pushing"));
    }
    let plugin = PluginRef::Version(name, version);
    let hosts = policy::hosts(nats).await?;
    if let Some(objection) = policy::objection(nats, &hosts, tenant, &plugin, &pushed.digest).await? {
        console.warn(objection.text(&plugin));
        console.note(format!("  {}", objection.advice(tenant, &plugin)));
    }
    Ok(())
}

async fn sign(
    plugins: &Plugins,
    tenant: &TenantName,
    name: &PluginName,
    version: &PluginVersion,
    digest: &Digest,
    key: &SecretKey,
) -> Result<PublicKey, Failure> {
    let signature = Statement { name, version, digest }.sign(key);
    plugins.sign(tenant, name, version, digest, &signature).await?;
    Ok(key.public())
}

/// A component from a file.
fn read(push: &Push) -> Result<Parcel, Failure> {
    let file = Path::new(&push.component);
    let component = component::read(file)?;
    let (name, version, wants) = identity(push, file)?;
    let declared = Declared { memory: component.inspection.memory, wants, source: None };
    Ok(Parcel { component, name, version, declared })
}

/// A component from a registry.
async fn fetched(push: &Push) -> Result<Parcel, Failure> {
    let reference: Reference = push.component.parse().map_err(|error| Failure::new(Kind::Usage, error))?;
    let manifest = push.manifest.as_deref().map(manifest::read).transpose()?;
    let tag = match reference.wanted() {
        Wanted::Tag(tag) => tag.parse().ok(),
        Wanted::Manifest(_) => None,
    };
    let (said_name, said_version) = match &manifest {
        Some(manifest) => (Some(manifest.name.clone()), Some(manifest.version.clone())),
        None => (reference.name().parse().ok(), tag),
    };
    let (Some(name), Some(version)) =
        (push.name.clone().or(said_name), push.version.clone().or(said_version))
    else {
        return Err(Failure::new(Kind::Usage, format!("nothing says what {reference} is called"))
            .advice("Add `--name NAME --version VERSION`."));
    };
    let artifact = push.registry.fetch(&reference).await?;
    let component = component::look_at(artifact.component, &artifact.source)?;
    let declared = Declared {
        memory: component.inspection.memory,
        wants: manifest.map(|manifest| manifest.wants).unwrap_or_default(),
        source: Some(artifact.source),
    };
    Ok(Parcel { component, name, version, declared })
}

fn identity(push: &Push, file: &Path) -> Result<(PluginName, PluginVersion, Vec<String>), Failure> {
    let found = push.manifest.clone().or_else(|| manifest::find(file, Path::new("")));
    let said = match (&push.name, &push.version, &push.manifest) {
        // Nothing but its wishes is left to learn, and a broken manifest of somebody else's must not matter.
        (Some(_), Some(_), None) => found.and_then(|path| manifest::read(&path).ok()),
        _ => found.as_deref().map(manifest::read).transpose()?,
    };
    let wants = said.as_ref().map(|manifest| manifest.wants.clone()).unwrap_or_default();
    let (said_name, said_version) = match said {
        Some(PluginFile { name, version, .. }) => (Some(name), Some(version)),
        None => (None, None),
    };
    if let (Some(name), Some(version)) =
        (push.name.clone().or(said_name), push.version.clone().or(said_version))
    {
        Ok((name, version, wants))
    } else {
        let file = file.display();
        Err(Failure::new(
            Kind::Usage,
            format!("nothing says what {file} is called: there is no plugin.toml for it"),
        )
        .advice("Add `--name NAME --version VERSION`, or `--manifest FILE`."))
    }
}

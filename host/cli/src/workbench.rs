//! The plugin that is being worked on: built, pushed and bound to a queue of its name, again and again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use saggar_jetstream::{Declared, Expected, Nats, Plugins, Tenants, TenantsError};
use saggar_model::{
    Allowance, Digest, PluginName, PluginRef, PluginVersion, QueueName, QueueSpec, Quota, TenantName,
    TenantRecord, TenantSpec, format_duration,
};
use tokio::process::Command;

use crate::commands::queue::depth;
use crate::console::Console;
use crate::failure::{Failure, Kind};
use crate::{component, connection, manifest};

/// The tenant of `saggar dev`.
pub const TENANT: &str = "dev";

/// How long the host may take to make the queue.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(10);

/// How often to look whether it has.
const LOOK: Duration = Duration::from_millis(20);

/// How often a change is tried again that somebody else was faster with.
const TRIES: usize = 5;

/// A tenant, and the plugin in its hands.
pub struct Workbench {
    nats: Nats,
    tenant: TenantName,
    piece: Option<Piece>,
}

/// The plugin.
struct Piece {
    directory: PathBuf,
    name: PluginName,
    /// Versions pushed so far.
    count: u32,
    /// What was pushed last.
    digest: Option<Digest>,
}

impl Workbench {
    /// Makes the tenant, and looks at the plugin in `directory`.
    ///
    /// # Errors
    /// The directory holds no plugin, or NATS does not answer.
    pub async fn open(nats: &Nats, directory: Option<&Path>) -> Result<Self, Failure> {
        let piece = directory.map(|directory| {
            let name = manifest::read_in(directory)?.name;
            Ok::<_, Failure>(Piece { directory: directory.to_owned(), name, count: 0, digest: None })
        });
        let tenant: TenantName = TENANT.parse().map_err(|error| Failure::new(Kind::Internal, error))?;
        let bench = Self { nats: nats.clone(), tenant, piece: piece.transpose()? };
        bench.change(|_| {}).await?;
        Ok(bench)
    }

    /// What the plugin and its queue are called.
    #[must_use]
    pub fn plugin(&self) -> Option<&str> {
        self.piece.as_ref().map(|piece| piece.name.as_str())
    }

    /// Builds the plugin and puts it to work. What there is to say about it; nothing if it is what it was.
    ///
    /// # Errors
    /// It does not build, or what is built is no plugin.
    pub async fn reload(&mut self, console: Console) -> Result<Option<String>, Failure> {
        let Some(piece) = &self.piece else { return Ok(None) };
        let start = Instant::now();
        let file = build(&piece.directory, &piece.name, console).await?;
        let component = component::read(&file)?;
        let digest = component.inspection.digest;
        if piece.digest == Some(digest) {
            return Ok(None);
        }
        let (name, count) = (piece.name.clone(), piece.count + 1);
        let version: PluginVersion =
            format!("dev-{count}").parse().map_err(|error| Failure::new(Kind::Internal, error))?;
        let declared = Declared { memory: component.inspection.memory, ..Declared::default() };
        Plugins::new(&self.nats).push(&self.tenant, &name, &version, component.wasm, &declared).await?;
        let queue: QueueName = name.as_str().parse().map_err(|error| Failure::new(Kind::Internal, error))?;
        let plugin = PluginRef::Version(name, version);
        self.change(|record| {
            record.plugins.insert(plugin.to_string(), digest);
            let spec =
                record.spec.queues.entry(queue.clone()).or_insert_with(|| QueueSpec::new(plugin.clone()));
            spec.plugin = plugin.clone();
        })
        .await?;
        self.taken_up(&queue).await?;
        if let Some(piece) = &mut self.piece {
            (piece.count, piece.digest) = (count, Some(digest));
        }
        Ok(Some(format!("{plugin} is ready in queue {queue}, after {}", format_duration(start.elapsed()))))
    }

    /// Changes the tenant's record, whoever else changes it.
    async fn change(&self, change: impl Fn(&mut TenantRecord)) -> Result<(), Failure> {
        let tenants = Tenants::new(&self.nats);
        for _ in 0..TRIES {
            let (mut record, expected) = match connection::look_up(&self.nats, &self.tenant).await? {
                Some(entry) => (entry.record, Expected::Revision(entry.revision)),
                None => (self.empty(), Expected::Absent),
            };
            change(&mut record);
            match tenants.put(&record, expected).await {
                Err(TenantsError::Conflict { .. }) => {}
                done => return Ok(done.map(|_| ())?),
            }
        }
        Err(Failure::new(Kind::Conflict, format!("tenant {TENANT} keeps being changed by something else")))
    }

    fn empty(&self) -> TenantRecord {
        let spec = TenantSpec {
            name: self.tenant.clone(),
            weight: 1,
            quota: Quota::default(),
            allowance: Allowance::default(),
            queues: [].into(),
            schedules: [].into(),
        };
        TenantRecord::new(spec, [].into())
    }

    async fn taken_up(&self, queue: &QueueName) -> Result<(), Failure> {
        let waiting = async {
            while depth(&self.nats, &self.tenant, queue).await?.is_none() {
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        };
        tokio::time::timeout(TAKEN_UP_WITHIN, waiting).await.unwrap_or_else(|_| {
            Err(Failure::new(
                Kind::TimedOut,
                format!("the host has not made queue {queue}; its log above says why"),
            ))
        })
    }
}

/// Builds a plugin, and finds what was built. A directory without `Cargo.toml` is built by somebody else.
async fn build(directory: &Path, name: &PluginName, console: Console) -> Result<PathBuf, Failure> {
    if directory.join("Cargo.toml").is_file() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(&cargo)
            .args(["build", "--release", "--target", "wasm32-wasip2"])
            .args(console.is_json().then_some("--quiet"))
            .current_dir(directory)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .status()
            .await
            .map_err(|error| {
                Failure::new(Kind::NotFound, format!("{} cannot be run: {error}", cargo.display()))
                    .advice("Install Rust with https://rustup.rs.")
            })?;
        if !status.success() {
            return Err(Failure::new(Kind::BadConfiguration, format!("{name} does not build"))
                .advice("If the target is missing: `rustup target add wasm32-wasip2`."));
        }
    }
    manifest::newest_built(directory, name)
}

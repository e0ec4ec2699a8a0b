//! The plugins of all tenants: components by digest, once, and which version of which tenant stands for which.
//!
//! A component is stored before the version that names it, and a version once pushed never changes.

use std::time::{Duration, SystemTime};

use async_nats::jetstream::object_store::{InfoErrorKind, ObjectStore};
use bytes::Bytes;
use saggar_model::{
    COMPONENT_MAX_BYTES, Digest, PluginName, PluginRef, PluginVersion, SIGNATURES_MAX, Signature, Statement,
    TenantName,
};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;

use crate::api::RequestError;
use crate::bucket::{Bucket, Entry, Expected};
use crate::{Fault, Nats, layout};

/// How long a component may take to be sent or read: the largest, 64 MiB, over a slow line.
const TRANSFER_TIMEOUT: Duration = Duration::from_mins(2);

/// The plugins in a NATS.
#[derive(Debug, Clone)]
pub struct Plugins {
    pub(crate) versions: Bucket,
}

/// A version of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginInfo {
    /// Whose it is.
    pub tenant: TenantName,
    /// What it is called.
    pub name: PluginName,
    /// Which version.
    pub version: PluginVersion,
    /// The component.
    pub digest: Digest,
    /// Size of the component in bytes.
    pub size: u64,
    /// When it was pushed.
    pub pushed_at: SystemTime,
    /// What it declares.
    pub declared: Declared,
    /// Who claims to have signed it. Nothing of it was checked.
    pub signatures: Vec<Signature>,
}

impl PluginInfo {
    /// What a signature of this version has to say.
    #[must_use]
    pub fn statement(&self) -> Statement<'_> {
        Statement { name: &self.name, version: &self.version, digest: &self.digest }
    }
}

/// What a plugin says that it needs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Declared {
    /// Bytes that its largest memory has from the start.
    pub memory: u64,
    /// What its manifest asks for.
    pub wants: Vec<String>,
    /// The registry and the manifest's digest that it was fetched by; absent for a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// The component.
    pub digest: Digest,
    /// The version was there before, with the same component.
    pub already_there: bool,
}

/// Why a plugin could not be stored or found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PluginsError {
    /// NATS refused or did not answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The version stands for another component.
    #[error(
        "{name}@{version} of tenant {tenant} is {stored} already and cannot become {pushed}: a version never \
         changes. Push it under a new version"
    )]
    Conflict {
        /// The tenant.
        tenant: TenantName,
        /// The plugin.
        name: PluginName,
        /// The version.
        version: PluginVersion,
        /// What it is.
        stored: Digest,
        /// What it was to become.
        pushed: Digest,
    },
    /// There is no such component in the store.
    #[error("the store of plugins has no component {digest}; push it again")]
    Missing {
        /// The component.
        digest: Digest,
    },
    /// The stored component is not what its name says.
    #[error(
        "the store of plugins holds other bytes under {digest} ({found}); they are not used. Remove them and push again"
    )]
    Corrupt {
        /// The name.
        digest: Digest,
        /// What is there.
        found: Digest,
    },
    /// The object store failed.
    #[error("{doing} component {digest}: {reason}")]
    Store {
        /// What was being done.
        doing: &'static str,
        /// The component.
        digest: Digest,
        /// What happened.
        reason: String,
    },
    /// The stored component is larger than any may be.
    #[error(
        "component {digest} in the store of plugins has {size} bytes, and none may have more than {COMPONENT_MAX_BYTES}"
    )]
    TooLarge {
        /// The component.
        digest: Digest,
        /// What the store says that it has.
        size: usize,
    },
    /// The version stands for another component than the one that was signed.
    #[error("{name}@{version} of tenant {tenant} is {stored}, and {signed} was to be signed")]
    Differs {
        /// The tenant.
        tenant: TenantName,
        /// The plugin.
        name: PluginName,
        /// The version.
        version: PluginVersion,
        /// What it is.
        stored: Digest,
        /// What was signed.
        signed: Digest,
    },
    /// There is no such version.
    #[error("tenant {tenant} has no plugin {name}@{version}")]
    NoVersion {
        /// The tenant.
        tenant: TenantName,
        /// The plugin.
        name: PluginName,
        /// The version.
        version: PluginVersion,
    },
    /// The version has all the signatures it may have.
    #[error("{name}@{version} has {SIGNATURES_MAX} signatures already, and may have no more")]
    TooManySignatures {
        /// The plugin.
        name: PluginName,
        /// The version.
        version: PluginVersion,
    },
    /// Somebody writes the same record all the time.
    #[error("the record of {name}@{version} keeps changing; try again")]
    Contended {
        /// The plugin.
        name: PluginName,
        /// The version.
        version: PluginVersion,
    },
    /// What is stored about a version cannot be read.
    #[error("the record of plugin version {key} cannot be read: {reason}")]
    Unreadable {
        /// Its key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl PluginsError {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Request(error) => error.fault(),
            Self::Conflict { .. } | Self::Differs { .. } | Self::Contended { .. } => Fault::Conflict,
            Self::Missing { .. } | Self::NoVersion { .. } => Fault::NotFound,
            Self::TooManySignatures { .. } => Fault::Invalid,
            Self::Store { .. } => Fault::Unavailable,
            Self::Corrupt { .. } | Self::TooLarge { .. } | Self::Unreadable { .. } => Fault::Internal,
        }
    }
}

/// What is stored about a version. Only signatures are ever added to it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Record {
    digest: Digest,
    size: u64,
    /// Unix milliseconds.
    pushed_at: u64,
    #[serde(flatten)]
    declared: Declared,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    signatures: Vec<Signature>,
}

impl Record {
    pub(crate) fn of(info: &PluginInfo) -> Self {
        Self {
            digest: info.digest,
            size: info.size,
            pushed_at: unix_ms(info.pushed_at),
            declared: info.declared.clone(),
            signatures: info.signatures.clone(),
        }
    }

    pub(crate) fn encoded(&self, key: &str) -> Result<Bytes, PluginsError> {
        let unreadable = |error: serde_json::Error| PluginsError::Unreadable {
            key: key.to_owned(),
            reason: error.to_string(),
        };
        serde_json::to_vec(self).map(Bytes::from).map_err(unreadable)
    }
}

impl Plugins {
    /// The plugins in this NATS. [`crate::Provisioner::ensure_common`] makes their stores.
    #[must_use]
    pub fn new(nats: &Nats) -> Self {
        Self { versions: Bucket::new(nats, layout::VERSIONS_BUCKET) }
    }

    /// Stores a component as a version of a tenant's plugin.
    ///
    /// # Errors
    /// [`PluginsError::Conflict`] if the version stands for another component; it then stays that.
    pub async fn push(
        &self,
        tenant: &TenantName,
        name: &PluginName,
        version: &PluginVersion,
        component: Bytes,
        declared: &Declared,
    ) -> Result<Pushed, PluginsError> {
        let digest = Digest::of(&component);
        if let Some(stored) = self.version(tenant, name, version).await? {
            return same(stored, digest);
        }
        let size = component.len() as u64;
        self.store(digest, component).await?;
        let pushed_at = unix_ms(SystemTime::now());
        let record = Record { digest, size, pushed_at, declared: declared.clone(), signatures: Vec::new() };
        let key = key(tenant, name, version);
        let value = record.encoded(&key)?;
        let doing = "writing a plugin version";
        if self.versions.put(doing, &key, value, Expected::Absent).await?.is_some() {
            return Ok(Pushed { digest, already_there: false });
        }
        match self.version(tenant, name, version).await? {
            Some(stored) => same(stored, digest),
            // A replica behind the others says that there is none, though there is one.
            None => Err(RequestError::NoResponders { doing }.into()),
        }
    }

    /// What a reference of a tenant's queue stands for. A digest is found if some version of that plugin has it.
    ///
    /// # Errors
    /// NATS does not answer, or a record cannot be read.
    pub async fn resolve(
        &self,
        tenant: &TenantName,
        plugin: &PluginRef,
    ) -> Result<Option<PluginInfo>, PluginsError> {
        match plugin {
            PluginRef::Version(name, version) => self.version(tenant, name, version).await,
            PluginRef::Digest(name, digest) => {
                let versions = self.matching(&format!("{tenant}.{name}.>")).await?;
                Ok(versions.into_iter().find(|version| version.digest == *digest))
            }
        }
    }

    /// The bytes of a component, checked against its digest.
    ///
    /// # Errors
    /// There is none, or what is there is something else, or it could not be read in time.
    pub async fn fetch(&self, digest: &Digest) -> Result<Bytes, PluginsError> {
        const DOING: &str = "reading";
        let failed = |reason: String| PluginsError::Store { doing: DOING, digest: *digest, reason };
        let objects = self.objects(DOING, digest).await?;
        let reading = async {
            let mut object = objects.get(object_name(digest)).await.map_err(|error| {
                use async_nats::jetstream::object_store::GetErrorKind;
                match error.kind() {
                    GetErrorKind::NotFound => PluginsError::Missing { digest: *digest },
                    _ => failed(error.to_string()),
                }
            })?;
            let size = object.info.size;
            if size > COMPONENT_MAX_BYTES {
                return Err(PluginsError::TooLarge { digest: *digest, size });
            }
            let mut bytes = Vec::with_capacity(size);
            // What is said about an object and what it is may differ.
            match (&mut object).take(COMPONENT_MAX_BYTES as u64 + 1).read_to_end(&mut bytes).await {
                Ok(_) => Ok(bytes),
                // The store checks a digest of its own: what was read is not what was written.
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Ok(bytes),
                Err(error) => Err(failed(error.to_string())),
            }
        };
        let bytes = within(DOING, *digest, reading).await?;
        let found = Digest::of(&bytes);
        if found == *digest {
            Ok(bytes.into())
        } else {
            Err(PluginsError::Corrupt { digest: *digest, found })
        }
    }

    /// All versions of a tenant's plugins, by name, then in the order they were pushed.
    ///
    /// # Errors
    /// NATS does not answer, or a record cannot be read.
    pub async fn list(&self, tenant: &TenantName) -> Result<Vec<PluginInfo>, PluginsError> {
        let mut versions = self.matching(&format!("{tenant}.>")).await?;
        versions.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(versions)
    }

    async fn version(
        &self,
        tenant: &TenantName,
        name: &PluginName,
        version: &PluginVersion,
    ) -> Result<Option<PluginInfo>, PluginsError> {
        let entry = self.versions.get("reading a plugin version", &key(tenant, name, version)).await?;
        entry.as_ref().map(read).transpose()
    }

    pub(crate) async fn matching(&self, filter: &str) -> Result<Vec<PluginInfo>, PluginsError> {
        self.versions.list("listing plugin versions", filter).await?.iter().map(read).collect()
    }

    /// Stores a component unless it is there.
    async fn store(&self, digest: Digest, component: Bytes) -> Result<(), PluginsError> {
        const DOING: &str = "storing";
        let objects = self.objects(DOING, &digest).await?;
        let size = component.len();
        let storing = async {
            let failed = |reason: String| PluginsError::Store { doing: DOING, digest, reason };
            match objects.info(object_name(&digest)).await {
                Ok(info) if !info.deleted && info.size == size => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == InfoErrorKind::NotFound => {}
                Err(error) => return Err(failed(error.to_string())),
            }
            let mut reader: &[u8] = &component;
            objects
                .put(object_name(&digest).as_str(), &mut reader)
                .await
                .map(|_| ())
                .map_err(|error| failed(error.to_string()))
        };
        within(DOING, digest, storing).await
    }

    async fn objects(&self, doing: &'static str, digest: &Digest) -> Result<ObjectStore, PluginsError> {
        self.versions
            .nats()
            .jetstream()
            .get_object_store(layout::PLUGINS_STORE)
            .await
            .map_err(|error| PluginsError::Store { doing, digest: *digest, reason: error.to_string() })
    }
}

async fn within<T>(
    doing: &'static str,
    digest: Digest,
    work: impl Future<Output = Result<T, PluginsError>>,
) -> Result<T, PluginsError> {
    tokio::time::timeout(TRANSFER_TIMEOUT, work).await.unwrap_or_else(|_| {
        let reason = format!("not done within {} s", TRANSFER_TIMEOUT.as_secs());
        Err(PluginsError::Store { doing, digest, reason })
    })
}

fn same(stored: PluginInfo, pushed: Digest) -> Result<Pushed, PluginsError> {
    if stored.digest == pushed {
        return Ok(Pushed { digest: pushed, already_there: true });
    }
    let PluginInfo { tenant, name, version, digest, .. } = stored;
    Err(PluginsError::Conflict { tenant, name, version, stored: digest, pushed })
}

pub(crate) fn key(tenant: &TenantName, name: &PluginName, version: &PluginVersion) -> String {
    format!("{tenant}.{name}.{version}")
}

fn object_name(digest: &Digest) -> String {
    format!("sha256-{}", digest.hex())
}

pub(crate) fn read(entry: &Entry) -> Result<PluginInfo, PluginsError> {
    let unreadable = |reason: String| PluginsError::Unreadable {
        key: saggar_model::escape_and_cut(&entry.key, 256),
        reason,
    };
    let record: Record =
        serde_json::from_slice(&entry.value).map_err(|error| unreadable(error.to_string()))?;
    // A version may hold dots, the names before it may not.
    let mut tokens = entry.key.splitn(3, '.');
    let mut next = || tokens.next().unwrap_or_default();
    Ok(PluginInfo {
        tenant: next().parse().map_err(|_| unreadable("its key names no tenant".to_owned()))?,
        name: next().parse().map_err(|_| unreadable("its key names no plugin".to_owned()))?,
        version: next().parse().map_err(|_| unreadable("its key names no version".to_owned()))?,
        digest: record.digest,
        size: record.size,
        pushed_at: SystemTime::UNIX_EPOCH + Duration::from_millis(record.pushed_at),
        declared: record.declared,
        signatures: record.signatures,
    })
}

pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

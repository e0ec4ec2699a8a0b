//! Signatures of plugin versions: adding them to a version's record, and asking whether one counts.
//!
//! Nothing that is stored is believed: what a host asks here is checked against the component that it is about to load
//! and against the name and version that the queue names, whatever the record says.

use saggar_model::{
    Digest, PluginName, PluginRef, PluginVersion, PublicKey, SIGNATURES_MAX, Signature, Statement,
    TenantName, TrustedKeys, Untrusted,
};

use crate::bucket::Expected;
use crate::plugins::{PluginInfo, Plugins, PluginsError, Record, key, read};

/// How often a record is written that somebody else was faster with: another signer, and there are few.
const TRIES: usize = 5;

/// What signing did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The version, with all its signatures.
    pub info: PluginInfo,
    /// That very signature was there before.
    pub already_there: bool,
}

impl Plugins {
    /// Adds a signature of `digest` to a version. One by the same key is replaced.
    ///
    /// # Errors
    /// There is no such version, it is another component, or it has [`SIGNATURES_MAX`] signatures.
    pub async fn sign(
        &self,
        tenant: &TenantName,
        name: &PluginName,
        version: &PluginVersion,
        digest: &Digest,
        signature: &Signature,
    ) -> Result<Signed, PluginsError> {
        let key = key(tenant, name, version);
        for _ in 0..TRIES {
            let entry = self.versions.get("reading a plugin version", &key).await?;
            let Some(entry) = entry else {
                let (tenant, name, version) = (tenant.clone(), name.clone(), version.clone());
                return Err(PluginsError::NoVersion { tenant, name, version });
            };
            let mut info = read(&entry)?;
            if info.digest != *digest {
                let PluginInfo { tenant, name, version, digest: stored, .. } = info;
                return Err(PluginsError::Differs { tenant, name, version, stored, signed: *digest });
            }
            if info.signatures.contains(signature) {
                return Ok(Signed { info, already_there: true });
            }
            info.signatures.retain(|other| other.key != signature.key);
            if info.signatures.len() >= SIGNATURES_MAX {
                let PluginInfo { name, version, .. } = info;
                return Err(PluginsError::TooManySignatures { name, version });
            }
            info.signatures.push(signature.clone());
            let value = Record::of(&info).encoded(&key)?;
            let expected = Expected::Revision(entry.revision);
            if self.versions.put("signing a plugin version", &key, value, expected).await?.is_some() {
                return Ok(Signed { info, already_there: false });
            }
        }
        Err(PluginsError::Contended { name: name.clone(), version: version.clone() })
    }

    /// Whether a trusted key has signed that `digest` is what a queue means by `plugin`.
    ///
    /// A queue that names a bare digest means that component by whatever version of that plugin it was signed.
    ///
    /// # Errors
    /// NATS does not answer, or a record cannot be read.
    pub async fn check(
        &self,
        tenant: &TenantName,
        plugin: &PluginRef,
        digest: &Digest,
        trusted: &TrustedKeys,
    ) -> Result<Result<PublicKey, Untrusted>, PluginsError> {
        let versions = match plugin {
            PluginRef::Version(..) => self.resolve(tenant, plugin).await?.into_iter().collect(),
            PluginRef::Digest(name, _) => {
                let mut versions = self.matching(&format!("{tenant}.{name}.>")).await?;
                versions.retain(|info| info.digest == *digest);
                versions
            }
        };
        let mut refused = Untrusted::NotSigned;
        for info in &versions {
            let statement = Statement { name: plugin.name(), version: &info.version, digest };
            match trusted.check(&statement, &info.signatures) {
                Ok(key) => return Ok(Ok(key.clone())),
                Err(Untrusted::NotSigned) => {}
                Err(untrusted) => refused = untrusted,
            }
        }
        Ok(Err(refused))
    }
}

//! What live hosts would say to a plugin: they run what their keys have signed, and a command can ask before they do.
//!
//! This only spares people a surprise. Hosts look for themselves.

use saggar_jetstream::{Fault, HostInfo, Hosts, Nats, Plugins};
use saggar_model::{Digest, PluginRef, PublicKey, TenantName, Untrusted};

use crate::failure::Failure;

/// Hosts that do not run a plugin.
pub struct Objection {
    hosts: Vec<String>,
    reason: Untrusted,
    /// Whose signature would do for all of them.
    keys: Vec<PublicKey>,
}

impl Objection {
    /// The objection in a sentence: who, and why.
    #[must_use]
    pub fn text(&self, plugin: &PluginRef) -> String {
        let hosts = self.hosts.join(", ");
        format!("host {hosts} runs only plugins signed by a trusted key; {plugin}: {}", self.reason)
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self, tenant: &TenantName, plugin: &PluginRef) -> String {
        let name = plugin.name();
        let version = plugin.version().map_or_else(|| "VERSION".to_owned(), ToString::to_string);
        let keys: Vec<_> = self.keys.iter().map(ToString::to_string).collect();
        let keys = if keys.is_empty() {
            "the hosts trust no key in common".to_owned()
        } else {
            format!("trusted: {}", keys.join(", "))
        };
        format!("Sign it: `saggar plugin sign {name}@{version} --tenant {tenant} --key FILE` ({keys}).")
    }
}

/// The live hosts, those that are about to leave left out.
///
/// # Errors
/// NATS does not answer.
pub async fn hosts(nats: &Nats) -> Result<Vec<HostInfo>, Failure> {
    match Hosts::new(nats).list().await {
        Ok(hosts) => Ok(hosts.into_iter().filter(|host| !host.draining).collect()),
        // Nobody has made the bucket yet.
        Err(error) if error.fault() == Fault::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// What these hosts have against a plugin of a tenant's, if any of them has.
///
/// # Errors
/// NATS does not answer, or a record cannot be read.
pub async fn objection(
    nats: &Nats,
    hosts: &[HostInfo],
    tenant: &TenantName,
    plugin: &PluginRef,
    digest: &Digest,
) -> Result<Option<Objection>, Failure> {
    let plugins = Plugins::new(nats);
    let mut found: Option<Objection> = None;
    for host in hosts {
        let Some(trusted) = &host.trusted_keys else { continue };
        let Err(reason) = plugins.check(tenant, plugin, digest, trusted).await? else { continue };
        let name = saggar_model::escape_and_cut(&host.name, 64);
        match &mut found {
            Some(objection) => {
                objection.hosts.push(name);
                objection.keys.retain(|key| trusted.keys().contains(key));
            }
            None => found = Some(Objection { hosts: vec![name], reason, keys: trusted.keys().to_vec() }),
        }
    }
    Ok(found)
}

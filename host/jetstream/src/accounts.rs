//! NATS accounts: one for the hosts, and one for each tenant that is not trusted.
//!
//! What they may do is decided by [`saggar_model::Reach`]; here it is written down as nats-server wants to read it,
//! in a configuration file or in signed claims. Nothing here reads or writes files, and no key is shown.

mod claims;
mod configuration;
mod key;
mod operator;

use std::collections::BTreeMap;

use saggar_model::TenantName;

pub use configuration::configuration;
pub use key::{BadKey, KeyRole, NatsKey};
pub use operator::{OperatorKeys, credentials, operator_configuration};

/// A key for the hosts and one for each tenant: of their users, or of their accounts.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The hosts'.
    pub hosts: NatsKey,
    /// The tenants'.
    pub tenants: BTreeMap<TenantName, NatsKey>,
}

#[cfg(test)]
impl Keys {
    /// New keys for these tenants.
    fn for_test(role: KeyRole, tenants: &[&str]) -> Self {
        let tenants = tenants.iter().map(|tenant| (tenant.parse().unwrap(), NatsKey::new(role)));
        Self { hosts: NatsKey::new(role), tenants: tenants.collect() }
    }
}

//! Accounts and users for a server that believes what an operator has signed.
//!
//! Exports are private: an account imports only what the hosts' account has signed a token for, for this account and this
//! subject.

use std::time::SystemTime;

use saggar_model::{
    Answers, HOSTS_ACCOUNT, Reach, TENANT_CONNECTIONS_MAX, TENANT_SUBSCRIPTIONS_MAX, TenantName,
    tenant_account,
};

use super::claims::{
    Account, AccountLimits, Activation, Allowed, Export, Import, NO_LIMIT, Operator, Permissions,
    StoreLimits, User, VERSION, sign,
};
use super::{Keys, NatsKey};

/// What the operator and the account of the server's own messages are called.
const OPERATOR: &str = "saggar";
const SYSTEM: &str = "SYS";

/// When the operator was signed: always the same, since a server takes other accounts when it reloads, and no operator that
/// has changed in anything.
const OPERATOR_SIGNED: SystemTime = SystemTime::UNIX_EPOCH;

const SERVICE: &str = "service";
const STREAM: &str = "stream";

const HEAD: &str = "\
# Operator and accounts of Saggar's hosts and of tenants, made by `saggar tenant creds --jwt`. Name this file in
# nats-server's configuration with `include`, and reload the server whenever it has changed.
";

/// The keys that sign.
#[derive(Debug, Clone)]
pub struct OperatorKeys {
    /// Signs the accounts.
    pub operator: NatsKey,
    /// The account of the server's own messages.
    pub system: NatsKey,
    /// The accounts.
    pub accounts: Keys,
}

/// Operator, accounts, and a resolver that knows them, for nats-server's configuration.
#[must_use]
pub fn operator_configuration(keys: &OperatorKeys, now: SystemTime) -> String {
    let system_account = keys.system.public();
    let operator = Operator { kind: "operator", version: VERSION, system_account: system_account.clone() };
    let operator = sign(&keys.operator, &keys.operator.public(), OPERATOR, OPERATOR_SIGNED, &operator);
    let mut accounts = vec![(system_account.clone(), account(keys, &keys.system, SYSTEM, now, &system()))];
    let hosts = &keys.accounts.hosts;
    accounts.push((hosts.public(), account(keys, hosts, HOSTS_ACCOUNT, now, &hosts_account(&keys.accounts))));
    for (tenant, key) in &keys.accounts.tenants {
        let claims = tenants_account(hosts, tenant, key, now);
        accounts.push((key.public(), account(keys, key, &tenant_account(tenant), now, &claims)));
    }
    let accounts: Vec<String> = accounts.iter().map(|(key, claims)| format!("  {key}: {claims}\n")).collect();
    let accounts = accounts.concat();
    format!(
        "{HEAD}operator: {operator}\nsystem_account: {system_account}\nresolver: MEMORY\nresolver_preload: \
         {{\n{accounts}}}\n"
    )
}

/// A credentials file for a user of an account, with its secret key in it.
#[must_use]
pub fn credentials(account: &NatsKey, user: &NatsKey, name: &str, now: SystemTime) -> String {
    let claims = User { kind: "user", version: VERSION, subs: NO_LIMIT, data: NO_LIMIT, payload: NO_LIMIT };
    let (claims, seed) = (sign(account, &user.public(), name, now, &claims), user.seed());
    format!(
        "-----BEGIN NATS USER JWT-----\n{claims}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY \
         SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

fn account(keys: &OperatorKeys, key: &NatsKey, name: &str, now: SystemTime, claims: &Account) -> String {
    sign(&keys.operator, &key.public(), name, now, claims)
}

/// An account that may have what it likes, but for JetStream.
fn unlimited() -> AccountLimits {
    AccountLimits {
        subs: NO_LIMIT,
        conn: NO_LIMIT,
        leaf: NO_LIMIT,
        imports: NO_LIMIT,
        exports: NO_LIMIT,
        data: NO_LIMIT,
        payload: NO_LIMIT,
        wildcards: true,
        jetstream: None,
    }
}

fn plain(limits: AccountLimits) -> Account {
    let (exports, imports) = (Vec::new(), Vec::new());
    Account { kind: "account", version: VERSION, limits, exports, imports, default_permissions: None }
}

fn system() -> Account {
    plain(unlimited())
}

fn hosts_account(accounts: &Keys) -> Account {
    let jetstream =
        StoreLimits { mem_storage: NO_LIMIT, disk_storage: NO_LIMIT, streams: NO_LIMIT, consumer: NO_LIMIT };
    let exports = accounts.tenants.keys().flat_map(|tenant| exports(&Reach::of(tenant)));
    Account {
        exports: exports.collect(),
        ..plain(AccountLimits { jetstream: Some(jetstream), ..unlimited() })
    }
}

fn exports(reach: &Reach) -> Vec<Export> {
    let services = reach.services.iter().map(|service| Export {
        name: service.subject.clone(),
        subject: service.subject.clone(),
        kind: SERVICE,
        token_req: true,
        response_type: Some(match service.answers {
            Answers::One => "Singleton",
            Answers::Many => "Stream",
        }),
        response_threshold: u64::try_from(service.patience.as_nanos()).ok(),
    });
    let streams = reach.streams.iter().map(|subject| Export {
        name: subject.clone(),
        subject: subject.clone(),
        kind: STREAM,
        token_req: true,
        response_type: None,
        response_threshold: None,
    });
    services.chain(streams).collect()
}

fn tenants_account(hosts: &NatsKey, tenant: &TenantName, key: &NatsKey, now: SystemTime) -> Account {
    let reach = Reach::of(tenant);
    let services = reach.services.iter().map(|service| (SERVICE, service.subject.as_str()));
    let streams = reach.streams.iter().map(|subject| (STREAM, subject.as_str()));
    let imports: Vec<Import> =
        services.chain(streams).map(|(kind, subject)| import(hosts, key, kind, subject, now)).collect();
    let owned = |subjects: Vec<&str>| Allowed { allow: subjects.into_iter().map(str::to_owned).collect() };
    let permissions = Permissions {
        publish: owned(reach.publish().collect()),
        subscribe: owned(reach.subscribe().collect()),
    };
    let limits = AccountLimits {
        subs: TENANT_SUBSCRIPTIONS_MAX.into(),
        conn: TENANT_CONNECTIONS_MAX.into(),
        leaf: 0,
        imports: i64::try_from(imports.len()).unwrap_or(NO_LIMIT),
        exports: 0,
        wildcards: false,
        ..unlimited()
    };
    Account { imports, default_permissions: Some(permissions), ..plain(limits) }
}

fn import(hosts: &NatsKey, key: &NatsKey, kind: &'static str, subject: &str, now: SystemTime) -> Import {
    let activation = Activation { kind: "activation", version: VERSION, subject, of: kind };
    Import {
        name: subject.to_owned(),
        subject: subject.to_owned(),
        local_subject: subject.to_owned(),
        account: hosts.public(),
        token: sign(hosts, &key.public(), subject, now, &activation),
        kind,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::Value;

    use super::*;
    use crate::accounts::KeyRole;

    fn keys() -> OperatorKeys {
        OperatorKeys {
            operator: NatsKey::new(KeyRole::Operator),
            system: NatsKey::new(KeyRole::Account),
            accounts: Keys::for_test(KeyRole::Account, &["acme", "globex"]),
        }
    }

    fn claims(token: &str) -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn a_token_to_import_is_for_one_account_and_one_subject() {
        let keys = keys();
        let text = operator_configuration(&keys, SystemTime::UNIX_EPOCH);
        for (tenant, key) in &keys.accounts.tenants {
            let line = text.lines().find(|line| line.contains(&format!("{}: ", key.public()))).unwrap();
            let account = claims(line.split(": ").nth(1).unwrap());
            assert_eq!(account["name"], tenant_account(tenant));
            assert_eq!(account["nats"]["limits"]["mem_storage"], Value::Null, "no JetStream of its own");
            for import in account["nats"]["imports"].as_array().unwrap() {
                let token = claims(import["token"].as_str().unwrap());
                assert_eq!((&token["sub"], &token["iss"]), (&account["sub"], &import["account"]));
                assert_eq!(token["nats"]["subject"], import["subject"]);
                assert!(import["subject"].as_str().unwrap().contains(tenant.as_str()));
            }
        }
    }

    #[test]
    fn the_operator_is_signed_alike_whenever_that_is() {
        let keys = keys();
        let operator = |seconds| {
            let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            let text = operator_configuration(&keys, now);
            text.lines().find(|line| line.starts_with("operator: ")).map(str::to_owned)
        };
        assert!(operator(1).is_some());
        assert_eq!(operator(1), operator(1_790_000_000));
    }

    #[test]
    fn attack_86_no_seed_stands_in_the_configuration_and_one_in_credentials() {
        let keys = keys();
        let text = operator_configuration(&keys, SystemTime::UNIX_EPOCH);
        let all = keys.accounts.tenants.values().chain([&keys.operator, &keys.system, &keys.accounts.hosts]);
        for key in all {
            assert!(text.contains(&key.public()) || *key.public() == keys.operator.public());
            assert!(!text.contains(&key.seed()));
        }
        let user = NatsKey::new(KeyRole::User);
        let file = credentials(&keys.accounts.hosts, &user, "hosts", SystemTime::UNIX_EPOCH);
        assert!(file.contains(&user.seed()) && !file.contains(&keys.accounts.hosts.seed()));
    }
}

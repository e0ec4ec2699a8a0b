//! Accounts in nats-server's configuration file. Users are named by the public part of their key: no secret stands in it.

use std::fmt::Write as _;

use saggar_model::{
    Answers, HOSTS_ACCOUNT, Reach, TENANT_CONNECTIONS_MAX, TENANT_SUBSCRIPTIONS_MAX, tenant_account,
};

use super::Keys;

const HEAD: &str = "\
# Accounts of Saggar's hosts and of tenants, made by `saggar tenant creds`. Name this file in nats-server's
# configuration with `include`, and reload the server whenever it has changed.
";

/// The section `accounts` with the hosts' account and one for each tenant.
#[must_use]
pub fn configuration(users: &Keys) -> String {
    let hosts = users.hosts.public();
    let mut text = format!("{HEAD}accounts {{\n  \"{HOSTS_ACCOUNT}\" {{\n    jetstream: enabled\n");
    text += &format!("    users: [ {{ nkey: \"{hosts}\" }} ]\n    exports: [\n");
    let mut accounts = String::new();
    for (tenant, user) in &users.tenants {
        let (account, reach) = (tenant_account(tenant), Reach::of(tenant));
        exports(&mut text, &account, &reach);
        import(&mut accounts, &account, &user.public(), &reach);
    }
    text += "    ]\n  }\n";
    text + &accounts + "}\n"
}

fn exports(text: &mut String, account: &str, reach: &Reach) {
    for service in &reach.services {
        let (subject, patience) = (&service.subject, service.patience.as_secs());
        let answers = match service.answers {
            Answers::One => "singleton",
            Answers::Many => "stream",
        };
        let _ = writeln!(
            text,
            "      {{ service: \"{subject}\", accounts: [\"{account}\"], response_type: \"{answers}\", \
             threshold: \"{patience}s\" }}"
        );
    }
    for subject in &reach.streams {
        let _ = writeln!(text, "      {{ stream: \"{subject}\", accounts: [\"{account}\"] }}");
    }
}

fn import(text: &mut String, account: &str, user: &str, reach: &Reach) {
    let services = reach.services.iter().map(|service| ("service", &service.subject));
    let streams = reach.streams.iter().map(|subject| ("stream", subject));
    *text += &format!("  \"{account}\" {{\n    imports: [\n");
    for (kind, subject) in services.chain(streams) {
        let _ =
            writeln!(text, "      {{ {kind}: {{ account: \"{HOSTS_ACCOUNT}\", subject: \"{subject}\" }} }}");
    }
    let list = |subjects: Vec<&str>| {
        subjects.iter().map(|subject| format!("\"{subject}\"")).collect::<Vec<_>>().join(", ")
    };
    let (publish, subscribe) = (list(reach.publish().collect()), list(reach.subscribe().collect()));
    // For every user of the account, also one that is added later.
    *text += &format!(
        "    ]\n    default_permissions: {{\n      publish: {{ allow: [ {publish} ] }}\n      subscribe: {{ allow: [ \
         {subscribe} ] }}\n    }}\n    limits: {{ max_connections: {TENANT_CONNECTIONS_MAX}, max_subscriptions: \
         {TENANT_SUBSCRIPTIONS_MAX}, max_leafnodes: 0 }}\n    users: [ {{ nkey: \"{user}\" }} ]\n  }}\n"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::KeyRole;

    #[test]
    fn each_export_names_the_one_account_that_may_import_it() {
        let text = configuration(&Keys::for_test(KeyRole::User, &["acme", "globex"]));
        let exports: Vec<&str> = text.lines().filter(|line| line.contains("accounts: [")).collect();
        assert_eq!(exports.len(), 2 * (6 + 3));
        for line in exports {
            let tenant = if line.contains("globex") { "globex" } else { "acme" };
            let other = if tenant == "acme" { "globex" } else { "acme" };
            assert!(line.contains(&format!("accounts: [\"SAGGAR_{tenant}\"]")), "{line}");
            assert!(!line.contains(other), "{line}");
        }
    }

    #[test]
    fn attack_86_no_seed_stands_in_the_configuration() {
        let keys = Keys::for_test(KeyRole::User, &["acme"]);
        let text = configuration(&keys);
        for key in keys.tenants.values().chain([&keys.hosts]) {
            assert!(text.contains(&key.public()) && !text.contains(&key.seed()));
        }
    }
}

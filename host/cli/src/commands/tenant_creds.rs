//! `saggar tenant creds`: NATS accounts for the hosts and for tenants, as a server wants to read them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::SystemTime;

use saggar_jetstream::accounts::{self, KeyRole, Keys, NatsKey};
use saggar_jetstream::{Fault, Tenants};
use saggar_model::TenantName;
use serde::Serialize;
use serde_json::json;

use crate::arguments::ConnectionFlags;
use crate::connection;
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::keyring::{Keyring, PUBLIC, SECRET};
use crate::table::{self, Cell, Column};

/// The arguments of `saggar tenant creds`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Tenants that get an account; they need not exist yet. With --out those that have one keep it.
    tenants: Vec<TenantName>,

    /// Every tenant that there is.
    #[arg(long)]
    all: bool,

    /// Write configuration and keys into this directory, and use the keys that are in it.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// For a server with an operator: signed accounts, and credentials files.
    #[arg(long, requires = "out")]
    jwt: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    file: String,
    holds: &'static str,
    secret: bool,
}

impl table::Row for Row {
    const COLUMNS: &'static [Column] = &[Column::text("file"), Column::text("holds")];

    fn cells(&self) -> Vec<Cell> {
        vec![(&self.file).into(), self.holds.into()]
    }
}

/// Writes or shows accounts.
///
/// # Errors
/// No tenant is named, a key or a file cannot be read or written, or NATS does not answer.
pub async fn execute(
    arguments: Arguments,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    let Arguments { tenants, all, out, jwt } = arguments;
    let mut tenants: BTreeSet<TenantName> = tenants.into_iter().collect();
    if all {
        let nats = connection::connect(flags, console).await?;
        match Tenants::new(&nats).list().await {
            Ok(entries) => tenants.extend(entries.into_iter().map(|entry| entry.record.spec.name)),
            // The records' bucket is made by the first `apply`.
            Err(error) if error.fault() == Fault::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    let keyring = out.as_deref().map(Keyring::open).transpose()?;
    if let Some(keyring) = &keyring {
        tenants.extend(keyring.tenants()?);
    }
    if tenants.is_empty() {
        return Err(Failure::new(Kind::Usage, "no tenant is named").advice("Name tenants, or say --all."));
    }
    let tenants: Vec<TenantName> = tenants.into_iter().collect();
    match keyring {
        None => show(&tenants, console),
        Some(keyring) if jwt => write_signed(&keyring, &tenants, console),
        Some(keyring) => write(&keyring, &tenants, console),
    }
}

/// Shows the configuration, and beside it the seeds, which are nowhere else.
fn show(tenants: &[TenantName], console: Console) -> Result<Exit, Failure> {
    let new = || NatsKey::new(KeyRole::User);
    let users =
        Keys { hosts: new(), tenants: tenants.iter().map(|tenant| (tenant.clone(), new())).collect() };
    let configuration = accounts::configuration(&users);
    let named = users.tenants.iter().map(|(tenant, key)| (tenant.to_string(), key));
    let named: Vec<_> = [("the hosts".to_owned(), &users.hosts)].into_iter().chain(named).collect();
    let seeds =
        named.iter().map(|(who, key)| json!({ "for": who, "user": key.public(), "seed": key.seed() }));
    let data = json!({ "configuration": configuration, "users": seeds.collect::<Vec<_>>() });
    console.answer(data, configuration.trim_end())?;
    console.note("\nSecret keys, shown this once; --out DIR writes them into files instead:");
    for (who, key) in named {
        console.note(format!("  {who}: {}", key.seed()));
    }
    Ok(Exit::Success)
}

/// Writes the configuration and the keys that are named in it.
fn write(keyring: &Keyring, tenants: &[TenantName], console: Console) -> Result<Exit, Failure> {
    let users = keyring.users(tenants)?;
    let path = keyring.write("accounts.conf", &accounts::configuration(&users), PUBLIC)?;
    let mut rows = vec![
        Row {
            file: path.display().to_string(),
            holds: "accounts, for nats-server's `include`",
            secret: false,
        },
        seed_row(keyring, "hosts", "key of the hosts, for NATS_NKEY"),
    ];
    rows.extend(
        tenants.iter().map(|tenant| seed_row(keyring, &format!("tenants/{tenant}"), "key of the tenant")),
    );
    done(&rows, console)
}

/// Writes signed accounts and the credentials of their users.
fn write_signed(keyring: &Keyring, tenants: &[TenantName], console: Console) -> Result<Exit, Failure> {
    let (users, keys, now) = (keyring.users(tenants)?, keyring.operator(tenants)?, SystemTime::now());
    let path = keyring.write("operator.conf", &accounts::operator_configuration(&keys, now), PUBLIC)?;
    let mut rows = vec![Row {
        file: path.display().to_string(),
        holds: "operator and accounts, for nats-server's `include`",
        secret: false,
    }];
    let mut creds = |name: &str, account: &NatsKey, user: &NatsKey, holds| {
        let text = accounts::credentials(account, user, name.rsplit('/').next().unwrap_or(name), now);
        let path = keyring.write(&format!("{name}.creds"), &text, SECRET)?;
        rows.push(Row { file: path.display().to_string(), holds, secret: true });
        Ok::<_, Failure>(())
    };
    creds("hosts", &keys.accounts.hosts, &users.hosts, "credentials of the hosts, for NATS_CREDS")?;
    for (tenant, account) in &keys.accounts.tenants {
        let user = &users.tenants[tenant];
        creds(&format!("tenants/{tenant}"), account, user, "credentials of the tenant")?;
    }
    rows.push(seed_row(keyring, "keys/operator", "key that signs accounts: keep it elsewhere"));
    done(&rows, console)
}

fn seed_row(keyring: &Keyring, name: &str, holds: &'static str) -> Row {
    Row { file: keyring.seed_path(name).display().to_string(), holds, secret: true }
}

fn done(rows: &[Row], console: Console) -> Result<Exit, Failure> {
    table::write(console, rows, json!({}), "nothing was written")?;
    console.note("Reload nats-server, twice if a tenant is new, and give each tenant its own file only.");
    Ok(Exit::Success)
}

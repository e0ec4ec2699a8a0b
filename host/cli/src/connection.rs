//! The way to NATS and to a tenant's record, and what is wrong when there is none.

use saggar_jetstream::{Fault, Nats, Provisioner, Target, TenantEntry, Tenants};
use saggar_model::config::NatsConfig;
use saggar_model::{COMMAND_INBOX, QueueName, TenantName};

use crate::arguments::ConnectionFlags;
use crate::cache_dir::config_dir;
use crate::console::Console;
use crate::failure::{Failure, Kind};

/// What the NATS server shows this program as.
const CLIENT_NAME: &str = "saggar";

/// The tenant that a command is about.
#[derive(Debug, Clone, clap::Args)]
pub struct TenantFlag {
    /// The tenant.
    #[arg(long, global = true, env = "SAGGAR_TENANT", value_name = "NAME", hide_env_values = true)]
    tenant: Option<TenantName>,
}

impl TenantFlag {
    /// The tenant.
    ///
    /// # Errors
    /// Nobody named one.
    pub fn get(&self) -> Result<TenantName, Failure> {
        self.tenant.clone().ok_or_else(|| {
            Failure::new(Kind::Usage, "no tenant is named")
                .advice("Add `--tenant NAME`, or set SAGGAR_TENANT.")
        })
    }
}

/// Connects to where flags, environment and `nats` context say.
///
/// # Errors
/// Nobody answers there, or we are refused.
pub async fn connect(flags: &ConnectionFlags, console: Console) -> Result<Nats, Failure> {
    let named = NatsConfig { url: flags.nats.clone(), creds: flags.creds.clone(), ..NatsConfig::default() };
    let mut target = target(&named)?;
    // A tenant's own account lets its users read these.
    target.inbox_prefix.get_or_insert_with(|| format!("{COMMAND_INBOX}.{:016x}", rand::random::<u64>()));
    let nats = Nats::connect_publisher(&target, CLIENT_NAME).await?;
    if let Some(warning) = nats.warning() {
        console.warn(warning);
    }
    Ok(nats)
}

/// Connects to where a configuration, or else the environment, says.
///
/// # Errors
/// As [`connect`].
pub async fn connect_to(named: &NatsConfig, client_name: &str) -> Result<Nats, Failure> {
    Ok(Nats::connect(&target(named)?, client_name).await?)
}

fn target(named: &NatsConfig) -> Result<Target, Failure> {
    let env = |name: &str| std::env::var(name).ok();
    Ok(Target::resolve(named, env, config_dir(env).as_deref())?)
}

/// A tenant's record.
///
/// # Errors
/// There is no such tenant, or NATS does not answer.
pub async fn tenant(nats: &Nats, name: &TenantName) -> Result<TenantEntry, Failure> {
    look_up(nats, name).await?.ok_or_else(|| no_tenant(name))
}

/// A tenant's record, if there is one.
///
/// # Errors
/// NATS does not answer.
pub async fn look_up(nats: &Nats, name: &TenantName) -> Result<Option<TenantEntry>, Failure> {
    match Tenants::new(nats).get(name).await {
        Ok(entry) => Ok(entry),
        Err(error) if error.fault() == Fault::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The queues of a tenant that a command is about: the one that was named, or all of them.
///
/// # Errors
/// There is no such tenant or queue, or NATS does not answer.
pub async fn queues(
    nats: &Nats,
    name: &TenantName,
    only: Option<&QueueName>,
) -> Result<Vec<QueueName>, Failure> {
    if nats.is_tenants() {
        // Its queues are not shown to it; one that does not exist refuses what is published to it.
        return Ok(only.cloned().into_iter().collect());
    }
    let queues = tenant(nats, name).await?.record.spec.queues;
    match only {
        None => Ok(queues.into_keys().collect()),
        Some(queue) if queues.contains_key(queue) => Ok(vec![queue.clone()]),
        Some(queue) => Err(Failure::new(Kind::NotFound, format!("tenant {name} has no queue {queue}"))
            .advice(format!("See `saggar queue ls --tenant {name}`."))),
    }
}

/// Makes the stores that all tenants share, if this is the first command in a new NATS.
///
/// # Errors
/// NATS refuses or does not answer.
pub async fn ensure_stores(nats: &Nats) -> Result<(), Failure> {
    match Tenants::new(nats).list().await {
        // One copy of everything; a host that is configured for more makes more of it.
        Err(error) if error.fault() == Fault::NotFound => {
            Ok(Provisioner::new(nats, 1).ensure_common().await?)
        }
        _ => Ok(()),
    }
}

/// What to say when something of a tenant's could not be reached: often because there is no such tenant.
pub async fn explain(nats: &Nats, name: &TenantName, error: Failure) -> Failure {
    if !matches!(error.kind, Kind::Unavailable | Kind::NotFound) {
        return error;
    }
    match look_up(nats, name).await {
        Ok(None) => no_tenant(name),
        Ok(Some(_)) if error.has_advice() => error,
        Ok(Some(_)) => error.advice(
            "A tenant's streams are made by the hosts; if none has run yet, start one with `saggar host`.",
        ),
        Err(_) => error,
    }
}

/// What to say when a queue takes no tasks: there is no such tenant or queue, or no host has made it yet.
pub async fn explain_queue(nats: &Nats, name: &TenantName, queue: &QueueName, error: Failure) -> Failure {
    match look_up(nats, name).await {
        Ok(None) => no_tenant(name),
        Ok(Some(entry)) if entry.record.spec.queues.contains_key(queue) => Failure::new(
            Kind::Unavailable,
            format!("queue {name}/{queue} takes no tasks yet: no host has made it"),
        )
        .advice("Start a host with `saggar host`; if one runs, its log says why."),
        Ok(Some(_)) | Err(_) => error,
    }
}

fn no_tenant(name: &TenantName) -> Failure {
    Failure::new(Kind::NotFound, format!("there is no tenant {name}"))
        .advice("See `saggar tenant ls`; a tenant is made with `saggar apply FILE`.")
}

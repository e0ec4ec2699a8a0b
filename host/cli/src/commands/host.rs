//! `saggar host`: a worker host, from its configuration to its drain.

use std::path::{Path, PathBuf};

use saggar_model::HostName;
use saggar_model::config::{HostConfig, Overrides};
use serde_json::json;

use crate::arguments::ConnectionFlags;
use crate::cache_dir::cache_dir;
use crate::commands::hosts;
use crate::connection::connect_to;
use crate::console::Console;
use crate::core_file;
use crate::failure::{Exit, Failure, Kind};
use crate::service::Service;
use crate::signals::Signals;
use crate::telemetry;

const EXAMPLES: &str = "\
Every key of the file can be set as SAGGAR_<SECTION>__<KEY>, too, which then takes precedence:

  [nats]
  url = \"nats://127.0.0.1:4222\"   # absent: NATS_URL, then the `nats` context
  creds = \"/etc/saggar/nats.creds\"
  replicas = 1                    # copies of every stream: 3 in a cluster
  [host]
  name = \"host-1\"                 # absent: the machine's
  slots = 256                     # tasks at once
  memory = \"4GiB\"                 # guest memory at once
  drain = \"30s\"                   # what running tasks get to end, once told to stop
  cache = \"~/.cache/saggar\"
  cache_size = \"4GiB\"             # what compiled plugins may take there
  [secrets.acme]                  # the secrets of tenant acme, each in a file of its own
  API_TOKEN_FILE = \"/run/secrets/acme-token\"
  [limits]                        # the most a queue may set: fuel, memory, timeout, output, log
  memory = \"4GiB\"
  [plugins]                       # absent: any plugin is run
  trusted_keys = [\"/etc/saggar/release.pub.pem\"]   # of which one must have signed it
  [admin]
  listen = \"127.0.0.1:7070\"       # /livez, /readyz, /metrics
  [log]
  format = \"auto\"                 # pretty on a terminal, json otherwise

SIGTERM, SIGINT or `saggar host drain`: takes on nothing more, lets running tasks end, exits with 0. A second signal
exits at once, with 130.

Examples:
  saggar host --config host.toml
  SAGGAR_HOST__SLOTS=16 NATS_URL=nats://nats:4222 saggar host
  saggar host ls";

/// The arguments of `saggar host`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// The host's file [default: none, so that everything has its default].
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<hosts::Command>,
}

/// Runs a host until it is told to stop.
///
/// # Errors
/// The configuration has mistakes, NATS cannot be reached, or the host's name or address is taken.
pub async fn execute(
    arguments: Arguments,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    if let Some(command) = arguments.command {
        return hosts::execute(command, flags, console).await;
    }
    let mut config = read(arguments.config.as_deref())?;
    config.nats.url = flags.nats.clone().or(config.nats.url);
    config.nats.creds = flags.creds.clone().or(config.nats.creds);
    telemetry::start(config.log, "info,async_nats=error");
    core_file::forbid();
    let mut signals = Signals::catch()?;
    let name = config.host.name.clone().unwrap_or_else(machine_name);
    let cache =
        cache_dir(config.host.cache.as_deref(), |name| std::env::var(name).ok()).ok_or_else(|| {
            Failure::new(
                Kind::BadConfiguration,
                "there is no directory for compiled plugins: HOME is not set",
            )
            .advice("Name one with host.cache or SAGGAR_HOST__CACHE.")
        })?;

    let starting = async {
        let nats = connect_to(&config.nats, &format!("saggar host {name}")).await?;
        if let Some(warning) = nats.warning() {
            tracing::warn!("{warning}");
        }
        let url = nats.url().to_owned();
        Ok::<_, Failure>((Service::start(nats, &config, name.clone(), &cache).await?, url))
    };
    let (service, nats) = tokio::select! {
        started = starting => started?,
        signal = signals.next() => {
            tracing::info!(signal, "told to stop before the host was up");
            return Ok(Exit::Success);
        }
    };
    let admin = service.admin_url();
    tracing::info!(host = name, nats, admin, slots = config.host.slots, "ready");
    console.object(json!({ "host": name, "nats": nats, "admin": admin }), &json!({}))?;

    let signal = tokio::select! {
        signal = signals.next() => signal,
        () = service.told_to_leave() => "an order over NATS",
        failure = service.lost() => return Err(failure),
    };
    tracing::info!(signal, "told to stop; once more exits at once");
    tokio::select! {
        _ = service.drain() => Ok(Exit::Success),
        signal = signals.next() => {
            tracing::warn!(signal, "exiting at once; running tasks will be delivered again");
            Ok(Exit::Aborted)
        }
    }
}

/// A host's configuration: its file, if there is one, and the variables.
///
/// # Errors
/// The file cannot be read, or has mistakes.
pub fn read(file: Option<&Path>) -> Result<HostConfig, Failure> {
    let (name, text) = match file {
        None => ("the environment".to_owned(), String::new()),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, "read", &error))?;
            (path.display().to_string(), text)
        }
    };
    // A variable that is no text cannot be one of ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Ok(HostConfig::parse(&name, &text, Overrides::from_environment(variables))?)
}

fn machine_name() -> String {
    host_name(&rustix::system::uname().nodename().to_string_lossy())
}

/// A machine's name as a host's: `Build.Server_1` becomes `build-server-1`.
fn host_name(machine: &str) -> String {
    let plain: String = machine
        .to_lowercase()
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() { character } else { '-' })
        .take(63)
        .collect();
    match plain.trim_matches('-').parse::<HostName>() {
        Ok(name) => name.to_string(),
        Err(_) => "host".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machines_name_becomes_a_hosts() {
        assert_eq!(host_name("Build.Server_1"), "build-server-1");
        assert_eq!(host_name("worker-7"), "worker-7");
        assert_eq!(host_name("..."), "host");
        assert_eq!(host_name(&"x".repeat(200)).len(), 63);
    }
}

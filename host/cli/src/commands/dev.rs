//! `saggar dev`: a NATS server, a host and a tenant of one's own, and the plugin that is being worked on.
//!
//! Nothing of it outlives the command: the server and its store go with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use owo_colors::OwoColorize;
use saggar_jetstream::{LocalServer, Nats, StartOptions, Target};
use saggar_model::Outcome;
use saggar_model::config::{CaseFile, CaseInput, HostConfig, Overrides};
use serde_json::json;

use crate::cache_dir::cache_dir;
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::manifest;
use crate::service::Service;
use crate::signals::Signals;
use crate::sources::Sources;
use crate::telemetry;
use crate::workbench::{TENANT, Workbench};

/// What running tasks get to end: the person at the keyboard wants to be done.
const DRAIN: Duration = Duration::from_secs(2);

/// The longest payload that is suggested to be pasted.
const PASTED_BYTES: usize = 80;

const EXAMPLES: &str = "\
Starts a nats-server of its own on a free port, a host, and a tenant `dev`. If DIR, or the current
directory, holds a plugin.toml, the plugin there is built, pushed and bound to a queue of its name,
and again whenever its source changes. Ctrl-C ends everything and leaves nothing behind.

Examples:
  saggar dev
  saggar dev plugins/hello";

/// The arguments of `saggar dev`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Directory of a plugin, with its `plugin.toml` [default: the current directory, if it holds one].
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,

    /// Port of the NATS server [default: a free one].
    #[arg(long)]
    port: Option<u16>,
}

/// Runs everything until it is told to stop.
///
/// # Errors
/// The directory holds no plugin, or there is no nats-server and none can be fetched.
pub async fn execute(arguments: Arguments, console: Console) -> Result<Exit, Failure> {
    let directory = plugin_directory(arguments.directory)?;
    let mut config = HostConfig::parse("dev", "", Overrides::default())?;
    config.admin.listen.set_port(0);
    config.host.drain = DRAIN;
    telemetry::start(config.log, "warn,async_nats=off");
    let mut signals = Signals::catch()?;
    let mut server = LocalServer::start(StartOptions { port: arguments.port, ..StartOptions::default() })
        .await
        .map_err(|error| Failure::new(Kind::Unavailable, error))?;
    let worked = work(&server, &config, directory, &mut signals, console).await;
    server.stop().await;
    drop(server);
    worked?;
    console.note("stopped; nothing is left behind");
    Ok(Exit::Success)
}

fn plugin_directory(named: Option<PathBuf>) -> Result<Option<PathBuf>, Failure> {
    match named {
        Some(directory) => {
            manifest::read_in(&directory)?;
            Ok(Some(directory))
        }
        None => Ok(Some(PathBuf::from(".")).filter(|directory| manifest::is_in(directory))),
    }
}

/// Works until a signal comes, then drains.
async fn work(
    server: &LocalServer,
    config: &HostConfig,
    directory: Option<PathBuf>,
    signals: &mut Signals,
    console: Console,
) -> Result<(), Failure> {
    let nats = Nats::connect(&Target::at(&server.url()), "saggar dev").await?;
    let cache = cache_dir(None, |name| std::env::var(name).ok()).ok_or_else(|| {
        Failure::new(Kind::BadConfiguration, "HOME is not set").advice("Set HOME or XDG_CACHE_HOME.")
    })?;
    let service = Service::start(nats.clone(), config, "dev".to_owned(), &cache).await?;
    let admin = service.admin_url();
    let worked = tokio::select! {
        worked = follow(&nats, &admin, directory, console) => worked,
        _ = signals.next() => Ok(()),
    };
    tokio::select! {
        _ = service.drain() => {}
        // Whoever asks twice does not want to wait.
        _ = signals.next() => {}
    }
    worked
}

/// Builds and loads the plugin, and again whenever its source changes. Ends only by failing.
async fn follow(
    nats: &Nats,
    admin: &str,
    directory: Option<PathBuf>,
    console: Console,
) -> Result<(), Failure> {
    let mut bench = Workbench::open(nats, directory.as_deref()).await?;
    announce(nats.url(), admin, bench.plugin(), console)?;
    let Some(directory) = directory else {
        console.line(suggest(nats.url(), None, ""))?;
        return std::future::pending().await;
    };
    let mut sources = Sources::watch(&directory)?;
    let mut first = true;
    loop {
        match bench.reload(console).await {
            Ok(Some(loaded)) => {
                console.note(loaded.green().to_string());
                if first {
                    console.line(suggest(nats.url(), bench.plugin(), &sample(&directory)))?;
                }
                first = false;
            }
            Ok(None) => {}
            Err(failure) => {
                console.failure(&failure);
                console.note("waiting for the source to change".dimmed().to_string());
            }
        }
        sources.changed().await;
    }
}

fn announce(nats: &str, admin: &str, plugin: Option<&str>, console: Console) -> Result<(), Failure> {
    let data = json!({ "nats": nats, "admin": admin, "tenant": TENANT, "queue": plugin });
    console.object(data, &json!({}))?;
    let facts = [
        ("nats", nats.to_owned()),
        ("health", format!("{admin}/readyz")),
        ("metrics", format!("{admin}/metrics")),
        ("tenant", TENANT.to_owned()),
    ];
    let lines = facts.map(|(name, value)| format!("  {} {value}", format!("{name:<8}").dimmed()));
    console.line(format!("{}\n{}", "saggar dev".bold(), lines.join("\n")))
}

/// Commands that are ready to be pasted.
fn suggest(nats: &str, plugin: Option<&str>, payload: &str) -> String {
    let mut lines = vec![
        "\nTry, in another terminal:".to_owned(),
        format!("  export NATS_URL={nats} SAGGAR_TENANT={TENANT}"),
    ];
    if let Some(queue) = plugin {
        let payload = if payload.is_empty() { String::new() } else { format!(" '{payload}'") };
        lines.push(format!("  saggar task submit {queue}{payload} --wait"));
        lines.push("  saggar task ls --results".to_owned());
    } else {
        lines.push("  saggar plugin push PLUGIN.wasm".to_owned());
        lines.push("  saggar apply TENANT.toml        # with name = \"dev\"".to_owned());
    }
    lines.push("Ctrl-C ends everything and leaves nothing behind.".to_owned());
    lines.join("\n")
}

/// A payload that the plugin is known to take: the shortest of its cases that succeed.
fn sample(directory: &Path) -> String {
    let Ok(entries) = std::fs::read_dir(directory.join("cases")) else { return String::new() };
    let read = |path: PathBuf| {
        let case = CaseFile::parse("case", &std::fs::read_to_string(path).ok()?).ok()?;
        match case.input {
            CaseInput::Text(text) if case.expect.outcome == Outcome::Succeeded => Some(text),
            CaseInput::Text(_) | CaseInput::File(_) => None,
        }
    };
    let fits = |text: &String| !text.is_empty() && text.len() <= PASTED_BYTES && !text.contains(['\'', '\n']);
    entries
        .flatten()
        .filter_map(|entry| read(entry.path()))
        .filter(fits)
        .min_by_key(String::len)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_suggested_can_be_pasted() {
        let text = suggest("nats://127.0.0.1:1", Some("hello"), "{\"name\":\"Ada\"}");
        assert!(text.contains("export NATS_URL=nats://127.0.0.1:1 SAGGAR_TENANT=dev"));
        assert!(text.contains("saggar task submit hello '{\"name\":\"Ada\"}' --wait"));
        assert!(suggest("nats://127.0.0.1:1", None, "").contains("saggar plugin push"));
    }

    #[test]
    fn the_shortest_case_that_succeeds_is_the_sample() {
        let directory = tempfile::tempdir().unwrap();
        let cases = directory.path().join("cases");
        std::fs::create_dir(&cases).unwrap();
        let write = |name: &str, input: &str, outcome: &str| {
            let text = format!("[input]\ntext = \"{input}\"\n[expect]\noutcome = \"{outcome}\"\n");
            std::fs::write(cases.join(name), text).unwrap();
        };
        write("a.toml", "a longer one", "succeeded");
        write("b.toml", "short", "succeeded");
        write("c.toml", "x", "rejected");
        assert_eq!(sample(directory.path()), "short");
    }
}

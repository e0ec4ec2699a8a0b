//! `saggar run`: one task, here, with real limits and no NATS.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use saggar_model::config::parse_grants;
use saggar_model::{Ceilings, Limits, PluginId, SecretGrant, SecretValue, parse_bytes, parse_duration};
use saggar_sandbox::{Granted, StopReason};

use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::header::{Header, with_content_type};
use crate::local::{self, Local, LocalTask};
use crate::report::Stderr;
use crate::watcher::Live;
use crate::{component, manifest, payload, report};

const EXAMPLES: &str = "\
The output goes to standard output; log lines, outcome and receipt go to standard error.

Examples:
  saggar run thumbnail.wasm --input photo.jpg > thumbnail.jpg
  echo '{\"name\":\"Ada\"}' | saggar run hello.wasm --input -
  saggar run hello.wasm --fuel 1000            # ends as out-of-fuel, exit code 1
  saggar run resize.wasm --grant config.size=200x200 --grant kv
  API_TOKEN_FILE=token.txt saggar run fetch.wasm --grant secrets=API_TOKEN";

/// The arguments of `saggar run`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A component or a module for `wasi_snapshot_preview1`, as `.wasm`, or as `.wat` text.
    #[arg(value_name = "PLUGIN")]
    plugin: PathBuf,

    /// File with the task's payload, `-` for standard input [default: an empty payload].
    #[arg(long, short, value_name = "FILE")]
    input: Option<PathBuf>,

    /// Media type of the payload.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,

    /// A header of the task; can be repeated.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<Header>,

    /// What the attempt may do beyond computing, as a line of [queue.grants]; can be repeated.
    #[arg(long = "grant", value_name = "GRANT", help_heading = "Grants")]
    grants: Vec<String>,

    /// What the attempt may use.
    #[command(flatten)]
    limits: LimitFlags,
}

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Limits")]
struct LimitFlags {
    /// Work, in units of fuel.
    #[arg(long, value_parser = parse_fuel, help = "Work, in units of fuel [default: 5_000_000_000]")]
    fuel: Option<u64>,

    /// Memory [default: 128MiB].
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    memory: Option<u64>,

    /// Wall time [default: 30s].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,

    /// Size of the output [default: 768KiB].
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    max_output: Option<u64>,

    /// Size of what is logged; more is cut [default: 256KiB].
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    max_log: Option<u64>,

    /// Size of what one call into the host may carry [default: 16MiB].
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    max_host_call: Option<u64>,

    /// Handles, streams and timers open at once [default: 1024].
    #[arg(long, value_name = "NUMBER")]
    max_resources: Option<u64>,
}

impl LimitFlags {
    fn limits(&self) -> Result<Limits, Failure> {
        let default = Limits::default();
        let limits = Limits {
            fuel: self.fuel.unwrap_or(default.fuel),
            memory: self.memory.unwrap_or(default.memory),
            timeout: self.timeout.unwrap_or(default.timeout),
            output: self.max_output.unwrap_or(default.output),
            log: self.max_log.unwrap_or(default.log),
            host_call: self.max_host_call.unwrap_or(default.host_call),
            resources: self.max_resources.unwrap_or(default.resources),
        };
        let objections = Ceilings::default().objections(&limits);
        if objections.is_empty() {
            return Ok(limits);
        }
        let flag = |key| match key {
            "output" | "log" | "host_call" | "resources" => format!("--max-{}", key.replace('_', "-")),
            _ => format!("--{key}"),
        };
        let mistakes: Vec<_> = objections.iter().map(|(key, why)| format!("{} {why}", flag(key))).collect();
        Err(Failure::new(Kind::Usage, mistakes.join("\n")))
    }
}

fn parse_fuel(text: &str) -> Result<u64, String> {
    text.replace('_', "").parse().map_err(|_| "is not a number; write for example 5_000_000_000".to_owned())
}

/// Runs one task.
///
/// # Errors
/// There is no such plugin or input, or the plugin is none.
pub async fn execute(arguments: Arguments, console: Console) -> Result<Exit, Failure> {
    let limits = arguments.limits.limits()?;
    let granted = granted(&arguments.grants, |name| std::env::var_os(name).map(PathBuf::from))?;
    let component = component::read(&arguments.plugin)?;
    let payload = arguments.input.as_deref().map(payload::read).transpose()?.unwrap_or_default();
    let headers = with_content_type(arguments.content_type.as_deref(), &arguments.headers);

    let local = Local::new(console)?;
    let plugin = local.prepare(&component).await?;
    let task = LocalTask { payload, headers, limits, granted };
    let name = name_of(&arguments.plugin);
    let result = local.attempt(&plugin, name, task, Arc::new(Live::new(console)), interrupted()).await;
    // What went over the log limit was not shown.
    let stderr = if result.receipt.log_bytes > limits.log { Stderr::Unseen } else { Stderr::Seen };
    report::write(console, &local::tenant(), &result, stderr)
}

/// What these grants stand for here. The value of a secret `NAME` is in the file that the variable `NAME_FILE` names.
fn granted(grants: &[String], variable: impl Fn(&str) -> Option<PathBuf>) -> Result<Arc<Granted>, Failure> {
    let grants = parse_grants(grants.iter().map(String::as_str))
        .map_err(|problems| Failure::new(Kind::Usage, problems.to_string()))?;
    let mut values = BTreeMap::new();
    for SecretGrant { name, .. } in &grants.secrets {
        let variable_name = format!("{name}_FILE");
        let file = variable(&variable_name).ok_or_else(|| {
            Failure::new(Kind::Usage, format!("nothing says what the secret {name} is"))
                .advice(format!("Set {variable_name} to a file that holds it."))
        })?;
        let bytes = std::fs::read(&file).map_err(|error| Failure::file(&file, "read", &error))?;
        let value = SecretValue::from_file(&bytes).map_err(|unfit| {
            Failure::new(Kind::Usage, format!("the secret {name} in {} {unfit}", file.display()))
        })?;
        values.insert(name.clone(), value);
    }
    Ok(Arc::new(Granted::new(grants, &values)))
}

/// What the plugin is called, by its manifest or else by its file.
fn name_of(file: &Path) -> Option<PluginId> {
    let beside = manifest::find(file, Path::new("")).and_then(|path| manifest::read(&path).ok());
    if let Some(manifest) = beside {
        return Some(PluginId { name: manifest.name, version: Some(manifest.version) });
    }
    let name = file.file_stem()?.to_str()?.replace('_', "-").parse().ok()?;
    Some(PluginId { name, version: None })
}

/// Ends the attempt when the person at the keyboard wants it to end.
async fn interrupted() -> StopReason {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
    StopReason::Interrupted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_no_host_would_serve_are_named_by_their_flags() {
        let flags = |fuel, max_output| LimitFlags { fuel, max_output, ..LimitFlags::default() };
        assert_eq!(flags(None, None).limits(), Ok(Limits::default()));
        let failure = flags(Some(0), Some(1 << 40)).limits().unwrap_err();
        assert_eq!(failure.kind, Kind::Usage);
        let text = failure.to_string();
        assert!(
            text.contains("--fuel must be more than 0") && text.contains("--max-output is 1.0 TiB"),
            "{text}"
        );
    }

    #[test]
    fn the_value_of_a_secret_comes_from_the_file_that_a_variable_names() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "a-secret-token\n").unwrap();
        let grants = ["secrets=API_TOKEN".to_owned()];
        let variable = |name: &str| (name == "API_TOKEN_FILE").then(|| file.clone());
        let known = granted(&grants, variable).unwrap();
        assert_eq!(known.unknown_secrets().count(), 0);

        let failure = granted(&grants, |_| None).unwrap_err().to_string();
        assert!(failure.contains("API_TOKEN"), "{failure}");
        std::fs::write(&file, "short").unwrap();
        let failure = granted(&grants, variable).unwrap_err().to_string();
        assert!(failure.contains("shorter than 6 bytes") && !failure.contains("short\n"), "{failure}");
    }

    #[test]
    fn fuel_may_be_written_with_its_thousands_apart() {
        assert_eq!(parse_fuel("5_000"), Ok(5000));
        assert!(parse_fuel("much").is_err());
    }
}

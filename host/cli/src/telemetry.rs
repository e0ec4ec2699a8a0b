//! What the program logs: to standard error, for people on a terminal and as JSON for machines.

use std::io::IsTerminal;

use saggar_model::config::LogFormat;
use tracing_subscriber::EnvFilter;

use crate::arguments::Command;
use crate::console::Console;

/// What guests could make the log say as often as they like, whatever else is to be logged.
const HUSHED: &str = "wasmtime_wasi_http=off";

/// Starts the log of a command. A host's own log begins once its configuration is read.
pub fn start_for(command: &Command, console: Console) {
    match command {
        Command::Host(_) | Command::Dev(_) => {}
        // Whatever reads the JSON of a failure from standard error must find nothing else there.
        _ if console.is_json() => start(LogFormat::Json, "off"),
        // What the NATS client says of itself stands in the failure, too, or is not for the person at the keyboard.
        _ => start(LogFormat::Pretty, "warn,async_nats=off"),
    }
}

/// Starts the log. `default` is what is logged when neither `SAGGAR_LOG` nor `RUST_LOG` says.
pub fn start(format: LogFormat, default: &str) {
    let terminal = std::io::stderr().is_terminal();
    let (filter, ignored) = filter(default);
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Pretty => false,
        LogFormat::Json => true,
    };
    // A second subscriber is refused; the first one then goes on.
    let _ = if json {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        builder.compact().with_target(false).with_ansi(colour).try_init()
    };
    if let Some(name) = ignored {
        tracing::warn!(
            "{name} is no filter, and is ignored; write for example `debug` or `info,saggar_worker=debug`"
        );
    }
}

/// What is to be logged, and the variable that cannot be understood.
fn filter(default: &str) -> (EnvFilter, Option<&'static str>) {
    let said = ["SAGGAR_LOG", "RUST_LOG"]
        .into_iter()
        .find_map(|name| Some((name, std::env::var(name).ok().filter(|value| !value.is_empty())?)));
    let (filter, ignored) = match said.map(|(name, value)| EnvFilter::try_new(value).map_err(|_| name)) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(name)) => (EnvFilter::new(default), Some(name)),
        None => (EnvFilter::new(default), None),
    };
    (filter.add_directive(HUSHED.parse().expect("it is a directive")), ignored)
}

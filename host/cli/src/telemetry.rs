//! What the program logs: to standard error, for people on a terminal and as JSON for machines.

use std::io::IsTerminal;

use saggar_model::config::LogFormat;
use tracing_subscriber::EnvFilter;

use crate::arguments::Command;
use crate::console::Console;

/// Starts the log of a command. A host's own log begins once its configuration is read.
pub fn start_for(command: &Command, console: Console) {
    match command {
        Command::Host(_) | Command::Dev(_) => {}
        // Whatever reads the JSON of a failure from standard error must find nothing else there.
        _ if console.is_json() => start(LogFormat::Json, "off"),
        _ => start(LogFormat::Pretty, "warn"),
    }
}

/// Starts the log. `default` is what is logged when neither `SAGGAR_LOG` nor `RUST_LOG` says.
pub fn start(format: LogFormat, default: &str) {
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter(default));
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
}

fn filter(default: &str) -> EnvFilter {
    ["SAGGAR_LOG", "RUST_LOG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .and_then(|value| EnvFilter::try_new(value).ok())
        .unwrap_or_else(|| EnvFilter::new(default))
}

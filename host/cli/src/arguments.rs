//! The command line: what can be asked for, and the flags that every command has.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::{
    apply, bench, completions, conformance, dead, dev, diff, doctor, export, host, plugin, queue, run,
    schedule, schema, task, tenant, test, top,
};
use crate::console::Format;

const EXIT_CODES: &str = "\
Exit codes:
  0 success             66 not found
  1 failed, or differs  69 NATS unavailable
  2 usage               70 internal
  64 bad configuration  77 denied

Environment:
  NATS_URL, NATS_CREDS, NATS_CONTEXT …  where NATS is, as for the `nats` command line
  SAGGAR_TENANT                         the tenant, where no --tenant is given
  SAGGAR_LOG                            what to log, for example `debug`
  NO_COLOR                              no colours

Example:
  saggar run plugin.wasm --input photo.jpg > thumbnail.jpg";

/// Runs tasks from NATS JetStream, each in its own WebAssembly sandbox.
#[derive(Debug, Parser)]
#[command(name = "saggar", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// How the output looks.
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t)]
    pub output: Format,

    /// Where NATS is, and who we are there.
    #[command(flatten)]
    pub connection: ConnectionFlags,
}

const NATS_HELP: &str = "Addresses of NATS servers, separated by commas [default: NATS_URL, then the selected `nats` \
                         context, then nats://127.0.0.1:4222]";

/// Where NATS is, and who we are there. What is absent follows the environment.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionFlags {
    /// Addresses of NATS servers, separated by commas.
    #[arg(long, global = true, value_name = "URL", help = NATS_HELP)]
    pub nats: Option<String>,

    /// File with NATS credentials.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "File with NATS credentials [default: NATS_CREDS]"
    )]
    pub creds: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one task here, without NATS.
    Run(run::Arguments),
    /// Run the cases of a plugin.
    Test(test::Arguments),
    /// Run NATS, a host and the plugin you work on, on this machine.
    Dev(dev::Arguments),
    /// Run a worker host, look at those that run, tell one to leave.
    Host(host::Arguments),
    /// Make tenants and their queues what files say.
    Apply(apply::Arguments),
    /// Show how tenants' files, what is stored of them and the streams of NATS differ.
    Diff(diff::Arguments),
    /// Write tenants as files.
    Export(export::Arguments),
    /// Push, list and inspect plugins.
    Plugin(plugin::Arguments),
    /// Submit tasks and look at them.
    Task(task::Arguments),
    /// Have tasks made again and again.
    Schedule(schedule::Arguments),
    /// Look at failed tasks, run them again, remove them.
    Dead(dead::Arguments),
    /// Look at queues, pause, resume and empty them.
    Queue(queue::Arguments),
    /// Look at tenants.
    Tenant(tenant::Arguments),
    /// Watch tenants, queues and hosts at work.
    Top(top::Arguments),
    /// Check an installation, and say what to change.
    Doctor(doctor::Arguments),
    /// Measure what a task costs on this machine.
    Bench(bench::Arguments),
    /// Attack the sandbox of this machine, to see that it holds.
    Conformance(conformance::Arguments),
    /// Print the JSON Schema of a file, for editors.
    Schema(schema::Arguments),
    /// Print completions for a shell.
    Completions(completions::Arguments),
}

impl Command {
    /// Whether its output can be CSV.
    #[must_use]
    pub fn has_csv(&self) -> bool {
        matches!(self, Self::Tenant(arguments) if arguments.has_csv())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_has_help_with_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Example"), "{path} has no example:\n{help}");
            for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
                check(sub, &path);
            }
        }
        check(&Arguments::command(), "");
    }
}

//! The binary: reads the command line, does what it says, and ends with a code that says how it went.

mod arguments;
mod board;
mod cache_dir;
mod case;
mod claim;
mod columns;
mod commands;
mod component;
mod confirm;
mod connection;
mod console;
mod core_file;
mod failure;
mod header;
mod keyring;
mod keys;
mod later;
mod local;
mod manifest;
mod moment;
mod networked;
mod newest;
mod observer;
mod payload;
mod plan;
mod policy;
mod registry;
mod report;
mod rows;
mod screen;
mod service;
mod several;
mod short;
mod signals;
mod sources;
mod submitted;
mod table;
mod telemetry;
mod tenant_files;
mod unique;
mod view;
mod watcher;
mod workbench;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use console::Console;
use failure::{Exit, Failure, Kind};

/// Tasks allocate and free small pieces on every thread, and the library's allocator takes a fifth of a host's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A child that compiles a component and can do nothing else: before there are threads, files or a configuration.
    if std::env::args_os().nth(1).is_some_and(|command| command == saggar_sandbox::COMPILE_COMMAND) {
        return saggar_sandbox::compile_standard_input();
    }
    let arguments = Arguments::parse();
    let console = Console::new(arguments.output);
    let exit = execute(arguments, console).unwrap_or_else(|failure| {
        console.failure(&failure);
        failure.kind.exit()
    });
    ExitCode::from(exit.code())
}

/// A runtime on which guests compute beside all else. Each of their turns lasts for milliseconds: were the connection
/// looked at after 61 of them, as is usual, whatever comes in would wait for a tenth of a second.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    const LOOK_AT_CONNECTIONS_EVERY: u32 = 1;
    const LOOK_AT_OTHERS_EVERY: u32 = 4;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .event_interval(LOOK_AT_CONNECTIONS_EVERY)
        .global_queue_interval(LOOK_AT_OTHERS_EVERY)
        .build()
}

fn execute(arguments: Arguments, console: Console) -> Result<Exit, Failure> {
    let Arguments { command, connection, .. } = arguments;
    if console.is_csv() && !command.has_csv() {
        let detail = "this command has no CSV; use --output json";
        return Err(Failure::new(Kind::Usage, detail));
    }
    let runtime = runtime().map_err(|error| Failure::new(Kind::Internal, error))?;
    let exit = runtime.block_on(async {
        telemetry::start_for(&command, console);
        match command {
            Command::Run(arguments) => commands::run::execute(arguments, console).await,
            Command::Test(arguments) => commands::test::execute(arguments, console).await,
            Command::Dev(arguments) => commands::dev::execute(arguments, console).await,
            Command::Host(arguments) => commands::host::execute(arguments, &connection, console).await,
            Command::Apply(arguments) => commands::apply::execute(arguments, &connection, console).await,
            Command::Diff(arguments) => commands::diff::execute(arguments, &connection, console).await,
            Command::Export(arguments) => commands::export::execute(arguments, &connection, console).await,
            Command::Plugin(arguments) => commands::plugin::execute(arguments, &connection, console).await,
            Command::Task(arguments) => commands::task::execute(arguments, &connection, console).await,
            Command::Schedule(arguments) => {
                commands::schedule::execute(arguments, &connection, console).await
            }
            Command::Dead(arguments) => commands::dead::execute(arguments, &connection, console).await,
            Command::Queue(arguments) => commands::queue::execute(arguments, &connection, console).await,
            Command::Tenant(arguments) => commands::tenant::execute(arguments, &connection, console).await,
            Command::Top(arguments) => commands::top::execute(arguments, &connection, console).await,
            Command::Doctor(arguments) => commands::doctor::execute(arguments, &connection, console).await,
            Command::Bench(arguments) => Box::pin(commands::bench::execute(arguments, console)).await,
            Command::Conformance(arguments) => commands::conformance::execute(arguments, console).await,
            Command::Schema(arguments) => commands::schema::execute(&arguments, console),
            Command::Completions(arguments) => commands::completions::execute(&arguments, console),
        }
    });
    // A thread that still compiles or reads standard input must not hold the process back.
    runtime.shutdown_background();
    exit
}

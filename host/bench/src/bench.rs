//! A whole run: row after row, until all are measured or the time is over.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

use saggar_jetstream::{
    ConnectError, LocalServerError, PluginsError, ProvisionError, PublishError, PullError, RawLoopError,
    RecordsError, TenantsError,
};
use saggar_model::TenantName;
use saggar_sandbox::{BareError, CacheError, CompileError, Refused, SandboxError};
use saggar_worker::HostError;
use serde::Serialize;

use crate::components::Components;
use crate::figure::{Cell, Row};
use crate::machine::Machine;
use crate::rows;
use crate::scale::Scale;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// How much.
    pub scale: Scale,
    /// Which rows; empty: all of them.
    pub rows: Vec<&'static str>,
    /// What runs in the sandbox.
    pub components: Components,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What it was measured on.
    pub machine: Machine,
    /// The lines, in the order of [`crate::NAMES`].
    pub rows: Vec<Row>,
}

/// Why a row could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A component was not built.
    #[error("the component {} cannot be read ({error}); build it with `make guests`", path.display())]
    Component {
        /// Where it should be.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// A directory for what is compiled could not be made.
    #[error("a temporary directory cannot be made: {0}")]
    Directory(#[source] io::Error),
    /// A client has no runtime.
    #[error("a client cannot be started: {0}")]
    Client(#[source] io::Error),
    /// There is no nats-server.
    #[error(transparent)]
    Server(#[from] LocalServerError),
    /// The server cannot be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Streams could not be made.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// A tenant could not be made.
    #[error(transparent)]
    Tenant(#[from] TenantsError),
    /// A component could not be stored.
    #[error(transparent)]
    Push(#[from] PluginsError),
    /// A task could not be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A result could not be read.
    #[error(transparent)]
    Result(#[from] RecordsError),
    /// The limit could not be measured.
    #[error(transparent)]
    RawLoop(#[from] RawLoopError),
    /// The sandbox does not start here.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The cache of compiled code cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// There is nothing to compile with.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The component cannot be run.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The host does not start.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Nothing moved any more.
    #[error("the drain stood still after {settled} of {total} tasks")]
    Standstill {
        /// Tasks that were settled.
        settled: u64,
        /// Tasks there were.
        total: u64,
    },
    /// A queue could not be looked at.
    #[error(transparent)]
    Queue(#[from] PullError),
    /// A queue that is to have more tasks than can be run had none left.
    #[error(
        "the queue of {tenant} ran dry while it was measured: this machine is too fast for the row's tasks"
    )]
    RanDry {
        /// Whose queue it was.
        tenant: TenantName,
    },
    /// An attempt that has to succeed did not.
    #[error("an attempt failed: {0}")]
    Attempt(String),
    /// The limit of an attempt could not be measured.
    #[error(transparent)]
    Bare(#[from] BareError),
    /// A thread could not be set up.
    #[error("a thread cannot be set up: {0}")]
    Runtime(#[source] io::Error),
    /// Not all tasks went to sleep, or the process did not stop growing.
    #[error(
        "{running} of {count} tasks run, or they still take more memory; many mappings may need a higher \
         vm.max_map_count"
    )]
    NotAsleep {
        /// Tasks that run.
        running: u64,
        /// Tasks that should.
        count: u32,
    },
    /// The row was not begun.
    #[error("left out: the time for the whole run was over")]
    NoTimeLeft,
    /// The row was not ended.
    #[error("broken off: the time for the whole run was over")]
    BrokenOff,
}

impl BenchError {
    /// So many tasks of so many were settled, and then no more.
    pub(crate) fn standstill(settled: usize, total: usize) -> Self {
        Self::Standstill { settled: settled as u64, total: total as u64 }
    }
}

/// What all rows need.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub(crate) scale: Scale,
    pub(crate) components: &'a Components,
    /// Where hosts keep compiled code.
    pub(crate) cache: &'a Path,
    /// Release of nats-server, once one was needed.
    pub(crate) server: &'a OnceLock<String>,
}

/// Measures; `progress` hears the name of each row before it is begun.
///
/// # Errors
/// Nothing at all can be measured. A single row that cannot says so in its place.
pub async fn run(options: &Options, mut progress: impl FnMut(&'static str)) -> Result<Report, BenchError> {
    let begun = Instant::now();
    let cache = tempfile::Builder::new().prefix("saggar-bench-").tempdir().map_err(BenchError::Directory)?;
    let server = OnceLock::new();
    let setting = Setting {
        scale: options.scale,
        components: &options.components,
        cache: cache.path(),
        server: &server,
    };
    let mut rows = Vec::new();
    let wanted =
        rows::NAMES.into_iter().filter(|name| options.rows.is_empty() || options.rows.contains(name));
    for name in wanted {
        progress(name);
        let figures = if begun.elapsed() < options.scale.bound {
            let end = begun + options.scale.bound + options.scale.grace;
            tokio::time::timeout_at(end.into(), rows::measure(name, &setting))
                .await
                .unwrap_or(Err(BenchError::BrokenOff))
        } else {
            Err(BenchError::NoTimeLeft)
        };
        match figures {
            Ok(figures) => {
                rows.extend(figures.into_iter().map(|figure| Row { name, cell: Cell::Measured(figure) }));
            }
            Err(error) => rows.push(Row { name, cell: Cell::Missing(error.to_string()) }),
        }
    }
    Ok(Report { machine: Machine::this(server.into_inner()), rows })
}

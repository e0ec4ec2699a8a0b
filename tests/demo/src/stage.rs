//! What the demonstration stands on: a nats-server and a host, both started here and both gone afterwards.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use saggar_harness::{LocalServer, StartOptions};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The repository, of which the demonstration uses the tenants' files and the built plugins.
const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// What people want, by name and file.
const PLUGINS: [(&str, &str); 3] = [("thumbnail", "thumbnail"), ("csv-export", "csv_export"), ("hello", "hello")];
/// How long the host may take to stop once nothing runs any more: its drain, which is 10 s, and some more.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// How much of the host's log is shown when the demonstration fails.
const LOG_LINES: usize = 20;

/// A server, a host, and the directory with the host's configuration and log.
pub struct Stage {
    saggar: PathBuf,
    // In the order in which they go when nobody clears the stage: the host is gone before its files are.
    host: Child,
    server: LocalServer,
    directory: TempDir,
}

impl Stage {
    /// Starts both. Dropped, they are killed.
    pub async fn set() -> anyhow::Result<Self> {
        let saggar = std::env::current_exe()?.with_file_name("saggar");
        ensure!(saggar.is_file(), "{} is missing; `make build` makes it", saggar.display());
        let server = LocalServer::start(StartOptions::default()).await?;
        println!("nats-server listens at {}, its streams in a directory of its own.", server.url());
        let directory = tempfile::Builder::new().prefix("saggar-demo-").tempdir()?;
        let host = start_host(&saggar, directory.path(), &server.url())?;
        println!("One host, `saggar host`, with 64 slots.");
        Ok(Self { saggar, host, server, directory })
    }

    /// Where NATS is.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Where files for people go: a directory of the build, which `make clean` removes.
    pub fn output(&self) -> PathBuf {
        let build = self.saggar.ancestors().nth(2).unwrap_or(Path::new("."));
        build.join("demo")
    }

    /// Pushes the plugins that people want and `others` for a tenant, then applies the tenant's file.
    pub async fn push_and_apply(&self, tenant: &str, others: &[&str]) -> anyhow::Result<()> {
        let built = Path::new(REPOSITORY).join("plugins/target/wasm32-wasip2/release");
        let wanted = PLUGINS.iter().map(|(name, file)| (*name, built.join(file)));
        let guests = others.iter().map(|name| (*name, built.join("examples").join(name)));
        let began = Instant::now();
        let mut names = Vec::new();
        for (name, file) in wanted.chain(guests) {
            let file = file.with_extension("wasm");
            self.command(&[
                "plugin".as_ref(),
                "push".as_ref(),
                file.as_ref(),
                "--name".as_ref(),
                name.as_ref(),
                "--version".as_ref(),
                "0.1.0".as_ref(),
                "--tenant".as_ref(),
                tenant.as_ref(),
            ])
            .await?;
            names.push(name);
        }
        let file = Path::new(REPOSITORY).join("tests/demo/tenants").join(tenant).with_extension("toml");
        self.command(&["apply".as_ref(), file.as_ref()]).await?;
        println!("Tenant {tenant}: pushed {}; applied its file ({:.1} s).", names.join(", "), began.elapsed().as_secs_f64());
        Ok(())
    }

    /// Stops the host as an operator would, then the server. After a failure the end of the host's log is shown.
    pub async fn clear(mut self, failed: bool) -> anyhow::Result<()> {
        let stopped = self.stop_host().await;
        if failed || stopped.is_err() {
            let log = std::fs::read_to_string(self.directory.path().join("host.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = &lines[lines.len().saturating_sub(LOG_LINES)..];
            eprintln!("\nThe end of the host's log:\n{}", end.join("\n"));
        }
        self.server.stop().await;
        stopped
    }

    async fn stop_host(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.host.try_wait()? {
            bail!("the host had ended by itself with {status}");
        }
        let pid = self.host.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(pid.context("the host has no process id")?, Signal::TERM)?;
        let status = timeout(STOP_TIMEOUT, self.host.wait()).await.context("the host did not stop in time")??;
        ensure!(status.success(), "the host stopped with {status} instead of 0");
        Ok(())
    }

    async fn command(&self, arguments: &[&OsStr]) -> anyhow::Result<()> {
        let mut command = saggar(&self.saggar);
        command.args(arguments).args(["--nats", &self.url()]).stdin(Stdio::null());
        let output = command.output().await?;
        let shown = arguments.join(OsStr::new(" "));
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`saggar {}` failed: {}", shown.display(), said.trim());
        Ok(())
    }
}

fn start_host(program: &Path, directory: &Path, url: &str) -> anyhow::Result<Child> {
    let configuration = directory.join("host.toml");
    // Port 0: any free one, since nobody looks at it here.
    let text = format!(
        "[nats]\nurl = \"{url}\"\n[host]\nname = \"demo\"\ndrain = \"10s\"\n[admin]\nlisten = \"127.0.0.1:0\"\n"
    );
    std::fs::write(&configuration, text)?;
    let log = std::fs::File::create(directory.join("host.log"))?;
    let host = saggar(program)
        .args(["host".as_ref(), "--config".as_ref(), configuration.as_os_str()])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("the host cannot be started")?;
    Ok(host)
}

/// The program, shielded from variables that would send it to another NATS or change what a file says.
fn saggar(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if ["NATS_", "SAGGAR_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command.kill_on_drop(true);
    command
}

//! What the demonstration stands on: a nats-server and a host, both started here and both gone afterwards.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::ensure;
use saggar_harness::{LocalServer, SaggarProcess, SpawnOptions, StartOptions, guests, run};
use tempfile::TempDir;

/// What people want, by name and file.
const PLUGINS: [(&str, &str); 3] =
    [("thumbnail", "thumbnail"), ("csv-export", "csv_export"), ("hello", "hello")];
/// The version that the tenants' files name.
const VERSION: &str = "0.1.0";
/// How long the host may take to stop: its drain, which is 10 s, and some more.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// How much of the host's log is shown when the demonstration fails.
const LOG_LINES: usize = 20;

/// A server, a host, and the directory with the host's configuration.
pub struct Stage {
    saggar: PathBuf,
    // In the order in which they go when nobody clears the stage: the host is gone before its server.
    host: SaggarProcess,
    server: LocalServer,
    _directory: TempDir,
}

impl Stage {
    /// Starts both. Dropped, they are killed.
    pub async fn set() -> anyhow::Result<Self> {
        let saggar = std::env::current_exe()?.with_file_name("saggar");
        ensure!(saggar.is_file(), "{} is missing; `make build` makes it", saggar.display());
        let server = LocalServer::start(StartOptions::default()).await?;
        println!("A nats-server of its own listens at {}.", server.url());
        let directory = tempfile::Builder::new().prefix("saggar-demo-").tempdir()?;
        let configuration = directory.path().join("host.toml");
        // Port 0 is any free one: here, nobody asks the host how it feels.
        let text = format!(
            "[nats]\nurl = \"{}\"\n[host]\nname = \"demo\"\ndrain = \"10s\"\n[admin]\nlisten = \"127.0.0.1:0\"\n",
            server.url()
        );
        std::fs::write(&configuration, text)?;
        let args = ["host", "--config", &configuration.to_string_lossy()].map(str::to_owned).to_vec();
        let host = SaggarProcess::spawn(&saggar, SpawnOptions { args, ..SpawnOptions::default() });
        println!("One host, `saggar host`, runs up to 64 tasks at once.");
        Ok(Self { saggar, host, server, _directory: directory })
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
        let began = Instant::now();
        let built = guests::root().join("plugins/target/wasm32-wasip2/release");
        let wanted = PLUGINS.iter().map(|(name, file)| (*name, built.join(file)));
        let others = others.iter().map(|name| (*name, built.join("examples").join(name)));
        let mut pushed = Vec::new();
        for (name, file) in wanted.chain(others) {
            let file = file.with_extension("wasm");
            let file = file.to_string_lossy();
            self.run(&["plugin", "push", &file, "--name", name, "--version", VERSION, "--tenant", tenant])
                .await?;
            pushed.push(name);
        }
        let file = guests::root().join("tests/demo/tenants").join(tenant).with_extension("toml");
        self.run(&["apply", &file.to_string_lossy()]).await?;
        let seconds = began.elapsed().as_secs_f64();
        println!("Tenant {tenant}: plugins {} pushed, queues applied ({seconds:.1} s).", pushed.join(", "));
        Ok(())
    }

    /// Stops the host as an operator would, then the server. After a failure the end of the host's log is shown.
    pub async fn clear(mut self, failed: bool) -> anyhow::Result<()> {
        self.host.terminate();
        let status = self.host.wait(STOP_TIMEOUT).await;
        if failed || !status.success() {
            let log = self.host.stderr();
            eprintln!(
                "\nThe end of the host's log:\n{}",
                log[log.len().saturating_sub(LOG_LINES)..].join("\n")
            );
        }
        self.server.stop().await;
        ensure!(status.success(), "the host stopped with {status} instead of 0");
        Ok(())
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let url = self.url();
        let arguments = [arguments, &["--nats", &url]].concat();
        let finished = run(&self.saggar, &arguments, b"", &[]).await;
        let shown = arguments.join(" ");
        ensure!(finished.code == Some(0), "`saggar {shown}` failed: {}", finished.stderr.trim());
        Ok(())
    }
}

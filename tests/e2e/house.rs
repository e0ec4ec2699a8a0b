//! A server on which every tenant has an account of its own, as `saggar tenant creds` sets it up, with one host.

use std::path::{Path, PathBuf};

use async_nats::{Client, ConnectOptions, Event};
use futures::TryStreamExt as _;
use rustix::process::{Pid, Signal, kill_process};
use saggar_harness::{
    Finished, LocalServer, SaggarProcess, SpawnOptions, StartOptions, eventually, guests, now_or_panic, run,
};
use tokio::sync::mpsc;

use crate::stage::{SOON, saggar};
use crate::wire::Wire;

/// Who the hosts are in [`House::client`] and [`House::run`].
pub const HOSTS: &str = "hosts";

/// How the server knows its accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// From its configuration file.
    File,
    /// From claims that an operator has signed.
    Operator,
}

/// Both, since each has tests of its own in nats-server.
pub const MODES: [Mode; 2] = [Mode::File, Mode::Operator];

/// The server, and the directory with everybody's credentials.
pub struct House {
    pub server: LocalServer,
    pub dir: tempfile::TempDir,
    mode: Mode,
}

/// A connection of somebody, and what the server refuses it.
pub struct Guest {
    pub client: Client,
    pub denied: mpsc::UnboundedReceiver<String>,
}

impl House {
    /// A server with accounts for these tenants.
    pub async fn new(mode: Mode, tenants: &[&str]) -> Self {
        Self::with(mode, tenants, StartOptions::default(), |configuration| configuration).await
    }

    /// The same, with a store of its own, and its configuration changed.
    pub async fn with(
        mode: Mode,
        tenants: &[&str],
        options: StartOptions,
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let dir = tempfile::tempdir().expect("there is room for files");
        let out = dir.path().display().to_string();
        let mut args = vec!["tenant", "creds", "--out", &out];
        args.extend(tenants);
        args.extend((mode == Mode::Operator).then_some("--jwt"));
        run(saggar(), &args, b"", &[]).await.expect_code(0);
        let file = if mode == Mode::File { "accounts.conf" } else { "operator.conf" };
        let path = dir.path().join(file);
        let configuration = std::fs::read_to_string(&path).expect("it was written");
        std::fs::write(&path, change(configuration)).expect("the test's directory can be written to");
        // Where it is included from is a directory beside this one.
        let name = dir.path().file_name().expect("it has a name").display();
        let options = StartOptions { config: Some(format!("include \"../{name}/{file}\"")), ..options };
        let server = LocalServer::start(options).await.expect("nats-server takes the configuration");
        Self { server, dir, mode }
    }

    /// Makes an account for one more tenant, and has the server read it.
    pub async fn add(&self, tenant: &str) {
        let out = self.dir.path().display().to_string();
        let mut args = vec!["tenant", "creds", tenant, "--out", &out];
        args.extend((self.mode == Mode::Operator).then_some("--jwt"));
        run(saggar(), &args, b"", &[]).await.expect_code(0);
        self.reload();
        eventually("the server knows the account", SOON, || async {
            let done = self.run(tenant, &["task", "cancel", "echo/nothing"]).await;
            (!done.stderr.contains("refuses these credentials")).then_some(())
        })
        .await;
        // With accounts from a file, what a new account imports works after the second reload only.
        self.reload();
        eventually("the account reaches the hosts", SOON, || async {
            let done = self.run(tenant, &["task", "cancel", "echo/nothing"]).await;
            (!done.stderr.contains("no host answers")).then_some(())
        })
        .await;
    }

    fn reload(&self) {
        let pid = self.server.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        kill_process(pid.expect("it runs"), Signal::HUP).expect("it is ours");
    }

    fn credentials(&self, who: &str) -> PathBuf {
        let name = if who == HOSTS { who.to_owned() } else { format!("tenants/{who}") };
        let ending = if self.mode == Mode::File { "nk" } else { "creds" };
        self.dir.path().join(format!("{name}.{ending}"))
    }

    /// The variables that make a command somebody's.
    fn env(&self, who: &str) -> Vec<(String, String)> {
        let variable = if self.mode == Mode::File { "NATS_NKEY" } else { "NATS_CREDS" };
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
        let mut env = vec![
            ("NATS_URL".to_owned(), self.server.url()),
            (variable.to_owned(), self.credentials(who).display().to_string()),
            ("XDG_CACHE_HOME".to_owned(), cache.display().to_string()),
        ];
        if who != HOSTS {
            env.push(("SAGGAR_TENANT".to_owned(), who.to_owned()));
        }
        env
    }

    /// Runs a command with somebody's credentials.
    pub async fn run(&self, who: &str, args: &[&str]) -> Finished {
        let env = self.env(who);
        let env: Vec<_> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        run(saggar(), args, b"", &env).await
    }

    /// Runs a command with somebody's credentials, and reads its one object.
    pub async fn json(&self, who: &str, args: &[&str]) -> serde_json::Value {
        let args: Vec<&str> = args.iter().copied().chain(["--output", "json"]).collect();
        let done = self.run(who, &args).await.expect_code(0);
        serde_json::from_slice::<serde_json::Value>(&done.stdout).expect("it writes one object")["data"]
            .clone()
    }

    /// Connects with somebody's credentials.
    pub async fn client(&self, who: &str) -> Guest {
        let path = self.credentials(who);
        let options = match self.mode {
            Mode::Operator => ConnectOptions::with_credentials_file(path).await.expect("they were written"),
            Mode::File => {
                let seed = std::fs::read_to_string(path).expect("it was written");
                ConnectOptions::with_nkey(seed.trim().to_owned())
            }
        };
        connect(options, &self.server.url()).await
    }

    /// Connects with somebody's credentials, to write by hand.
    pub async fn wire(&self, who: &str) -> Result<Wire, String> {
        let text = std::fs::read_to_string(self.credentials(who)).expect("it was written");
        let between = |begin: &str, end: &str| Some(text.split_once(begin)?.1.split_once(end)?.0.trim());
        let seed = between("-----BEGIN USER NKEY SEED-----", "-----").unwrap_or(text.trim());
        let jwt = between("-----BEGIN NATS USER JWT-----", "-----");
        Wire::connect(&self.server.url(), Some(seed), jwt).await
    }

    /// Starts a host and waits until it is ready.
    pub async fn host(&self) -> SaggarProcess {
        let file = self.dir.path().join("host.toml");
        let config = "[host]\nname = 'host-1'\n[admin]\nlisten = '127.0.0.1:0'\n";
        std::fs::write(&file, config).expect("the test's directory can be written to");
        let args = ["host", "--config", &file.display().to_string()].map(str::to_owned).to_vec();
        let options = SpawnOptions { args, env: self.env(HOSTS), dir: None };
        let host = SaggarProcess::spawn(saggar(), options);
        host.wait_for_url(SOON).await;
        host
    }

    /// Pushes guests and makes a tenant with queues: (guest, settings). `tenant_settings` go into its section.
    pub async fn apply(&self, tenant: &str, tenant_settings: &str, queues: &[(&str, &str)]) {
        let mut text = format!("[tenant]\nname = '{tenant}'\n{tenant_settings}\n");
        for (guest, settings) in queues {
            let file = guests::path(guest).display().to_string();
            let push = ["plugin", "push", &file, "--name", guest, "--version", "1.0.0", "--tenant", tenant];
            self.run(HOSTS, &push).await.expect_code(0);
            text += &format!("[[queue]]\nname = '{guest}'\nplugin = '{guest}@1.0.0'\n{settings}\n");
        }
        let file = self.dir.path().join(format!("{tenant}.toml"));
        std::fs::write(&file, text).expect("the test's directory can be written to");
        self.run(HOSTS, &["apply", &file.display().to_string()]).await.expect_code(0);
    }

    /// How far each stream has come whose name holds `part`.
    pub async fn streams(&self, part: &str) -> Vec<(String, u64, u64)> {
        let hosts = self.client(HOSTS).await;
        let context = async_nats::jetstream::new(hosts.client);
        let infos: Vec<_> = context.streams().try_collect().await.expect("the hosts may list streams");
        let mut streams: Vec<_> = infos
            .into_iter()
            .filter(|info| info.config.name.contains(part))
            .map(|info| (info.config.name, info.state.messages, info.state.last_sequence))
            .collect();
        streams.sort();
        streams
    }
}

/// Connects, and listens to what the server refuses.
pub async fn connect(options: ConnectOptions, url: &str) -> Guest {
    let (refusals, denied) = mpsc::unbounded_channel();
    let options = options.event_callback(move |event| {
        if let Event::ServerError(error) = event {
            refusals.send(error.to_string()).ok();
        }
        std::future::ready(())
    });
    let client = now_or_panic("a connection", SOON, options.connect(url)).await;
    Guest { client: client.expect("the credentials are good"), denied }
}

impl Guest {
    /// Waits until the server has refused something about this subject.
    pub async fn is_denied(&mut self, subject: &str) {
        let refusal = async {
            while let Some(refusal) = self.denied.recv().await {
                if refusal.contains("Permissions Violation") && refusal.contains(&format!("\"{subject}\"")) {
                    return;
                }
            }
            panic!("the connection is gone");
        };
        now_or_panic(&format!("a refusal of {subject}"), SOON, refusal).await;
    }

    /// Asks as any client would.
    pub async fn ask(&self, subject: &str, payload: &str) -> Option<async_nats::Message> {
        let asked = self.client.request(subject.to_owned(), payload.to_owned().into());
        now_or_panic(&format!("an answer from {subject}"), SOON, asked).await.ok()
    }

    /// Waits until the server and the hosts have dealt with everything that was sent so far: what is asked behind it is
    /// answered after it.
    pub async fn settled(&self, tenant: &str, queue: &str) {
        for subject in [
            format!("saggar.{tenant}.task.{queue}.the-last"),
            format!("saggar.{tenant}.control.state.{queue}.nobody"),
            format!("saggar.{tenant}.control.cancel.{queue}.nobody"),
        ] {
            assert!(self.ask(&subject, "").await.is_some(), "{subject} is answered");
        }
        let stream = format!("$JS.API.DIRECT.GET.SAGGAR_RESULTS_{tenant}");
        assert!(self.ask(&stream, "{\"seq\":1}").await.is_some(), "results can be read");
    }
}

//! What a test plays on: a NATS server, hosts, and one tenant with queues.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::HeaderMap;
use saggar_harness::{
    Finished, LocalServer, SaggarProcess, SpawnOptions, StartOptions, eventually, guests, now_or_panic, run,
};
use saggar_jetstream::{Nats, Results, Target};
use saggar_model::{QueueName, TaskId, TaskResult, TenantName};

/// Longer than anything takes that is not stuck, on a machine that does ten other things.
pub const SOON: Duration = Duration::from_mins(1);

/// The binary under test.
pub fn saggar() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_saggar"))
}

/// A server, a tenant, and what belongs to them.
pub struct Stage {
    pub server: LocalServer,
    pub tenant: TenantName,
    pub dir: tempfile::TempDir,
    pub client: async_nats::Client,
    nats: Nats,
}

impl Stage {
    /// A server with nothing in it. `tenant` is the test's own.
    pub async fn new(tenant: &str) -> Self {
        let server = LocalServer::start(StartOptions::default()).await.expect("a nats-server starts");
        Self::on(tenant, server).await
    }

    /// The same on a server that the test started.
    pub async fn on(tenant: &str, server: LocalServer) -> Self {
        let client = async_nats::connect(server.url()).await.expect("it takes connections");
        let nats = Nats::connect(&Target::at(&server.url()), "test").await.expect("it has JetStream");
        let dir = tempfile::tempdir().expect("there is room for files");
        Self { server, tenant: tenant.parse().expect("a test names its tenant well"), dir, client, nats }
    }

    /// A server, one host, and queues for these guests, each named after its guest.
    pub async fn with_host(tenant: &str, queues: &[&str]) -> (Self, SaggarProcess) {
        let stage = Self::new(tenant).await;
        let host = stage.host("host-1", "").await;
        stage.apply(queues, "").await;
        (stage, host)
    }

    /// The variables that lead a command here.
    pub fn env(&self) -> Vec<(String, String)> {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
        [
            ("NATS_URL", self.server.url()),
            ("SAGGAR_TENANT", self.tenant.to_string()),
            ("XDG_CACHE_HOME", cache.display().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Runs a command.
    pub async fn run(&self, args: &[&str]) -> Finished {
        let env = self.env();
        let env: Vec<_> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        run(saggar(), args, b"", &env).await
    }

    /// Starts a host and waits until it is ready. `more` is added to section `[host]` of its file.
    pub async fn host(&self, name: &str, more: &str) -> SaggarProcess {
        let host = self.start_host(name, more);
        host.wait_for_url(SOON).await;
        host
    }

    /// Starts a host.
    pub fn start_host(&self, name: &str, more: &str) -> SaggarProcess {
        let config = format!("[host]\nname = '{name}'\n{more}\n[admin]\nlisten = '127.0.0.1:0'\n");
        let file = self.write(&format!("{name}.toml"), &config);
        let args = ["host", "--config", &file.display().to_string()].map(str::to_owned).to_vec();
        SaggarProcess::spawn(saggar(), SpawnOptions { args, env: self.env(), dir: None })
    }

    /// Pushes the guests and applies a queue for each, with `settings` in each.
    pub async fn apply(&self, queues: &[&str], settings: &str) {
        let queues: Vec<_> = queues.iter().map(|guest| (*guest, *guest, settings)).collect();
        self.apply_queues(&queues).await;
    }

    /// Pushes guests and applies queues: (queue, guest, settings).
    pub async fn apply_queues(&self, queues: &[(&str, &str, &str)]) {
        let queues: Vec<_> = queues
            .iter()
            .map(|(queue, guest, settings)| (*queue, *guest, guests::path(guest), *settings))
            .collect();
        self.apply_files(&queues).await;
    }

    /// Pushes components from files and applies queues: (queue, plugin, file, settings).
    pub async fn apply_files(&self, queues: &[(&str, &str, PathBuf, &str)]) {
        let mut text = format!(
            "[tenant]\nname = '{}'\nquota = {{ bytes = '64MiB', results = '64MiB', dead = '16MiB', kv = '2MiB', blobs = '8MiB', payloads = '96MiB' }}\n",
            self.tenant
        );
        for (queue, guest, file, settings) in queues {
            let file = file.display().to_string();
            self.run(&["plugin", "push", &file, "--name", guest, "--version", "1.0.0"]).await.expect_code(0);
            text += &format!("[[queue]]\nname = '{queue}'\nplugin = '{guest}@1.0.0'\n{settings}\n");
        }
        let file = self.write("tenant.toml", &text);
        // Whoever takes a queue out of a test knows what it holds.
        self.run(&["apply", &file.display().to_string(), "--yes"]).await.expect_code(0);
    }

    /// Writes a file into the test's directory.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("the test's directory can be written to");
        path
    }

    /// Publishes a task as any client would, and waits for the server's word that it is stored.
    pub async fn publish(&self, queue: &str, id: &str, payload: impl Into<bytes::Bytes>) {
        self.publish_with(queue, id, payload, &[]).await;
    }

    /// Publishes a task with headers.
    pub async fn publish_with(
        &self,
        queue: &str,
        id: &str,
        payload: impl Into<bytes::Bytes>,
        headers: &[(&str, &str)],
    ) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, *value);
        }
        let subject = match id {
            "" => format!("saggar.{}.task.{queue}", self.tenant),
            id => format!("saggar.{}.task.{queue}.{id}", self.tenant),
        };
        let stream = async_nats::jetstream::new(self.client.clone());
        let published = stream.publish_with_headers(subject, map, payload.into()).await.expect("it is sent");
        now_or_panic("the server stores the task", SOON, async { published.await.expect("it is stored") })
            .await;
    }

    /// Waits for the result of a task.
    pub async fn result(&self, queue: &str, id: &str) -> TaskResult {
        self.result_within(queue, id, SOON).await
    }

    /// Waits for the result of a task for so long.
    pub async fn result_within(&self, queue: &str, id: &str, within: Duration) -> TaskResult {
        let (queue, id): (QueueName, TaskId) = (queue.parse().unwrap(), id.parse().unwrap());
        let results = Results::new(&self.nats);
        match results.wait(&self.tenant, &queue, &id, within).await {
            Ok(Some(stored)) => stored.result,
            Ok(None) => panic!("no result of {queue}/{id} within {within:?}"),
            Err(error) => panic!("the result of {queue}/{id}: {error}"),
        }
    }

    /// How many messages each subject of a stream holds.
    pub async fn subjects(&self, stream: &str) -> BTreeMap<String, usize> {
        use futures::TryStreamExt as _;
        let context = async_nats::jetstream::new(self.client.clone());
        let stream = context.get_stream(stream).await.expect("the stream is there");
        let info = stream.info_with_subjects(">").await.expect("it answers");
        info.try_collect().await.expect("it lists its subjects")
    }

    /// How many messages a stream holds.
    pub async fn messages(&self, stream: &str) -> u64 {
        let context = async_nats::jetstream::new(self.client.clone());
        let mut stream = context.get_stream(stream).await.expect("the stream is there");
        stream.info().await.expect("it answers").state.messages
    }

    /// Waits until hosts have so many tasks of a queue.
    pub async fn running(&self, queue: &str, count: usize) {
        eventually("the tasks are running", SOON, || async {
            let context = async_nats::jetstream::new(self.client.clone());
            let stream = context.get_stream(format!("SAGGAR_TASKS_{}", self.tenant)).await.ok()?;
            let info = stream.consumer_info(queue).await.ok()?;
            (info.num_ack_pending == count).then_some(())
        })
        .await;
    }

    /// Waits until no task is queued or running.
    pub async fn drained(&self) {
        eventually("every task is acknowledged", SOON, || async { (self.queued().await == 0).then_some(()) })
            .await;
    }

    /// How many tasks are queued or running.
    pub async fn queued(&self) -> u64 {
        self.messages(&format!("SAGGAR_TASKS_{}", self.tenant)).await
    }

    /// How many results there are.
    pub async fn results(&self) -> u64 {
        self.messages(&format!("SAGGAR_RESULTS_{}", self.tenant)).await
    }

    /// How many dead letters there are.
    pub async fn dead(&self) -> u64 {
        self.messages(&format!("SAGGAR_DEAD_{}", self.tenant)).await
    }
}

/// The status and the body of an answer; nothing if there is none.
pub async fn get(url: &str) -> Option<(u16, String)> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (address, path) = url.strip_prefix("http://")?.split_once('/')?;
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
}

//! The servers of a campaign: one, or a cluster of three on loopback.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::jetstream;
use rustix::process::{Pid, Signal, kill_process};
use saggar_harness::{LocalServer, StartOptions};

use crate::disk::SmallDisk;
use crate::fault::Which;

/// How long the servers of a cluster may take to find each other and to choose who leads.
const ELECTION: Duration = Duration::from_mins(1);

/// How long the question who leads may take. Nobody may.
const ASK: Duration = Duration::from_secs(2);

/// How often a server that does not come up is started again: its port may be taken for a moment.
const STARTS: usize = 5;

/// All of them.
pub struct Servers {
    nodes: Vec<LocalServer>,
    /// Where the only server keeps its streams, if a small disk could be had.
    disk: Option<SmallDisk>,
    context: jetstream::Context,
}

impl Servers {
    /// Starts them and connects to them, past all proxies.
    pub async fn start(nodes: u8, disk: Option<SmallDisk>) -> anyhow::Result<Self> {
        let routes = (0..nodes).map(|_| free_port()).collect::<Result<Vec<_>, _>>()?;
        let mut started = Vec::new();
        for (node, port) in routes.iter().enumerate() {
            let store_dir = disk.as_ref().map(|disk| disk.path().join("store"));
            let config = (nodes > 1).then(|| cluster(node, *port, &routes));
            started.push(LocalServer::start(StartOptions { store_dir, port: None, config }).await?);
        }
        let urls: Vec<String> = started.iter().map(LocalServer::url).collect();
        let client = connect(&urls).await?;
        let context = jetstream::new(client);
        tokio::time::timeout(ELECTION, led(&context)).await.context("the servers do not find each other")?;
        Ok(Self { nodes: started, disk, context })
    }

    /// A connection of its own to all of them.
    pub async fn client(&self) -> anyhow::Result<async_nats::Client> {
        connect(&self.urls()).await
    }

    /// Where they listen.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(LocalServer::url).collect()
    }

    /// Where they listen, for proxies.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| (Ipv4Addr::LOCALHOST, node.port()).into()).collect()
    }

    /// Whether their disk can be filled.
    pub fn has_small_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// The server that is meant; the first if nobody leads.
    pub async fn find(&self, which: Which) -> usize {
        match which {
            Which::Node(node) => node.min(self.nodes.len() - 1),
            Which::LeaderOf(_) if self.nodes.len() == 1 => 0,
            Which::LeaderOf(tenant) => {
                let name = format!("SAGGAR_TASKS_{tenant}");
                let asking = async {
                    let mut stream = self.context.get_stream(name).await.ok()?;
                    let leader = stream.info().await.ok()?.cluster.as_ref()?.leader.clone()?;
                    leader.strip_prefix('n')?.parse::<usize>().ok()
                };
                tokio::time::timeout(ASK, asking).await.ok().flatten().unwrap_or(0).min(self.nodes.len() - 1)
            }
        }
    }

    /// Kills a server as `kill -9` does.
    pub async fn kill(&mut self, node: usize) {
        self.nodes[node].kill().await;
    }

    /// Tells a server to stop, and waits until it has.
    pub async fn stop(&mut self, node: usize) {
        self.nodes[node].stop().await;
    }

    /// Starts a server again that was stopped or killed.
    pub async fn start_again(&mut self, node: usize) -> anyhow::Result<()> {
        let mut last = Ok(());
        for _ in 0..STARTS {
            last = self.nodes[node].restart().await;
            if last.is_ok() {
                break;
            }
        }
        last.with_context(|| format!("server {node} does not come up again"))
    }

    /// Stops a server as if the machine stood still.
    pub fn freeze(&self, node: usize) {
        self.signal(node, Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self, node: usize) {
        self.signal(node, Signal::CONT);
    }

    /// Leaves no room on the disk. What the server keeps in memory of it does not recover by itself when there is
    /// room again, so that [`Servers::empty_disk`] restarts it.
    pub fn fill_disk(&self) -> anyhow::Result<()> {
        self.disk.as_ref().map_or(Ok(()), SmallDisk::fill)
    }

    /// Makes room again, and restarts the server.
    pub async fn empty_disk(&mut self) -> anyhow::Result<()> {
        let Some(disk) = &self.disk else { return Ok(()) };
        disk.empty()?;
        self.stop(0).await;
        self.start_again(0).await
    }

    fn signal(&self, node: usize, signal: Signal) {
        let pid = self.nodes[node].pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, signal).ok();
        }
    }
}

async fn connect(urls: &[String]) -> anyhow::Result<async_nats::Client> {
    let options = async_nats::ConnectOptions::new().name("saggar-chaos").retry_on_initial_connect();
    let servers: Vec<async_nats::ServerAddr> =
        urls.iter().map(|url| url.parse()).collect::<Result<_, _>>()?;
    Ok(options.connect(servers).await?)
}

async fn led(context: &jetstream::Context) {
    let mut look = tokio::time::interval(Duration::from_millis(100));
    while context.query_account().await.is_err() {
        look.tick().await;
    }
}

/// A port that nobody listens on. Another process might take it before the server does, which then does not start.
fn free_port() -> anyhow::Result<u16> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    ensure!(port > 0, "there is no free port");
    Ok(port)
}

/// The configuration of one of several. Clients are told of no other server, for they are to go through the proxies.
fn cluster(node: usize, port: u16, routes: &[u16]) -> String {
    let routes: Vec<_> = routes.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
    format!(
        "server_name: n{node}\ncluster {{ name: chaos, listen: \"127.0.0.1:{port}\", no_advertise: true, routes: [{}] }}",
        routes.join(", ")
    )
}

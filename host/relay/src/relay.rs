//! The place in this process that the client connects to in place of a server.
//!
//! It listens on this machine only, and any program on it can connect; but without the secret that this process's own
//! client shows, nobody gets a word through to the server.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinHandle};

use crate::pump::LINGER;
use crate::roster::Roster;
use crate::server::{Address, AddressError};
use crate::session::Session;
use crate::tls::TlsFiles;

/// Connections that may be about to show who they are. Our client makes one after the other; more than one is for
/// strangers that keep silent, and many would only be more connections to the server.
const OPENING_MAX: usize = 8;

/// How long to wait when the machine has no room for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// What a relay stands between.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Addresses of servers, at least one.
    pub servers: Vec<String>,
    /// The files for encrypted connections.
    pub tls: TlsFiles,
    /// What the server is told that the client is called.
    pub name: String,
    /// What the subjects begin with on which the client expects answers. Nobody but the server may know it.
    pub inboxes: String,
    /// How long a server may take to be reached.
    pub patience: Duration,
}

/// A relay at work. Dropped, it takes no more connections; one that there is ends when the client ends it.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) secret: String,
    /// Never held across an await.
    roster: Mutex<Roster>,
    /// Why no server was reached the last time; nothing if one was.
    failure: Mutex<Option<String>>,
    /// The client's last connection.
    current: Mutex<Option<AbortHandle>>,
    /// The client's connections that have not ended.
    open: watch::Sender<usize>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("roster", &self.roster).finish_non_exhaustive()
    }
}

impl Relay {
    /// Starts to listen, on a port of its own. It reaches for a server when the client connects.
    ///
    /// # Errors
    /// An address of a server is none, or this machine has no port to listen on.
    pub async fn start(settings: Settings) -> Result<Self, AddressError> {
        let servers =
            settings.servers.iter().map(|server| server.parse()).collect::<Result<Vec<Address>, _>>()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(AddressError::no_port)?;
        let address = listener.local_addr().map_err(AddressError::no_port)?;
        let shared = Arc::new(Shared {
            settings,
            secret: format!("{:032x}", rand::random::<u128>()),
            roster: Mutex::new(Roster::new(servers)),
            failure: Mutex::default(),
            current: Mutex::default(),
            open: watch::Sender::new(0),
        });
        let listening = tokio::spawn(listen(listener, shared.clone()));
        Ok(Self { address, shared, listening })
    }

    /// Where the client connects to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the client has to call itself.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.shared.secret
    }

    /// Waits until what the client said on connections that it has ended is passed on.
    pub async fn ended(&self) {
        // Whoever waits holds the other end.
        self.shared.open.subscribe().wait_for(|open| *open == 0).await.ok();
    }

    /// Why no server was reached the last time; nothing if one was.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        lock(&self.shared.failure).clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Shared {
    pub(crate) fn roster(&self) -> MutexGuard<'_, Roster> {
        lock(&self.roster)
    }

    pub(crate) fn reached(&self, failure: Option<String>) {
        *lock(&self.failure) = failure;
    }
}

/// Counts a connection for as long as it lives, however it ends.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.open.send_modify(|open| *open += 1);
        Self(shared.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    let opening = Arc::new(Semaphore::new(OPENING_MAX));
    loop {
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // One too many is closed at once.
        let Ok(permit) = opening.clone().try_acquire_owned() else { continue };
        let shared = shared.clone();
        drop(tokio::spawn(async move {
            let opened = Session::open(&shared, client).await;
            drop(permit);
            match opened {
                Ok(session) => serve(&shared, session).await,
                Err(error) => tracing::debug!(%error, "a connection to NATS did not come about"),
            }
        }));
    }
}

/// Serves the client. It has one connection at a time, so that the one before is over; it gets the time to pass on what
/// was said last.
async fn serve(shared: &Arc<Shared>, session: Session) {
    let running = tokio::spawn({
        let open = Open::new(shared);
        async move {
            let Open(shared) = &open;
            if let Err(error) = session.run(shared).await {
                tracing::debug!(%error, "a connection to NATS ended");
            }
        }
    });
    let before = lock(&shared.current).replace(running.abort_handle());
    if let Some(before) = before.filter(|before| !before.is_finished()) {
        tokio::time::sleep(LINGER).await;
        before.abort();
    }
}

/// What it guards is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The one connection of a process to NATS.
//!
//! The client library hears its server through a relay of ours, which makes sure that it can read what it hears.
//!
//! The first connect is bounded and says what to do; after that the client reconnects for ever. Hosts and operators
//! connect to the account that has the streams; publishers also to their tenant's own, which has none.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, jetstream};
use bytes::Bytes;
use futures::StreamExt as _;
use saggar_relay::Relay;
use tokio::sync::watch;

use crate::Fault;
use crate::api::{ADMIN_TIMEOUT, RequestError, code};
use crate::clock::Clock;
use crate::connect_options::{options, relay_settings};
use crate::denials::{DENIED_PUBLISH, Denials};
use crate::target::Target;
use crate::version::{OLDEST, ServerVersion};

/// How long the first connect may take: a server that answers does so in milliseconds, and a person waits.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to NATS. Clones share it.
#[derive(Clone)]
pub struct Nats {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    relay: Arc<Relay>,
    jetstream: jetstream::Context,
    address: String,
    version: ServerVersion,
    clock: Clock,
    /// Where answers arrive.
    inbox: String,
    denials: Denials,
    is_tenants: AtomicBool,
    /// How often the connection came up, the first time included. The client's event task holds the other end.
    connects: watch::Receiver<u64>,
}

impl std::fmt::Debug for Nats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nats").field("address", &self.shared.address).finish_non_exhaustive()
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers there.
    #[error(
        "cannot reach NATS at {address} ({source_of_address}): {reason}. Start a server there, or name another with \
         NATS_URL"
    )]
    Unreachable {
        /// The addresses tried.
        address: String,
        /// Who named them.
        source_of_address: String,
        /// What went wrong.
        reason: String,
    },
    /// The server refuses who we are.
    #[error("NATS at {address} refuses these credentials: {reason}. Check NATS_CREDS or the nats context")]
    Denied {
        /// The addresses tried.
        address: String,
        /// What the server said.
        reason: String,
    },
    /// A file with credentials or certificates cannot be used.
    #[error("{what} {path} cannot be used: {reason}")]
    Credentials {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server is older than what is used here.
    #[error("nats-server {found} at {address} is too old: upgrade it to {OLDEST} or later")]
    TooOld {
        /// The server.
        address: String,
        /// Its release.
        found: String,
    },
    /// The server or the account has no JetStream.
    #[error(
        "NATS at {address} has no JetStream for this account: start nats-server with `-js`, or enable JetStream for \
         the account"
    )]
    NoJetStream {
        /// The server.
        address: String,
    },
    /// The account has no JetStream.
    #[error(
        "this account has no JetStream at {address}, and its streams are not those of the hosts; use the credentials of \
         the hosts' account, or enable JetStream for this one, which `-js` does for the default account"
    )]
    NotThisAccount {
        /// The server.
        address: String,
    },
    /// JetStream was asked and gave no answer.
    #[error("JetStream at {address} cannot be used: {source}")]
    JetStream {
        /// The server.
        address: String,
        /// What happened.
        source: RequestError,
    },
}

impl ConnectError {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unreachable { .. } | Self::TooOld { .. } | Self::NoJetStream { .. } => Fault::Unavailable,
            Self::Denied { .. } | Self::NotThisAccount { .. } => Fault::Denied,
            Self::Credentials { .. } => Fault::Invalid,
            Self::JetStream { source, .. } => source.fault(),
        }
    }

    /// Whether a tenant's own account answers so: it has no JetStream, or its users may not even ask.
    fn is_tenants_account(&self) -> bool {
        match self {
            Self::NotThisAccount { .. } => true,
            // One that may not read its answers is of use for nothing.
            Self::JetStream { source: RequestError::Denied { what, .. }, .. } => *what == DENIED_PUBLISH,
            _ => false,
        }
    }
}

impl Nats {
    /// Connects, and makes sure that the server is one that can be used.
    ///
    /// `client_name` is what the server shows this connection as.
    ///
    /// # Errors
    /// No server answers within [`CONNECT_TIMEOUT`], it refuses us, is too old, or has no JetStream.
    pub async fn connect(target: &Target, client_name: &str) -> Result<Self, ConnectError> {
        let nats = Self::dial(target, client_name).await?;
        nats.check_jetstream().await?;
        Ok(nats)
    }

    /// Connects as [`Self::connect`], and also to a tenant's own account: it has no JetStream, and reaches what the
    /// hosts' account exports to it.
    ///
    /// # Errors
    /// As for [`Self::connect`].
    pub async fn connect_publisher(target: &Target, client_name: &str) -> Result<Self, ConnectError> {
        let nats = Self::dial(target, client_name).await?;
        match nats.check_jetstream().await {
            Err(error) if error.is_tenants_account() => {
                nats.shared.is_tenants.store(true, Ordering::Relaxed);
                Ok(nats)
            }
            checked => checked.map(|()| nats),
        }
    }

    async fn dial(target: &Target, client_name: &str) -> Result<Self, ConnectError> {
        let address = target.address();
        let unreachable = |reason: String| ConnectError::Unreachable {
            address: address.clone(),
            source_of_address: target.source.to_string(),
            reason,
        };
        let (connected, connects) = watch::channel(0);
        // Nobody else can guess it: in a shared account whoever reads `_INBOX.>` reads the payloads that a host pulls.
        let inbox = target
            .inbox_prefix
            .clone()
            .unwrap_or_else(|| format!("_INBOX_saggar_{:016x}", rand::random::<u64>()));
        let denials = Denials::default();
        let relay = Relay::start(relay_settings(target, client_name, &inbox)?).await;
        let relay = Arc::new(relay.map_err(|error| unreachable(error.to_string()))?);
        let options = options(target, relay.clone(), &inbox, connected, denials.clone()).await?;
        let connecting = options.connect(relay.address().to_string());
        let client = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => {
                let reason = with_causes(&error);
                return Err(match error.kind() {
                    ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                        ConnectError::Denied { address, reason }
                    }
                    _ => unreachable(relay.failure().unwrap_or(reason)),
                });
            }
            Err(_) => {
                let silent = || format!("no answer within {} s", CONNECT_TIMEOUT.as_secs());
                return Err(unreachable(relay.failure().unwrap_or_else(silent)));
            }
        };
        let info = client.server_info();
        let version = ServerVersion::read(&info.version)
            .filter(|version| version.is_supported())
            .ok_or_else(|| ConnectError::TooOld { address: address.clone(), found: info.version.clone() })?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(ADMIN_TIMEOUT);
        let (clock, is_tenants) = (Clock::default(), AtomicBool::new(false));
        let shared = Shared {
            client,
            relay,
            jetstream,
            address,
            version,
            clock,
            inbox,
            denials,
            is_tenants,
            connects,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    async fn check_jetstream(&self) -> Result<(), ConnectError> {
        let address = self.shared.address.clone();
        match self.ask::<serde_json::Value>("asking for JetStream", "INFO", &()).await {
            Ok(_) => Ok(()),
            Err(RequestError::NoResponders { .. }) => Err(ConnectError::NoJetStream { address }),
            Err(error) if error.code() == Some(code::NOT_ENABLED) => {
                Err(ConnectError::NoJetStream { address })
            }
            Err(error) if error.code() == Some(code::NOT_ENABLED_FOR_ACCOUNT) => {
                Err(ConnectError::NotThisAccount { address })
            }
            Err(source) => Err(ConnectError::JetStream { address, source }),
        }
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    pub(crate) fn denials(&self) -> &Denials {
        &self.shared.denials
    }

    pub(crate) fn inbox_prefix(&self) -> &str {
        &self.shared.inbox
    }

    /// Whether this is a tenant's own account: it reaches what the hosts' account exports to it, and no stream.
    #[must_use]
    pub fn is_tenants(&self) -> bool {
        self.shared.is_tenants.load(Ordering::Relaxed)
    }

    /// Whether the connection is up at this moment.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.client.connection_state() == State::Connected
    }

    /// The largest message the server takes, headers included, in bytes.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.shared.client.max_payload()
    }

    /// The release of the server that was connected to first.
    #[must_use]
    pub fn server_version(&self) -> ServerVersion {
        self.shared.version
    }

    /// What an operator should know about the server.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        self.shared.version.warning()
    }

    /// Where NATS is, without passwords.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.address
    }

    /// How often the connection has come up, as it changes. Whatever listens without being stored may have been
    /// missed before each change.
    #[must_use]
    pub fn connects(&self) -> watch::Receiver<u64> {
        self.shared.connects.clone()
    }

    /// Sends everything that waits to be sent, acknowledgements above all, and waits until the server has it: what it
    /// is told afterwards comes back. To be called before a process ends.
    ///
    /// # Errors
    /// The connection is down, and did not come back within `within`.
    pub async fn flush(&self, within: Duration) -> Result<(), RequestError> {
        const DOING: &str = "sending what waits";
        let client = &self.shared.client;
        let inbox = async_nats::Subject::from(client.new_inbox());
        let echoing = async {
            let closed = RequestError::Closed { doing: DOING };
            let mut echo = client.subscribe(inbox.clone()).await.map_err(|_| closed.clone())?;
            client.publish(inbox.clone(), Bytes::new()).await.map_err(|_| closed.clone())?;
            echo.next().await.map(|_| ()).ok_or(closed)
        };
        match self.answered(DOING, &inbox, within, pin!(echoing)).await {
            // It has read even that.
            Err(RequestError::Denied { .. }) => Ok(()),
            flushed => flushed,
        }
    }

    /// Sends what waits, then ends the connection for good, for all clones of this handle.
    pub async fn close(&self, within: Duration) {
        let Shared { client, relay, .. } = &*self.shared;
        let ending = async {
            // Draining only asks for it; what is asked afterwards is answered when it is done.
            client.drain().await.ok();
            client.flush().await.ok();
            relay.ended().await;
        };
        // Whether it could be ended in good order matters to nobody any more.
        tokio::time::timeout(within, ending).await.ok();
    }

    pub(crate) fn client(&self) -> &Client {
        &self.shared.client
    }

    pub(crate) fn jetstream(&self) -> &jetstream::Context {
        &self.shared.jetstream
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_without_a_server_is_named_with_what_to_do() {
        // A listener that is gone again: nobody answers on its port.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let target = Target::at(&format!("nats://127.0.0.1:{port}"));
        let error = Nats::connect(&target, "test").await.unwrap_err();
        assert_eq!(error.fault(), Fault::Unavailable);
        let text = error.to_string();
        assert!(text.contains(&port.to_string()) && text.contains("NATS_URL"), "{text}");
    }
}

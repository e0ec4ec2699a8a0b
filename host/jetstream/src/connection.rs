//! The one connection of a process to NATS.
//!
//! The first connect is bounded and says what to do; after that the client reconnects for ever. What the server
//! complains about, a missing permission above all, reaches nobody but the log: it comes without a request.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, jetstream};
use tokio::sync::watch;

use crate::Fault;
use crate::api::{ADMIN_TIMEOUT, RequestError, code};
use crate::clock::Clock;
use crate::target::{Identity, Target};
use crate::version::{OLDEST, ServerVersion};

/// How long the first connect may take: a server that answers does so in milliseconds, and a person waits.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest pause between two attempts to reconnect. Short, so that a restart of the server costs a second;
/// not shorter, so that a thousand hosts do not storm it.
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(1);

/// Commands that may wait for the connection's task: enough that tasks by the thousand never wait for room, little
/// enough that an outage does not fill the memory.
pub(crate) const COMMANDS_MAX: usize = 8192;

/// A connection to NATS. Clones share it.
#[derive(Clone)]
pub struct Nats {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    jetstream: jetstream::Context,
    address: String,
    version: ServerVersion,
    clock: Clock,
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
    /// JetStream was asked and gave no answer.
    #[error("JetStream at {address} does not answer: {source}")]
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
            Self::Denied { .. } => Fault::Denied,
            Self::Credentials { .. } => Fault::Invalid,
            Self::JetStream { source, .. } => source.fault(),
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
        let address = target.address();
        let unreachable = |reason: String| ConnectError::Unreachable {
            address: address.clone(),
            source_of_address: target.source.to_string(),
            reason,
        };
        let (connected, connects) = watch::channel(0);
        let options = options(target, client_name, connected).await?;
        let servers = target
            .servers
            .iter()
            .map(|server| server.parse())
            .collect::<Result<Vec<async_nats::ServerAddr>, _>>()
            .map_err(|error| unreachable(error.to_string()))?;
        let client = match tokio::time::timeout(CONNECT_TIMEOUT, options.connect(servers)).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => {
                let reason = with_causes(&error);
                return Err(match error.kind() {
                    ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                        ConnectError::Denied { address, reason }
                    }
                    _ => unreachable(reason),
                });
            }
            Err(_) => {
                return Err(unreachable(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs())));
            }
        };
        let info = client.server_info();
        let version = ServerVersion::read(&info.version)
            .filter(|version| version.is_supported())
            .ok_or_else(|| ConnectError::TooOld { address: address.clone(), found: info.version.clone() })?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(ADMIN_TIMEOUT);
        let nats = Self {
            shared: Arc::new(Shared {
                client,
                jetstream,
                address: address.clone(),
                version,
                clock: Clock::default(),
                connects,
            }),
        };
        nats.check_jetstream(address).await?;
        Ok(nats)
    }

    async fn check_jetstream(&self, address: String) -> Result<(), ConnectError> {
        match self.ask::<serde_json::Value>("asking for JetStream", "INFO", &()).await {
            Ok(_) => Ok(()),
            Err(RequestError::NoResponders { .. }) => Err(ConnectError::NoJetStream { address }),
            Err(error) if matches!(error.code(), Some(code::NOT_ENABLED | code::NOT_ENABLED_FOR_ACCOUNT)) => {
                Err(ConnectError::NoJetStream { address })
            }
            Err(source) => Err(ConnectError::JetStream { address, source }),
        }
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.shared.clock
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

    /// Sends everything that waits to be sent, acknowledgements above all. To be called before a process ends.
    ///
    /// # Errors
    /// The connection is down, and did not come back within `within`.
    pub async fn flush(&self, within: Duration) -> Result<(), RequestError> {
        const DOING: &str = "sending what waits";
        match tokio::time::timeout(within, self.shared.client.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(RequestError::Closed { doing: DOING }),
            Err(_) => Err(RequestError::TimedOut { doing: DOING, waited: within }),
        }
    }

    /// Sends what waits, then ends the connection for good, for all clones of this handle.
    pub async fn close(&self, within: Duration) {
        let client = &self.shared.client;
        let ending = async {
            // Draining only asks for it; what is asked afterwards is answered when it is done.
            client.drain().await.ok();
            client.flush().await.ok();
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

async fn options(
    target: &Target,
    client_name: &str,
    connected: watch::Sender<u64>,
) -> Result<ConnectOptions, ConnectError> {
    let unusable = |what, path: &std::path::Path, reason: String| ConnectError::Credentials {
        what,
        path: path.display().to_string(),
        reason,
    };
    let connected = Arc::new(connected);
    // Answers go to a prefix nobody else can guess: in a shared account whoever reads `_INBOX.>` reads the payloads
    // that a host pulls.
    let inbox = target
        .inbox_prefix
        .clone()
        .unwrap_or_else(|| format!("_INBOX_saggar_{:016x}", rand::random::<u64>()));
    let mut options = ConnectOptions::new()
        .name(client_name)
        .custom_inbox_prefix(inbox)
        .connection_timeout(CONNECT_TIMEOUT)
        .client_capacity(COMMANDS_MAX)
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(move |event| {
            note(&event, &connected);
            std::future::ready(())
        });
    options = match &target.identity {
        Identity::None => options,
        Identity::User(user, password) => options.user_and_password(user.clone(), password.clone()),
        Identity::Token(token) => options.token(token.clone()),
        Identity::Creds(path) => options
            .credentials_file(path)
            .await
            .map_err(|error| unusable("the credentials file", path, error.to_string()))?,
        Identity::NKey(path) => {
            let seed = tokio::fs::read_to_string(path)
                .await
                .map_err(|error| unusable("the key file", path, error.to_string()))?;
            options.nkey(seed.trim().to_owned())
        }
    };
    if let Some(ca) = &target.ca {
        std::fs::metadata(ca).map_err(|error| unusable("the file of authorities", ca, error.to_string()))?;
        options = options.add_root_certificates(ca.clone());
    }
    if let Some((certificate, key)) = &target.certificate {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

/// Doubles from 2 ms, then stays at the longest, shortened by up to a half so that hosts do not come in step.
fn reconnect_delay(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts).unwrap_or(u32::MAX).saturating_sub(1).min(20);
    if doublings == 0 {
        return Duration::ZERO;
    }
    let full = Duration::from_millis(1 << doublings).min(RECONNECT_DELAY_MAX);
    full.mul_f64(rand::random_range(0.5..=1.0))
}

fn note(event: &Event, connected: &watch::Sender<u64>) {
    match event {
        Event::Connected => {
            connected.send_modify(|count| *count += 1);
            tracing::debug!("connected to NATS");
        }
        Event::Disconnected => tracing::warn!("lost the connection to NATS; reconnecting"),
        Event::SlowConsumer(subscription) => {
            tracing::warn!(
                subscription,
                "messages from NATS were dropped: they arrive faster than they are read"
            );
        }
        Event::ServerError(error) => tracing::warn!(%error, "NATS complains"),
        Event::ClientError(error) => tracing::warn!(%error, "the NATS client complains"),
        Event::LameDuckMode => tracing::warn!("the NATS server is about to shut down"),
        Event::Draining | Event::Closed => tracing::debug!(%event, "the connection to NATS ends"),
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

    #[test]
    fn reconnecting_starts_at_once_and_never_waits_longer_than_a_second() {
        assert_eq!(reconnect_delay(1), Duration::ZERO);
        for attempts in 2..200 {
            let delay = reconnect_delay(attempts);
            assert!(delay > Duration::ZERO && delay <= RECONNECT_DELAY_MAX, "{attempts}: {delay:?}");
        }
    }

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

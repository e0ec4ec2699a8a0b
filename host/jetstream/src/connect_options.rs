//! How a connection is made and kept: credentials, certificates, reconnecting, and what becomes of the server's words
//! that answer no request.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{ConnectOptions, Event};
use saggar_relay::{Relay, Settings, TlsFiles};
use tokio::sync::watch;

use crate::connection::{CONNECT_TIMEOUT, ConnectError};
use crate::denials::Denials;
use crate::target::{Identity, Target};

/// The longest pause between two attempts to reconnect. Short, so that a restart of the server costs a second;
/// not shorter, so that a thousand hosts do not storm it.
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(1);

/// Commands that may wait for the connection's task: enough that tasks by the thousand never wait for room, little
/// enough that an outage does not fill the memory.
pub(crate) const COMMANDS_MAX: usize = 8192;

/// For a file with credentials or certificates.
fn unusable(what: &'static str, path: &Path, reason: String) -> ConnectError {
    ConnectError::Credentials { what, path: path.display().to_string(), reason }
}

/// Options for a connection through `relay`, whose answers arrive below `inbox`. The relay stays for as long as there is
/// anybody who could use the connection.
///
/// # Errors
/// A file that it needs cannot be used.
pub(crate) async fn options(
    target: &Target,
    relay: Arc<Relay>,
    inbox: &str,
    connected: watch::Sender<u64>,
    denials: Denials,
) -> Result<ConnectOptions, ConnectError> {
    let connected = Arc::new(connected);
    let mut options = ConnectOptions::new()
        .name(relay.secret())
        .custom_inbox_prefix(inbox.to_owned())
        .connection_timeout(CONNECT_TIMEOUT)
        .client_capacity(COMMANDS_MAX)
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(move |event| {
            let _while_connected = &relay;
            note(&event, &connected, &denials);
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
    Ok(options)
}

/// What the relay of a connection stands between: it knows the servers and does the handshakes.
///
/// # Errors
/// A file that it needs cannot be used.
pub(crate) fn relay_settings(
    target: &Target,
    client_name: &str,
    inbox: &str,
) -> Result<Settings, ConnectError> {
    if let Some(ca) = &target.ca {
        std::fs::metadata(ca).map_err(|error| unusable("the file of authorities", ca, error.to_string()))?;
    }
    Ok(Settings {
        servers: target.servers.clone(),
        tls: TlsFiles { authorities: target.ca.clone(), certificate: target.certificate.clone() },
        name: client_name.to_owned(),
        inboxes: inbox.to_owned(),
        patience: CONNECT_TIMEOUT,
    })
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

fn note(event: &Event, connected: &watch::Sender<u64>, denials: &Denials) {
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
        // Who has asked says it in its own words.
        Event::ServerError(error) if denials.note(error) => tracing::debug!(%error, "NATS refuses"),
        Event::ServerError(error) => tracing::warn!(%error, "NATS complains"),
        Event::ClientError(error) => tracing::warn!(%error, "the NATS client complains"),
        Event::LameDuckMode => tracing::warn!("the NATS server is about to shut down"),
        Event::Draining | Event::Closed => tracing::debug!(%event, "the connection to NATS ends"),
    }
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
}

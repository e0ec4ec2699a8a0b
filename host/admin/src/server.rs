//! The listener, and the task that serves it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use prometheus_client::registry::Registry;
use saggar_model::Health;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::routes::routes;

/// The address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for health and metrics: {error}; choose another address with admin.listen"
)]
pub struct AdminError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub error: io::Error,
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl AdminServer {
    /// Where it listens; the port is a real one even if 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Begins to serve.
///
/// # Errors
/// The address is taken or not this machine's.
pub async fn serve(
    listen: SocketAddr,
    health: impl Fn() -> Health + Send + Sync + 'static,
    registry: Arc<Registry>,
) -> Result<AdminServer, AdminError> {
    let fail = |error| AdminError { address: listen, error };
    let listener = TcpListener::bind(listen).await.map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    let routes = routes(Arc::new(health), registry);
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "health and metrics are no longer served");
        }
    });
    Ok(AdminServer { address, task })
}

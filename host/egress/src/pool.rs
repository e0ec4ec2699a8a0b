//! Connections that wait for the next request of the same tenant, grant and host.
//!
//! The grant itself is part of the key: a changed grant finds nothing of the old one's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use saggar_model::{HttpGrant, HttpHost, TenantName};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use crate::bounds::pool::{AGE, IDLE, PER_KEY, TOTAL};
use crate::connection::Connection;

/// Who may use a connection, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) tenant: TenantName,
    pub(crate) grant: HttpGrant,
    pub(crate) tls: bool,
    pub(crate) host: HttpHost,
    pub(crate) port: u16,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Idle {
    fn is_usable(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < IDLE
            && now.saturating_duration_since(self.connection.opened) < AGE
            && !self.connection.sender.is_closed()
    }
}

/// The idle connections of a host. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Pool(Arc<Inner>);

#[derive(Default)]
struct Inner {
    idle: Mutex<HashMap<Key, Vec<Idle>>>,
    /// Somebody closes what has waited too long, for as long as anything waits.
    swept: AtomicBool,
}

impl Pool {
    /// A connection that waits for such a request.
    pub(crate) fn take(&self, key: &Key) -> Option<Connection> {
        let now = Instant::now();
        let mut idle = self.lock();
        let waiting = idle.get_mut(key)?;
        let found = std::iter::from_fn(|| waiting.pop()).find(|idle| idle.is_usable(now));
        if waiting.is_empty() {
            idle.remove(key);
        }
        found.map(|idle| idle.connection)
    }

    /// Takes a connection that has brought a whole response, as soon as the other end is ready for more.
    pub(crate) fn give_back(&self, key: Key, mut connection: Connection) {
        // Without a runtime nobody could use it again.
        let Ok(runtime) = Handle::try_current() else { return };
        if connection.sender.is_ready() {
            return self.put(&runtime, key, connection);
        }
        let pool = self.clone();
        runtime.clone().spawn(async move {
            if let Ok(Ok(())) = timeout(IDLE, connection.sender.ready()).await {
                pool.put(&runtime, key, connection);
            }
        });
    }

    fn put(&self, runtime: &Handle, key: Key, connection: Connection) {
        let mut idle = self.lock();
        if idle.values().map(Vec::len).sum::<usize>() >= TOTAL {
            return;
        }
        let waiting = idle.entry(key).or_default();
        if waiting.len() < PER_KEY {
            waiting.push(Idle { connection, since: Instant::now() });
        }
        drop(idle);
        if !self.0.swept.swap(true, Ordering::AcqRel) {
            runtime.spawn(self.clone().sweep());
        }
    }

    /// Closes what has waited too long, until nothing waits.
    async fn sweep(self) {
        loop {
            sleep(IDLE).await;
            let now = Instant::now();
            let mut idle = self.lock();
            idle.retain(|_, waiting| {
                waiting.retain(|idle| idle.is_usable(now));
                !waiting.is_empty()
            });
            if idle.is_empty() {
                // Under the lock, so that whatever comes next finds nobody at work and sends for somebody.
                self.0.swept.store(false, Ordering::Release);
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<Idle>>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

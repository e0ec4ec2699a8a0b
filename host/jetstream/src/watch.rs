//! Watching the tenants' records.
//!
//! The watch outlives restarts of NATS: whenever it may have missed something it starts over, and passes on only
//! what is new to its caller.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::consumer::push;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, ReplayPolicy};
use futures::{Stream, StreamExt as _};
use saggar_model::TenantName;
use tokio::sync::{mpsc, watch};

use crate::Nats;
use crate::bucket::{Entry, OPERATION};
use crate::tenants::{TenantEntry, Tenants, TenantsError, read};

/// How often the server says that nothing is new. Twice that in silence, and the watch starts over.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long to wait before starting over when starting over failed.
const PAUSE: Duration = Duration::from_millis(500);

/// What may wait for the caller to look at it; the watch itself waits when it is more.
const CHANGES_MAX: usize = 256;

/// Something happened to the tenants' records.
#[derive(Debug, Clone, PartialEq)]
pub enum TenantChange {
    /// A record is new or was changed.
    Put(Box<TenantEntry>),
    /// A record was removed.
    Removed(TenantName),
    /// All records there were when the watch began, or began again, have been passed on.
    UpToDate,
}

impl Tenants {
    /// All records, then [`TenantChange::UpToDate`], then changes as they happen, for ever.
    ///
    /// A record that cannot be read is an `Err`, and the watch goes on; so is a NATS that does not answer, about
    /// twice a second until it does. Nothing is passed on twice, and of changes in quick succession perhaps only the
    /// last. Dropping the stream ends the watch.
    pub fn watch(&self) -> impl Stream<Item = Result<TenantChange, TenantsError>> + Send + Unpin + use<> {
        let (changes, mut caller) = mpsc::channel(CHANGES_MAX);
        let watcher = Watcher { tenants: self.clone(), known: HashMap::new(), changes };
        tokio::spawn(watcher.run());
        futures::stream::poll_fn(move |cx| caller.poll_recv(cx))
    }
}

/// The caller is gone.
struct Gone;

/// The task behind a watch.
struct Watcher {
    tenants: Tenants,
    /// Revision of what was passed on last, by key.
    known: HashMap<String, u64>,
    /// The caller holds the other end.
    changes: mpsc::Sender<Result<TenantChange, TenantsError>>,
}

impl Watcher {
    async fn run(mut self) {
        let mut connects = self.tenants.bucket.nats().connects();
        let gone = self.changes.clone();
        loop {
            connects.borrow_and_update();
            let over = tokio::select! {
                over = self.follow(&mut connects) => over,
                () = gone.closed() => return,
            };
            match over {
                Ok(()) => {}
                Err(Over::Gone) => return,
                Err(Over::Failed(error)) => {
                    if self.changes.send(Err(error)).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Reads everything, then follows the changes until something may have been missed.
    async fn follow(&mut self, connects: &mut watch::Receiver<u64>) -> Result<(), Over> {
        let bucket = self.tenants.bucket.clone();
        // The listening begins before the reading, so that nothing falls between.
        let mut messages =
            listen(bucket.nats(), &bucket.stream, &bucket.prefix).await.map_err(Over::Failed)?;
        let entries = bucket.list("listing the tenants", ">").await.map_err(TenantsError::from)?;
        let gone: Vec<String> = self
            .known
            .keys()
            .filter(|key| !entries.iter().any(|entry| entry.key == **key))
            .cloned()
            .collect();
        for key in gone {
            self.removed(&key).await?;
        }
        for entry in entries {
            self.pass_on(&entry).await?;
        }
        self.send(Ok(TenantChange::UpToDate)).await?;
        loop {
            let message = tokio::select! {
                message = messages.next() => message,
                _ = connects.changed() => return Ok(()),
            };
            let Some(Ok(message)) = message else { return Ok(()) };
            let (Some(key), Ok(info)) = (message.subject.strip_prefix(&bucket.prefix), message.info()) else {
                continue;
            };
            let operation = message.headers.as_ref().and_then(|headers| headers.get(OPERATION));
            let entry = Entry {
                key: key.to_owned(),
                value: message.payload.clone(),
                revision: info.stream_sequence,
                removed: operation.is_some_and(|operation| operation.as_str() != "PUT"),
            };
            self.pass_on(&entry).await?;
        }
    }

    async fn pass_on(&mut self, entry: &Entry) -> Result<(), Gone> {
        if self.known.get(&entry.key).is_some_and(|known| *known >= entry.revision) {
            return Ok(());
        }
        if entry.removed {
            return self.removed(&entry.key).await;
        }
        self.known.insert(entry.key.clone(), entry.revision);
        self.send(read(entry).map(|entry| TenantChange::Put(Box::new(entry)))).await
    }

    async fn removed(&mut self, key: &str) -> Result<(), Gone> {
        match (self.known.remove(key), key.parse()) {
            (Some(_), Ok(tenant)) => self.send(Ok(TenantChange::Removed(tenant))).await,
            _ => Ok(()),
        }
    }

    async fn send(&self, change: Result<TenantChange, TenantsError>) -> Result<(), Gone> {
        self.changes.send(change).await.map_err(|_| Gone)
    }
}

/// Why following is over.
enum Over {
    Gone,
    Failed(TenantsError),
}

impl From<Gone> for Over {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<TenantsError> for Over {
    fn from(error: TenantsError) -> Self {
        Self::Failed(error)
    }
}

/// The writes to come, from a consumer that lives as long as it is listened to.
async fn listen(nats: &Nats, stream: &str, prefix: &str) -> Result<push::Messages, TenantsError> {
    let doing = "watching the tenants";
    let config = push::Config {
        deliver_subject: nats.client().new_inbox(),
        filter_subject: format!("{prefix}>"),
        deliver_policy: DeliverPolicy::New,
        ack_policy: AckPolicy::None,
        replay_policy: ReplayPolicy::Instant,
        idle_heartbeat: HEARTBEAT,
        inactive_threshold: 6 * HEARTBEAT,
        memory_storage: true,
        num_replicas: 1,
        max_deliver: 1,
        ..push::Config::default()
    };
    let failed = |reason: String| TenantsError::Request(crate::RequestError::Unreadable { doing, reason });
    let consumer = nats.jetstream().create_consumer_on_stream(config, stream).await.map_err(|error| {
        use async_nats::jetstream::stream::ConsumerErrorKind;
        match error.kind() {
            ConsumerErrorKind::TimedOut => TenantsError::Request(crate::RequestError::TimedOut {
                doing,
                waited: crate::api::ADMIN_TIMEOUT,
            }),
            _ => TenantsError::Request(crate::RequestError::NoResponders { doing }),
        }
    })?;
    consumer.messages().await.map_err(|error| failed(error.to_string()))
}

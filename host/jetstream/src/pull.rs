//! Taking tasks out of a queue, as many as can be started and no more.
//!
//! A pull is one request with an end: by the server's clock, and by ours should the server's answer get lost, so that
//! no pull can go deaf. Each has an inbox of its own; its messages cannot be mistaken for another's.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use async_nats::Subscriber;
use futures::{FutureExt as _, Stream, StreamExt as _};
use saggar_model::{QueueName, Subjects, TenantName};
use tokio::time::Sleep;

use crate::api::RequestError;
use crate::delivery::{Delivery, Place};
use crate::layout::PUMP;
use crate::plugins::unix_ms;
use crate::{Fault, Nats};

/// What we wait longer than the server said it would: a slow answer, not a lost one.
pub const GUARD: Duration = Duration::from_secs(2);

/// How long [`PullMode::Now`] lets the server look. Without any end at all, a queue whose concurrency is used up
/// gives no answer whatever.
const NOW: Duration = Duration::from_millis(5);

/// The most that one pull brings, in bytes: a server that has more than 64 MB to send to a client drops it, and some
/// pulls may stand at once.
pub(crate) const BYTES_MAX: usize = 8 << 20;

/// When a pull is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullMode {
    /// As soon as what is there has come.
    Now,
    /// As soon as what is there has come; if nothing is there, wait for the first.
    Wait,
    /// When it is full, or its time is over. What is published meanwhile comes without another request.
    Fill,
}

/// A queue to take tasks from. Making one asks nothing of the server, but for [`TaskQueue::open`].
#[derive(Debug, Clone)]
pub struct TaskQueue {
    nats: Nats,
    tenant: TenantName,
    queue: QueueName,
    request: async_nats::Subject,
    stream: std::sync::Arc<str>,
    created_ms: u64,
    /// When its consumer was made, perhaps anew after somebody had deleted it.
    bound_at: SystemTime,
}

/// Why nothing can be pulled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PullError {
    /// The queue, its tenant or its stream was removed. A new [`TaskQueue::open`] tells whether it is back.
    #[error("queue {queue} of tenant {tenant} is gone")]
    Gone {
        /// The tenant.
        tenant: TenantName,
        /// The queue.
        queue: QueueName,
    },
    /// The server ended the pull for a reason of its own.
    #[error("queue {queue} of tenant {tenant} cannot be pulled from: {reason}")]
    Refused {
        /// The tenant.
        tenant: TenantName,
        /// The queue.
        queue: QueueName,
        /// The server's words.
        reason: String,
    },
    /// The server did not say that the pull is over when it should have. A new pull usually helps.
    #[error("queue {queue} of tenant {tenant}: NATS did not end a pull in time")]
    Deaf {
        /// The tenant.
        tenant: TenantName,
        /// The queue.
        queue: QueueName,
    },
    /// NATS refused or did not answer.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl PullError {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Gone { .. } => Fault::NotFound,
            Self::Refused { .. } | Self::Deaf { .. } => Fault::Unavailable,
            Self::Request(error) => error.fault(),
        }
    }
}

/// How a queue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueDepth {
    /// Tasks that wait.
    pub pending: u64,
    /// Tasks that hosts have, those that wait for their next attempt included.
    pub running: u64,
    /// Pulls that stand.
    pub pulls: u64,
    /// An operator paused it.
    pub paused: bool,
    /// Deliveries so far, to anybody.
    pub delivered: u64,
}

/// What the server says when the next message does not fit into the bytes that were asked for.
const FULL: &str = "MaxBytes";

/// What the server says when it has taken as many messages out of the queue as were asked for. In a cluster it says so
/// at once, while the messages wait for the other replicas.
const COMPLETE: &str = "Batch Completed";

/// How many of the messages that were asked for will not come, when the server ends a pull.
const NOT_COMING: &str = "Nats-Pending-Messages";

const PULLING: &str = "pulling tasks";

impl TaskQueue {
    /// Finds a tenant's queue.
    ///
    /// # Errors
    /// [`PullError::Gone`] if it has no consumer; NATS does not answer.
    pub async fn open(nats: &Nats, tenant: &TenantName, queue: &QueueName) -> Result<Self, PullError> {
        let stream = Subjects::of(tenant).tasks_stream();
        let gone = |error: RequestError| {
            if error.is_not_found() {
                PullError::Gone { tenant: tenant.clone(), queue: queue.clone() }
            } else {
                error.into()
            }
        };
        let info = nats.stream_info(&stream).await.map_err(gone)?;
        let consumer = nats.consumer_info(&stream, queue.as_str()).await.map_err(gone)?;
        Ok(Self {
            nats: nats.clone(),
            tenant: tenant.clone(),
            queue: queue.clone(),
            request: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{queue}").into(),
            stream: stream.into(),
            created_ms: unix_ms(info.created.into()),
            bound_at: consumer.created.into(),
        })
    }

    /// What is due of a tenant's timers, as a queue to take from.
    ///
    /// # Panics
    /// Never: the consumer's name is one that a queue can have.
    #[must_use]
    pub fn due(nats: &Nats, tenant: &TenantName) -> Self {
        let stream = Subjects::of(tenant).timers_stream();
        Self {
            nats: nats.clone(),
            tenant: tenant.clone(),
            queue: PUMP.parse().expect("it is a name"),
            request: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{PUMP}").into(),
            stream: stream.into(),
            created_ms: 0,
            bound_at: SystemTime::UNIX_EPOCH,
        }
    }

    /// Whose queue it is.
    #[must_use]
    pub fn tenant(&self) -> &TenantName {
        &self.tenant
    }

    /// What it is called.
    #[must_use]
    pub fn queue(&self) -> &QueueName {
        &self.queue
    }

    pub(crate) fn nats(&self) -> &Nats {
        &self.nats
    }

    pub(crate) fn stream(&self) -> &str {
        &self.stream
    }

    /// When the stream was made that the queue's sequences count in, in Unix milliseconds: for
    /// [`saggar_model::TaskId::from_sequence`].
    #[must_use]
    pub fn stream_created_ms(&self) -> u64 {
        self.created_ms
    }

    /// Whether the queue's consumer was made after this moment. It then counts deliveries from 1 again, whatever a
    /// task published before has been through.
    #[must_use]
    pub fn is_younger_than(&self, published: SystemTime) -> bool {
        published < self.bound_at
    }

    /// How the queue stands. Asks the server, so not for every task: a delivery carries the pending count.
    ///
    /// # Errors
    /// The queue is gone, or NATS does not answer.
    pub async fn depth(&self) -> Result<QueueDepth, PullError> {
        let info = self
            .nats
            .consumer_info(&self.stream, self.queue.as_str())
            .await
            .map_err(|error| if error.is_not_found() { self.gone() } else { error.into() })?;
        Ok(QueueDepth {
            pending: info.num_pending,
            running: info.num_ack_pending as u64,
            pulls: info.num_waiting as u64,
            paused: info.paused,
            delivered: info.delivered.consumer_sequence,
        })
    }

    /// Asks for up to `batch` tasks, at least one, for no longer than `expires`.
    ///
    /// # Errors
    /// The request could not be sent. What the server thinks of it comes out of the [`Pull`].
    pub async fn pull(&self, batch: usize, mode: PullMode, expires: Duration) -> Result<Pull, PullError> {
        let batch = batch.max(1);
        let expires = match mode {
            PullMode::Now => NOW,
            PullMode::Wait | PullMode::Fill => expires.max(NOW),
        };
        let nanos = expires.as_nanos();
        let bytes = BYTES_MAX.max(2 * self.nats.max_payload());
        let body = match mode {
            PullMode::Now | PullMode::Wait => {
                format!("{{\"batch\":{batch},\"max_bytes\":{bytes},\"expires\":{nanos},\"no_wait\":true}}")
            }
            PullMode::Fill => format!("{{\"batch\":{batch},\"max_bytes\":{bytes},\"expires\":{nanos}}}"),
        };
        let guard = expires + GUARD;
        let client = self.nats.client();
        let asking = async {
            let closed = RequestError::Closed { doing: PULLING };
            let inbox = async_nats::Subject::from(client.new_inbox());
            let messages = client.subscribe(inbox.clone()).await.map_err(|_| closed.clone())?;
            client.publish_with_reply(self.request.clone(), inbox, body.into()).await.map_err(|_| closed)?;
            Ok(messages)
        };
        let timed_out = RequestError::TimedOut { doing: PULLING, waited: guard };
        let messages = tokio::time::timeout(guard, asking).await.unwrap_or(Err(timed_out))?;
        Ok(Pull {
            queue: self.clone(),
            messages: Some(messages),
            left: batch,
            full: false,
            guard: Box::pin(tokio::time::sleep(guard)),
        })
    }

    pub(crate) fn gone(&self) -> PullError {
        PullError::Gone { tenant: self.tenant.clone(), queue: self.queue.clone() }
    }

    fn refused(&self, reason: &str) -> PullError {
        let (tenant, queue) = (self.tenant.clone(), self.queue.clone());
        PullError::Refused { tenant, queue, reason: saggar_model::escape_and_cut(reason, 256) }
    }
}

/// The tasks that one pull brings: a stream that ends by itself. An `Err` is its last item.
///
/// Dropping it ends the pull. A task that was under way at that moment is delivered again after
/// [`crate::ACK_WAIT`]; [`Pull::cancel`] catches those that have arrived, and to miss none at all, let the pull end
/// by itself.
#[derive(Debug)]
pub struct Pull {
    queue: TaskQueue,
    /// Nothing once the pull is over.
    messages: Option<Subscriber>,
    /// How many tasks may still come.
    left: usize,
    /// It brought as many bytes as one may.
    full: bool,
    guard: Pin<Box<Sleep>>,
}

impl Pull {
    /// Whether it ended because of the size of what it brought, so that there is more.
    #[must_use]
    pub fn was_full(&self) -> bool {
        self.full
    }

    /// Ends the pull, and gives what had come. A task that is on its way from the server may be missed.
    pub async fn cancel(mut self) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        let Some(mut messages) = self.messages.take() else { return deliveries };
        let nats = self.queue.nats.clone();
        // Draining closes the inbox at the server, then passes on what has arrived.
        let collecting = async {
            if messages.drain().await.is_err() {
                return;
            }
            while let Some(message) = messages.next().await {
                if let Some(place) = Place::of(&message) {
                    deliveries.push(Delivery::new(&nats, message, place));
                }
            }
        };
        // Without a connection there is nothing under way that could still arrive.
        tokio::time::timeout(GUARD, collecting).await.ok();
        deliveries
    }

    fn over(&mut self) -> Poll<Option<Result<Delivery, PullError>>> {
        self.messages = None;
        Poll::Ready(None)
    }

    fn failed(&mut self, error: PullError) -> Poll<Option<Result<Delivery, PullError>>> {
        self.messages = None;
        Poll::Ready(Some(Err(error)))
    }

    /// What a word of the server's means for the pull; nothing if it goes on.
    fn ended(&self, status: u16, description: &str) -> Option<Result<(), PullError>> {
        match status {
            // A heartbeat.
            100 => None,
            // Nothing there; time over.
            404 | 408 => Some(Ok(())),
            409 if description.contains("Consumer Deleted") => Some(Err(self.queue.gone())),
            409 if description.contains(FULL) || description.contains(COMPLETE) => Some(Ok(())),
            // The leader moved or the server shuts down: ask again.
            409 if description.contains("Leadership Change") || description.contains("Server Shutdown") => {
                Some(Ok(()))
            }
            503 => Some(Err(self.queue.gone())),
            _ => Some(Err(self.queue.refused(&format!("{status} {description}")))),
        }
    }
}

/// How many messages the server says that it owes and will not send; nothing if it does not say.
fn not_coming(message: &async_nats::Message) -> Option<usize> {
    message.headers.as_ref()?.get(NOT_COMING)?.as_str().parse().ok()
}

impl Stream for Pull {
    type Item = Result<Delivery, PullError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.left == 0 {
                return self.over();
            }
            let Some(messages) = self.messages.as_mut() else { return Poll::Ready(None) };
            let message = match messages.poll_next_unpin(cx) {
                Poll::Ready(Some(message)) => message,
                Poll::Ready(None) => {
                    return self.failed(RequestError::Closed { doing: PULLING }.into());
                }
                // The guard comes second: what has arrived is passed on however late it is asked for.
                Poll::Pending if self.guard.poll_unpin(cx).is_ready() => {
                    let (tenant, queue) = (self.queue.tenant.clone(), self.queue.queue.clone());
                    return self.failed(PullError::Deaf { tenant, queue });
                }
                Poll::Pending => return Poll::Pending,
            };
            // A task is told by its reply subject. What its publisher gave it for a status the relay has taken away.
            if let Some(place) = Place::of(&message) {
                self.left -= 1;
                return Poll::Ready(Some(Ok(Delivery::new(&self.queue.nats, message, place))));
            }
            let status = message.status.map_or(0, u16::from);
            self.full = message.description.as_deref().is_some_and(|said| said.contains(FULL));
            match self.ended(status, message.description.as_deref().unwrap_or_default()) {
                None => {}
                Some(Ok(())) => match not_coming(&message) {
                    // The rest is on its way, behind the word that there is no more of it.
                    Some(not_coming) if not_coming < self.left => self.left -= not_coming,
                    _ => return self.over(),
                },
                Some(Err(error)) => return self.failed(error),
            }
        }
    }
}

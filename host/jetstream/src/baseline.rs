//! The least a worker on NATS does for a task, on the client library alone: pull, publish a result, acknowledge.
//!
//! It is the limit that a benchmark holds a host against. It keeps no promise of Saggar's but one, a single result per
//! task: it runs nothing, checks nothing, writes no receipt, keeps no lease, and ends at its first error.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Message};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use saggar_model::{NAMELESS, QueueName, Subjects, TenantName};
use tokio::task::JoinSet;

use crate::pull::BYTES_MAX;

/// How long a request of the loop stands.
const STAND: Duration = Duration::from_secs(30);

/// The loop could not be started.
#[derive(Debug, thiserror::Error)]
#[error("the raw loop cannot start: {0}")]
pub struct RawLoopError(String);

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The loop, at work on any number of queues through one connection. Dropping it ends it.
#[derive(Debug)]
pub struct RawLoop {
    client: async_nats::Client,
    settled: Arc<AtomicU64>,
    /// One for each queue; they end with it.
    queues: JoinSet<Result<(), Failed>>,
}

impl RawLoop {
    /// Starts to work on `queues` with up to `in_flight` tasks of each at once.
    ///
    /// # Errors
    /// The server does not answer, or a queue does not exist.
    pub async fn start(
        url: &str,
        queues: impl IntoIterator<Item = (TenantName, QueueName)>,
        in_flight: usize,
    ) -> Result<Self, RawLoopError> {
        let failed = |error: &dyn std::error::Error| RawLoopError(error.to_string());
        let client = async_nats::ConnectOptions::new()
            .client_capacity(crate::connect_options::COMMANDS_MAX)
            .connect(url)
            .await
            .map_err(|error| failed(&error))?;
        let jetstream = jetstream::new(client.clone());
        let settled = Arc::new(AtomicU64::new(0));
        let mut found: Vec<(PullConsumer, String)> = Vec::new();
        for (tenant, queue) in queues {
            let stream = Subjects::of(&tenant).tasks_stream();
            let consumer = jetstream
                .get_consumer_from_stream(queue.as_str(), stream)
                .await
                .map_err(|error| failed(&error))?;
            found.push((consumer, format!("saggar.{tenant}.result.{queue}")));
        }
        // Nothing is worked on before all are found, or the first would be empty by then.
        let mut tasks = JoinSet::new();
        for (consumer, results) in found {
            tasks.spawn(work(jetstream.clone(), consumer, results, in_flight.max(1), settled.clone()));
        }
        Ok(Self { client, settled, queues: tasks })
    }

    /// How many tasks have been acknowledged.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }

    /// Ends it, and its connection.
    pub async fn end(mut self) {
        self.queues.shutdown().await;
        // Whether it could be ended in good order matters to nobody any more.
        let _ = self.client.drain().await;
    }

    /// Whether a queue is no longer worked on, because of an error.
    #[must_use]
    pub fn has_failed(&mut self) -> bool {
        self.queues.try_join_next().is_some()
    }
}

/// Hears of a tenant's results as they are published, the way any client can: a hint, for what is heard may not be
/// stored yet.
#[derive(Debug)]
pub struct ResultListener {
    results: async_nats::Subscriber,
}

impl ResultListener {
    /// Starts to listen, with a connection of its own. When this returns, nothing more is missed.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn start(url: &str, tenant: &TenantName) -> Result<Self, RawLoopError> {
        let listening = async {
            let client = async_nats::connect(url).await?;
            let results = client.subscribe(Subjects::of(tenant).results()).await?;
            client.flush().await?;
            Ok(Self { results })
        };
        listening.await.map_err(|error: Failed| RawLoopError(error.to_string()))
    }

    /// The id of the next task whose result is heard; nothing once the connection is closed.
    pub async fn next(&mut self) -> Option<String> {
        let result = self.results.next().await?;
        result.subject.rsplit('.').next().map(str::to_owned)
    }
}

async fn work(
    jetstream: jetstream::Context,
    consumer: PullConsumer,
    results: String,
    in_flight: usize,
    settled: Arc<AtomicU64>,
) -> Result<(), Failed> {
    let mut messages = consumer
        .stream()
        .max_messages_per_batch(in_flight)
        .max_bytes_per_batch(BYTES_MAX)
        .expires(STAND)
        .messages()
        .await?;
    let mut settling = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(done) = settling.next() => {
                let () = done?;
                settled.fetch_add(1, Ordering::Relaxed);
            }
            Some(message) = messages.next(), if settling.len() < in_flight => {
                settling.push(settle(&jetstream, &results, message?));
            }
        }
    }
}

async fn settle(jetstream: &jetstream::Context, results: &str, message: Message) -> Result<(), Failed> {
    let id = match message.subject.rsplit('.').next() {
        Some(id) if id != NAMELESS => id.to_owned(),
        _ => format!("seq-{}", message.info()?.stream_sequence),
    };
    let result = PublishMessage::build().payload(message.payload.clone()).expected_last_subject_sequence(0);
    jetstream.send_publish(format!("{results}.{id}"), result).await?.await?;
    message.ack().await
}

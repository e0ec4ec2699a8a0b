//! A nats-server, a connection and a tenant for one test.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use saggar_jetstream::{
    Delivery, LocalServer, Nats, NewTask, Provisioner, Published, PullMode, StartOptions, Target, TaskQueue,
    Tasks,
};
use saggar_model::{
    Allowance, Ending, Failure, Outcome, Output, QueueName, QueueSpec, Quota, Receipt, TaskId, TaskRef,
    TaskResult, TenantName, TenantRecord, TenantSpec,
};

/// Longer than anything here takes, shorter than anybody's patience.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct World {
    pub server: LocalServer,
    pub nats: Nats,
}

impl World {
    pub async fn new() -> Self {
        Self::with(StartOptions::default()).await
    }

    pub async fn with(options: StartOptions) -> Self {
        let server = LocalServer::start(options).await.expect("a nats-server is needed");
        let nats = Nats::connect(&Target::at(&server.url()), "test").await.expect("it answers");
        Provisioner::new(&nats, 1).ensure_common().await.expect("what all share can be made");
        Self { server, nats }
    }

    /// Tenant `acme` with a queue `work` of this concurrency.
    pub async fn with_queue(concurrency: u32) -> Self {
        let world = Self::new().await;
        world
            .provisioner()
            .ensure_tenant(&record(&[("work", concurrency)]))
            .await
            .expect("a tenant can be made");
        world
    }

    pub fn provisioner(&self) -> Provisioner {
        Provisioner::new(&self.nats, 1)
    }

    /// Another connection, as another host or an outsider would have it.
    pub async fn client(&self) -> async_nats::Client {
        async_nats::connect(self.server.url()).await.expect("it answers")
    }

    pub async fn publish(&self, task: NewTask) -> Published {
        Tasks::new(&self.nats).publish(&acme(), &work(), task).await.expect("the task is taken")
    }

    /// How many messages a stream holds.
    pub async fn nats_messages(&self, stream: &str) -> u64 {
        let context = async_nats::jetstream::new(self.client().await);
        let mut stream = context.get_stream(stream).await.expect("the stream is there");
        stream.info().await.expect("it answers").state.messages
    }

    /// Publishes `count` tasks without ids.
    pub async fn publish_many(&self, count: usize) {
        for number in 0..count {
            self.publish(NewTask { payload: number.to_string().into(), ..NewTask::default() }).await;
        }
    }

    pub async fn queue(&self) -> TaskQueue {
        TaskQueue::open(&self.nats, &acme(), &work()).await.expect("the queue is there")
    }

    /// What one pull brings.
    pub async fn pull(&self, batch: usize, mode: PullMode, expires: Duration) -> Vec<Delivery> {
        let pull = self.queue().await.pull(batch, mode, expires).await.expect("the pull can be sent");
        let deliveries = tokio::time::timeout(PATIENCE, pull.collect::<Vec<_>>()).await.expect("a pull ends");
        deliveries.into_iter().map(|delivery| delivery.expect("a pull ends well")).collect()
    }
}

pub fn acme() -> TenantName {
    "acme".parse().unwrap()
}

pub fn work() -> QueueName {
    "work".parse().unwrap()
}

pub fn id(text: &str) -> TaskId {
    text.parse().unwrap()
}

pub fn record(queues: &[(&str, u32)]) -> TenantRecord {
    let queue = |concurrency| QueueSpec { concurrency, ..QueueSpec::new("hello@1".parse().unwrap()) };
    let spec = TenantSpec {
        name: acme(),
        weight: 1,
        quota: Quota {
            payloads: 64 << 20,
            tasks: 1000,
            bytes: 64 << 20,
            results: 64 << 20,
            dead: 4 << 20,
            kv: 2 << 20,
            blobs: 4 << 20,
            checkpoints: 2 << 20,
        },
        allowance: Allowance::default(),
        queues: queues
            .iter()
            .map(|(name, concurrency)| (name.parse().unwrap(), queue(*concurrency)))
            .collect(),
        schedules: [].into(),
    };
    TenantRecord::new(spec, [].into())
}

pub fn named(name: &str, payload: &'static str) -> NewTask {
    NewTask { id: Some(id(name)), payload: Bytes::from_static(payload.as_bytes()), ..NewTask::default() }
}

pub fn succeeded(name: &str, sequence: u64, output: &'static str) -> TaskResult {
    let output = Output { content_type: "text/plain".into(), payload: Bytes::from_static(output.as_bytes()) };
    TaskResult::new(task(name), sequence, Ending::Succeeded(output), receipt(), None)
}

pub fn failed(name: &str, sequence: u64) -> TaskResult {
    TaskResult::new(task(name), sequence, Ending::Failed(failure()), receipt(), None)
}

pub fn failure() -> Failure {
    Failure::new(Outcome::Rejected, "no good\r\nNats-Rollup: all")
}

pub fn task(name: &str) -> TaskRef {
    TaskRef { queue: work(), id: id(name) }
}

pub fn receipt() -> Receipt {
    Receipt { fuel: 1, attempt: 1, host: "host-1".into(), ..Receipt::default() }
}

/// Tries until there is an answer.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut attempt: impl FnMut() -> F) -> T {
    let trying = async {
        let mut pause = tokio::time::interval(Duration::from_millis(10));
        loop {
            pause.tick().await;
            if let Some(found) = attempt().await {
                return found;
            }
        }
    };
    match tokio::time::timeout(PATIENCE, trying).await {
        Ok(found) => found,
        Err(tokio::time::error::Elapsed { .. }) => panic!("not within {} s: {what}", PATIENCE.as_secs()),
    }
}

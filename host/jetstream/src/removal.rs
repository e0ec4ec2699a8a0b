//! Taking away what a tenant's record says is on its way out: a queue with what waits in it, or the tenant with all it has.
//!
//! Each round does what can be done by now, and may be repeated after whatever stopped it. What runs is waited for: what
//! it holds goes when nobody has a task of it any more. A task that comes back meanwhile, because its host was lost or
//! its attempt failed, is not run again.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use saggar_model::{Losses, QueueName, Subjects, TenantName, TenantRecord};
use serde_json::{Value, json};

use crate::api::RequestError;
use crate::layout::{self, SCHEDULES_BUCKET, VERSIONS_BUCKET};
use crate::provision::ProvisionError;
use crate::{Nats, Plugins, Provisioner, PullError, PullMode, Schedules, TaskQueue};

const REMOVING: &str = "removing what is on its way out";
const COUNTING: &str = "counting what would be lost";

/// Tasks that come back taken out of a queue in one round.
const BACK_MAX: usize = 1000;

/// How long a round waits for them: they are there, or they are not.
const BACK_WAIT: Duration = Duration::from_millis(100);

/// Why a round could not be finished. Another one goes on where it stopped.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// A stream or consumer could not be changed.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// A queue could not be emptied.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// NATS refused or did not answer.
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// What a round has come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Round {
    /// Queues of which nothing is left.
    pub gone: Vec<QueueName>,
    /// Tasks of which hosts still have so many, by queue.
    pub running: BTreeMap<QueueName, u64>,
    /// Nothing is left of the tenant but its record.
    pub tenant_is_gone: bool,
}

impl Provisioner {
    /// Does what can be done by now about everything of this record that is on its way out.
    ///
    /// # Errors
    /// NATS refuses or does not answer. All of it can be repeated.
    pub async fn remove(&self, record: &TenantRecord) -> Result<Round, RemovalError> {
        let mut round = Round::default();
        if record.removal.is_nothing() {
            return Ok(round);
        }
        let (tenant, subjects) = (&record.spec.name, Subjects::of(&record.spec.name));
        let tasks = layout::tasks_stream(record, self.nats().max_payload(), self.replicas());
        if record.removal.tenant {
            // From here on nobody publishes a task. Others make no stream that is no longer there.
            self.ensure_if_there(&tasks).await?;
        }
        let mut queues = record.removal.queues.clone();
        if record.removal.tenant {
            let others = self.consumers(&tasks.name).await?;
            queues.extend(others.iter().filter_map(|name| name.parse().ok()));
        }
        for queue in queues {
            match self.empty(tenant, &queue).await? {
                0 => {
                    self.remove_consumer(&tasks.name, queue.as_str()).await?;
                    self.purge_queue(&subjects, &queue).await?;
                    round.gone.push(queue);
                }
                running => _ = round.running.insert(queue, running),
            }
        }
        if record.removal.tenant && round.running.is_empty() {
            self.remove_all(record).await?;
            round.tenant_is_gone = true;
        }
        Ok(round)
    }

    /// Removes what waits in a queue and what comes back to it; says how many tasks hosts still have.
    async fn empty(&self, tenant: &TenantName, queue: &QueueName) -> Result<u64, RemovalError> {
        let source = match TaskQueue::open(self.nats(), tenant, queue).await {
            Ok(source) => source,
            Err(PullError::Gone { .. }) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        if source.purge().await?.left == 0 {
            return Ok(0);
        }
        // What is paused gives nothing out, and what nobody takes back stays for ever.
        source.resume().await?;
        let mut back = source.pull(BACK_MAX, PullMode::Wait, BACK_WAIT).await?;
        while let Some(delivery) = back.next().await {
            delivery?.ack().await?;
        }
        match source.depth().await {
            Ok(depth) => Ok(depth.running),
            Err(PullError::Gone { .. }) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what is left of a queue that nobody reads: tasks, timers, dead letters, and what tasks have been through.
    /// Results stay for as long as they were promised.
    async fn purge_queue(&self, subjects: &Subjects, queue: &QueueName) -> Result<(), RequestError> {
        let [timers, due] = subjects.timers_of(Some(queue), None);
        for (stream, filter) in [
            (subjects.tasks_stream(), subjects.stored_tasks(queue)),
            (subjects.timers_stream(), timers),
            (subjects.timers_stream(), due),
            (subjects.dead_stream(), subjects.dead_letters(Some(queue))),
            (Subjects::STATE_STREAM.to_owned(), subjects.states(Some(queue))),
        ] {
            self.purge(&stream, &filter).await?;
        }
        Ok(())
    }

    /// Removes everything that a tenant has, but for its record.
    async fn remove_all(&self, record: &TenantRecord) -> Result<(), RequestError> {
        let tenant = &record.spec.name;
        // Tasks first: what is left for longest is what somebody may still want to look at. What it has used is kept.
        let [tasks, results, dead, ..] = self.wanted_streams(record);
        for stream in std::iter::once(tasks).chain(self.stores(record)).chain([dead, results]) {
            let subject = format!("STREAM.DELETE.{}", stream.name);
            if_there(self.nats().ask::<Value>(REMOVING, &subject, &()).await)?;
        }
        self.purge(Subjects::STATE_STREAM, &Subjects::of(tenant).states(None)).await?;
        for bucket in [SCHEDULES_BUCKET, VERSIONS_BUCKET] {
            self.purge(&format!("KV_{bucket}"), &format!("$KV.{bucket}.{tenant}.>")).await?;
        }
        Ok(())
    }

    async fn purge(&self, stream: &str, filter: &str) -> Result<(), RequestError> {
        let subject = format!("STREAM.PURGE.{stream}");
        if_there(self.nats().ask::<Value>(REMOVING, &subject, &json!({ "filter": filter })).await)
    }

    /// What would be lost with one queue of a tenant, or with all of the tenant.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn losses(
        &self,
        record: &TenantRecord,
        only: Option<&QueueName>,
    ) -> Result<Losses, RequestError> {
        let (nats, tenant) = (self.nats(), &record.spec.name);
        let subjects = Subjects::of(tenant);
        let mut losses = Losses::default();
        let stored = match only {
            Some(queue) => nats.count(&subjects.tasks_stream(), &subjects.stored_tasks(queue)).await?,
            None => nats.held(&subjects.tasks_stream()).await?.messages,
        };
        let queues = only.map_or_else(|| record.spec.queues.keys().collect(), |queue| vec![queue]);
        for queue in queues {
            match nats.consumer_info(&subjects.tasks_stream(), queue.as_str()).await {
                Ok(info) => losses.running += info.num_ack_pending as u64,
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        losses.queued = stored.saturating_sub(losses.running);
        if let Some(queue) = only {
            for filter in subjects.timers_of(Some(queue), None) {
                losses.timers += nats.count(&subjects.timers_stream(), &filter).await?;
            }
            losses.dead = nats.count(&subjects.dead_stream(), &subjects.dead_letters(Some(queue))).await?;
            return Ok(losses);
        }
        losses.timers = nats.held(&subjects.timers_stream()).await?.messages;
        losses.dead = nats.held(&subjects.dead_stream()).await?.messages;
        losses.results = nats.held(&subjects.results_stream()).await?.messages;
        for store in self.stores(record).iter().filter(|store| store.name != subjects.timers_stream()) {
            losses.kept_bytes += nats.held(&store.name).await?.bytes;
        }
        // What cannot be read goes as well, and is counted by nobody.
        let schedules = Schedules::new(nats).list(Some(tenant)).await;
        losses.schedules =
            schedules.map_or(0, |(schedules, unreadable)| schedules.len() + unreadable.len()) as u64;
        losses.plugins = Plugins::new(nats).list(tenant).await.map_or(0, |versions| versions.len()) as u64;
        Ok(losses)
    }
}

/// What a stream holds.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    messages: u64,
    bytes: u64,
}

impl Nats {
    /// What a stream holds; nothing, if it is not there.
    async fn held(&self, stream: &str) -> Result<Held, RequestError> {
        match self.stream_info(stream).await {
            Ok(info) => Ok(Held { messages: info.state.messages, bytes: info.state.bytes }),
            Err(error) if error.is_not_found() => Ok(Held::default()),
            Err(error) => Err(error),
        }
    }

    /// How many messages of a stream have such a subject.
    async fn count(&self, stream: &str, filter: &str) -> Result<u64, RequestError> {
        match self.subjects(COUNTING, stream, filter).await {
            Ok(subjects) => Ok(subjects.values().sum()),
            Err(error) if error.is_not_found() => Ok(0),
            Err(error) => Err(error),
        }
    }
}

fn if_there(done: Result<Value, RequestError>) -> Result<(), RequestError> {
    match done {
        Err(error) if !error.is_not_found() => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

//! How full queues are, asked so that idle ones cost nothing: which tenants have tasks at all, then their queues, then
//! the oldest task of those in which some wait.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use saggar_model::{QueueName, Sequence, Subjects, TenantName};
use serde::Deserialize;
use serde_json::json;

use crate::Nats;
use crate::api::RequestError;

/// What every stream of tasks listens to, and no other stream.
const TASKS: &str = "saggar.*.task.>";

/// How a queue's consumer stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Tasks that wait.
    pub pending: u64,
    /// Tasks that hosts have, those that wait for their next attempt included.
    pub running: u64,
    /// The place of the task that was delivered last: what waits lies behind it.
    pub delivered: Sequence,
}

#[derive(Deserialize)]
struct Streams {
    #[serde(default)]
    total: usize,
    streams: Option<Vec<Stream>>,
}

#[derive(Deserialize)]
struct Stream {
    config: Named,
    state: State,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct State {
    messages: u64,
}

#[derive(Deserialize)]
struct Consumers {
    #[serde(default)]
    total: usize,
    consumers: Option<Vec<Consumer>>,
}

#[derive(Deserialize)]
struct Consumer {
    name: String,
    #[serde(default)]
    num_pending: u64,
    #[serde(default)]
    num_ack_pending: u64,
    delivered: Delivered,
}

#[derive(Deserialize)]
struct Delivered {
    #[serde(default)]
    stream_seq: Sequence,
}

impl Nats {
    /// The tenants that have tasks, waiting or running. One question for each 256 tenants.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn tenants_with_tasks(&self) -> Result<BTreeSet<TenantName>, RequestError> {
        let (mut found, mut listed) = (BTreeSet::new(), 0);
        loop {
            let body = json!({ "offset": listed, "subject": TASKS });
            let Streams { total, streams } = self.ask("listing tenants' tasks", "STREAM.LIST", &body).await?;
            let page = streams.unwrap_or_default();
            listed += page.len();
            let last = page.is_empty() || listed >= total;
            let full = page.iter().filter(|stream| stream.state.messages > 0);
            found.extend(full.filter_map(|stream| tenant_of(&stream.config.name)));
            if last {
                return Ok(found);
            }
        }
    }

    /// How a tenant's queues stand; empty if no host has made them yet. One question for each 256 queues.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn backlogs(&self, tenant: &TenantName) -> Result<BTreeMap<QueueName, Backlog>, RequestError> {
        let subject = format!("CONSUMER.LIST.{}", Subjects::of(tenant).tasks_stream());
        let (mut found, mut listed) = (BTreeMap::new(), 0);
        loop {
            let body = json!({ "offset": listed });
            let asked = self.ask("looking at a tenant's queues", &subject, &body).await;
            let Consumers { total, consumers } = match asked {
                Err(error) if error.is_not_found() => return Ok(found),
                answer => answer?,
            };
            let page = consumers.unwrap_or_default();
            listed += page.len();
            let last = page.is_empty() || listed >= total;
            found.extend(page.into_iter().filter_map(backlog));
            if last {
                return Ok(found);
            }
        }
    }

    /// When the first task of a queue was published that lies behind this place; nothing if there is none. It brings the
    /// whole task, so not for every queue at once.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn first_published(
        &self,
        tenant: &TenantName,
        queue: &QueueName,
        behind: Sequence,
    ) -> Result<Option<SystemTime>, RequestError> {
        let subjects = Subjects::of(tenant);
        let (stream, filter) = (subjects.tasks_stream(), subjects.stored_tasks(queue));
        let found = self.scan("looking for the oldest task", &stream, &filter, behind, 1).await?;
        Ok(found.first().map(|kept| kept.time))
    }
}

fn tenant_of(stream: &str) -> Option<TenantName> {
    let tenant: TenantName = stream.rsplit('_').next()?.parse().ok()?;
    (Subjects::of(&tenant).tasks_stream() == stream).then_some(tenant)
}

fn backlog(consumer: Consumer) -> Option<(QueueName, Backlog)> {
    let Consumer { name, num_pending, num_ack_pending, delivered } = consumer;
    let queue = name.parse().ok()?;
    let delivered = delivered.stream_seq;
    Some((queue, Backlog { pending: num_pending, running: num_ack_pending, delivered }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_known_by_its_stream() {
        assert_eq!(tenant_of("SAGGAR_TASKS_acme-2"), "acme-2".parse().ok());
        for other in ["SAGGAR_RESULTS_acme", "SAGGAR_TASKS_", "ORDERS", "SAGGAR_TASKS_A"] {
            assert_eq!(tenant_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_queue_is_read_as_the_server_describes_its_consumer() {
        let text = r#"{"name":"thumbnail","num_pending":7,"num_ack_pending":2,"delivered":{"consumer_seq":9,"stream_seq":5}}"#;
        let (queue, read) = backlog(serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(queue.as_str(), "thumbnail");
        assert_eq!(read, Backlog { pending: 7, running: 2, delivered: 5 });
    }
}

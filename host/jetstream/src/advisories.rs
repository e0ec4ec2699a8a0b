//! What JetStream says of tasks that it will not deliver again, to whoever listens at that moment.
//!
//! Neither can happen by what hosts do: they set no maximum of deliveries and terminate nothing. It happens when
//! somebody changes a consumer by hand, or acknowledges a task that is not theirs.

use std::time::SystemTime;

use async_nats::{Message, Subscriber};
use futures::StreamExt as _;
use saggar_model::{QueueName, Sequence, Subjects, TenantName};
use serde::Deserialize;

use crate::Nats;
use crate::api::RequestError;
use crate::direct::expected;
use crate::plugins::unix_ms;

/// What the server itself gives as the reason where a message was removed while it was delivered: by its limits, by
/// whoever removes messages, or by an acknowledgement that a new leader had not heard of. Nobody terminated it then.
const REMOVED: [&str; 2] = ["Unacknowledged message was deleted", "Message deleted by stream limits"];

const DOING: &str = "listening for what JetStream gives up";
const MAX_DELIVERIES: &str = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.";
const TERMINATED: &str = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.";

/// Why a task will not be delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// It was delivered as often as its consumer allowed.
    MaxDeliveries,
    /// Somebody terminated it.
    Terminated,
}

/// A task that JetStream will not deliver again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advisory {
    /// Why.
    pub why: GivenUp,
    /// The tenant.
    pub tenant: TenantName,
    /// The queue.
    pub queue: QueueName,
    /// The task's place in the tenant's stream.
    pub sequence: Sequence,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// What is left of a task that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remains {
    /// The subject it was published to.
    pub subject: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its payload.
    pub payload: bytes::Bytes,
    /// When it was published.
    pub published: SystemTime,
}

/// The advisories of all tenants' queues, as they come. One that nobody heard is not repeated.
#[derive(Debug)]
pub struct Advisories([Subscriber; 2]);

#[derive(Deserialize)]
struct Body {
    stream: String,
    consumer: String,
    stream_seq: Sequence,
    #[serde(default)]
    deliveries: u64,
    #[serde(default)]
    reason: String,
}

impl Advisories {
    /// Begins to listen.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn listen(nats: &Nats) -> Result<Self, RequestError> {
        let listen = async |prefix: &str| {
            let subject = format!("{prefix}>");
            nats.client().subscribe(subject).await.map_err(|_| RequestError::Closed { doing: DOING })
        };
        Ok(Self([listen(MAX_DELIVERIES).await?, listen(TERMINATED).await?]))
    }

    /// The next one; nothing once the connection is closed.
    pub async fn next(&mut self) -> Option<Advisory> {
        let [most, terminated] = &mut self.0;
        loop {
            let (why, message) = tokio::select! {
                message = most.next() => (GivenUp::MaxDeliveries, message?),
                message = terminated.next() => (GivenUp::Terminated, message?),
            };
            if let Some(advisory) = read(why, &message) {
                return Some(advisory);
            }
        }
    }
}

/// An advisory about a queue of ours.
fn read(why: GivenUp, message: &Message) -> Option<Advisory> {
    let Body { stream, consumer, stream_seq: sequence, deliveries, reason } =
        serde_json::from_slice(&message.payload).ok()?;
    if why == GivenUp::Terminated && REMOVED.contains(&&*reason) {
        return None;
    }
    // Names are types, made by a check: this is what somebody put on the wire.
    let tenant: TenantName = stream.strip_prefix("SAGGAR_TASKS_")?.parse().ok()?;
    let queue = consumer.parse().ok()?;
    (Subjects::of(&tenant).tasks_stream() == stream).then_some(Advisory {
        why,
        tenant,
        queue,
        sequence,
        deliveries,
    })
}

impl Nats {
    /// Whether the server bears an advisory out: a consumer with a maximum of deliveries, or one that has passed the
    /// task. Whoever may publish could have made the advisory up.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn bears_out(&self, advisory: &Advisory) -> Result<bool, RequestError> {
        let stream = Subjects::of(&advisory.tenant).tasks_stream();
        match self.consumer_info(&stream, advisory.queue.as_str()).await {
            Ok(info) => {
                let bounded = info.config.max_deliver > 0;
                let known = advisory.sequence <= info.delivered.stream_sequence;
                Ok(known && (bounded || advisory.sequence <= info.ack_floor.stream_sequence))
            }
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What is left of a task in its stream; nothing if it was removed.
    ///
    /// # Errors
    /// NATS does not answer, or there is no such stream.
    pub async fn remains(
        &self,
        tenant: &TenantName,
        sequence: Sequence,
    ) -> Result<Option<Remains>, RequestError> {
        let stream = Subjects::of(tenant).tasks_stream();
        let read = || self.at("reading a task that was given up", &stream, sequence);
        Ok(expected(read).await?.map(|kept| Remains {
            subject: kept.subject.clone(),
            headers: kept.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            payload: kept.payload.clone(),
            published: kept.time,
        }))
    }

    /// Removes a task from its stream, once its record is stored; the answer says whether it was there.
    ///
    /// # Errors
    /// NATS refuses or does not answer.
    pub async fn bury(&self, tenant: &TenantName, sequence: Sequence) -> Result<bool, RequestError> {
        let stream = Subjects::of(tenant).tasks_stream();
        self.delete_message("removing a task that was given up", &stream, sequence).await
    }

    /// When a tenant's stream of tasks was made, in Unix milliseconds: what nameless tasks are named after.
    ///
    /// # Errors
    /// NATS does not answer, or there is no such stream.
    pub async fn tasks_created_ms(&self, tenant: &TenantName) -> Result<u64, RequestError> {
        let info = self.stream_info(&Subjects::of(tenant).tasks_stream()).await?;
        Ok(unix_ms(info.created.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> Message {
        Message {
            subject: "a".into(),
            reply: None,
            payload: body.to_owned().into(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        }
    }

    #[test]
    fn an_advisory_names_a_task_of_a_queue() {
        let body =
            r#"{"type":"x","stream":"SAGGAR_TASKS_acme","consumer":"mail","stream_seq":7,"deliveries":3}"#;
        let read = read(GivenUp::MaxDeliveries, &message(body)).unwrap();
        assert_eq!((read.tenant.to_string(), read.queue.to_string()), ("acme".to_owned(), "mail".to_owned()));
        assert_eq!((read.sequence, read.deliveries), (7, 3));
    }

    #[test]
    fn a_message_that_was_removed_was_not_terminated() {
        for (reason, is_told) in
            [("", true), ("poison", true), ("Unacknowledged message was deleted", false), (REMOVED[1], false)]
        {
            let body = serde_json::json!({
                "stream": "SAGGAR_TASKS_acme", "consumer": "mail", "stream_seq": 7, "reason": reason,
            });
            assert_eq!(read(GivenUp::Terminated, &message(&body.to_string())).is_some(), is_told, "{reason}");
        }
    }

    #[test]
    fn what_is_about_another_stream_or_no_advisory_at_all_is_passed_over() {
        for body in [
            "",
            "{}",
            r#"{"stream":"ORDERS","consumer":"mail","stream_seq":7}"#,
            r#"{"stream":"SAGGAR_TASKS_a.b","consumer":"mail","stream_seq":7}"#,
            r#"{"stream":"SAGGAR_TASKS_acme","consumer":"MAIL >","stream_seq":7}"#,
        ] {
            assert_eq!(read(GivenUp::Terminated, &message(body)), None, "{body}");
        }
    }
}

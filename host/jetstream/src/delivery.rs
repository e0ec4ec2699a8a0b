//! A task in the hands of this host: what came, and what can be said to JetStream about it.

use std::time::{Duration, SystemTime};

use async_nats::Message;
use bytes::Bytes;

use crate::api::RequestError;
use crate::{Nats, headers};

/// How long a sign of life may take to be confirmed. A third of [`crate::ACK_WAIT`], so that two can fail before
/// the task is lost to another host.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// What JetStream is told, as its protocol has it.
const PROGRESS: Bytes = Bytes::from_static(b"+WPI");
const NAK: Bytes = Bytes::from_static(b"-NAK");

/// A delivered task.
///
/// Dropping it says nothing: JetStream delivers it again once [`crate::ACK_WAIT`] is over.
#[derive(Debug)]
pub struct Delivery {
    nats: Nats,
    message: Message,
    place: Place,
}

/// What the reply subject of a delivery says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    delivered: u64,
    stream_sequence: u64,
    consumer_sequence: u64,
    published_nanos: u64,
    pending: u64,
}

impl Delivery {
    /// A message that a consumer delivered.
    pub(crate) fn new(nats: &Nats, message: Message, place: Place) -> Self {
        Self { nats: nats.clone(), message, place }
    }

    /// The subject it was published to. Its last token is a stranger's text.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.message.subject
    }

    /// The payload; cloning it does not copy the bytes.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.message.payload
    }

    /// The headers; those of one name in the order they were published, the names in no order. Of one that could not be
    /// read as it was published the relay has made one that can be, and said so in a header of its own.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.message.headers.iter().flat_map(headers::pairs)
    }

    /// Its place in the tenant's stream, from 1.
    #[must_use]
    pub fn stream_sequence(&self) -> u64 {
        self.place.stream_sequence
    }

    /// The how-manyth delivery of the queue this is, from 1.
    #[must_use]
    pub fn consumer_sequence(&self) -> u64 {
        self.place.consumer_sequence
    }

    /// How often this task was delivered, this time included.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.place.delivered
    }

    /// How many tasks of the queue waited behind it when it was delivered.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.place.pending
    }

    /// When it was published, by the server's clock.
    #[must_use]
    pub fn published(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.place.published_nanos)
    }

    /// Says that the task is done with, and does not wait for an answer: should it get lost, the task is delivered
    /// again and its result found.
    ///
    /// # Errors
    /// The connection is down for so long that there is no room left to remember it.
    pub async fn ack(&self) -> Result<(), RequestError> {
        self.tell("acknowledging a task", Bytes::new()).await
    }

    /// Gives the task back, to be delivered again after `delay`. Until then it holds its place among the queue's
    /// running tasks. Does not wait for an answer.
    ///
    /// # Errors
    /// As for [`Delivery::ack`].
    pub async fn nak(&self, delay: Duration) -> Result<(), RequestError> {
        let word = if delay.is_zero() {
            NAK
        } else {
            Bytes::from(format!("-NAK {{\"delay\":{}}}", delay.as_nanos()))
        };
        self.tell("giving a task back", word).await
    }

    /// Tells JetStream that the task is being worked on, and waits until it has heard.
    ///
    /// JetStream confirms this for any task, also for one that meanwhile went to another host: what it proves is
    /// that the wait for a sign of life begins anew at some time after the call. Whoever calls it again in less than
    /// [`crate::ACK_WAIT`], counted from the start of the last call that succeeded, still has the task.
    ///
    /// # Errors
    /// No confirmation came within [`KEEP_ALIVE_TIMEOUT`], or the queue is gone.
    pub async fn in_progress(&self) -> Result<(), RequestError> {
        let Some(reply) = self.message.reply.clone() else { return Ok(()) };
        self.nats.request("keeping a task", reply, None, PROGRESS, KEEP_ALIVE_TIMEOUT).await.map(|_| ())
    }

    async fn tell(&self, doing: &'static str, word: Bytes) -> Result<(), RequestError> {
        let Some(reply) = self.message.reply.clone() else { return Ok(()) };
        self.nats.send(doing, reply, None, word).await
    }
}

impl Place {
    /// The place of a message; nothing if it is a word of the server's and no delivery.
    pub(crate) fn of(message: &Message) -> Option<Self> {
        message.reply.as_deref().and_then(Self::read)
    }

    /// Reads `$JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>.<consumer sequence>.<time>.<pending>`, also
    /// with domain and account hash before the stream, and with more tokens at the end.
    fn read(reply: &str) -> Option<Self> {
        let rest = reply.strip_prefix("$JS.ACK.")?;
        let before_numbers = match rest.bytes().filter(|byte| *byte == b'.').count() {
            6 => 2,
            8.. => 4,
            _ => return None,
        };
        let mut numbers = rest.split('.').skip(before_numbers).map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        Some(Self {
            delivered: next()?,
            stream_sequence: next()?,
            consumer_sequence: next()?,
            published_nanos: next()?,
            pending: next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place {
        delivered: 2,
        stream_sequence: 50,
        consumer_sequence: 9,
        published_nanos: 1_790_230_470_084_404_000,
        pending: 7,
    };

    #[test]
    fn the_reply_subject_says_where_a_task_stands() {
        for reply in [
            "$JS.ACK.SAGGAR_TASKS_acme.thumbnail.2.50.9.1790230470084404000.7",
            "$JS.ACK._.hash.SAGGAR_TASKS_acme.thumbnail.2.50.9.1790230470084404000.7",
            "$JS.ACK.hub.hash.SAGGAR_TASKS_acme.thumbnail.2.50.9.1790230470084404000.7.token",
        ] {
            assert_eq!(Place::read(reply), Some(PLACE), "{reply}");
        }
    }

    #[test]
    fn a_subject_of_another_form_is_no_delivery() {
        for reply in [
            "",
            "_INBOX.x",
            "$JS.ACK.s.c.2.50.9.1790230470084404000",
            "$JS.ACK.s.c.2.x.9.1790230470084404000.7",
            "$JS.FC.s.c.2.50.9.1790230470084404000.7",
            "$JS.ACK.a.s.c.2.50.9.1790230470084404000.7",
        ] {
            assert_eq!(Place::read(reply), None, "{reply}");
        }
    }
}

//! Stopping a queue, starting it again, emptying it. JetStream keeps all of it: hosts need not know.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use saggar_model::Subjects;
use serde_json::{Value, json};

use crate::api::RequestError;
use crate::direct::PAGE;
use crate::pull::{PullError, TaskQueue};

/// The end of a pause that is to end now, by the server's clock and the time a request takes to it.
const RESUMED_IN: Duration = Duration::from_millis(200);

/// Bytes looked at in one go.
const PAGE_BYTES: usize = 4 << 20;

/// Messages deleted at once.
const AT_ONCE: usize = 64;

/// What a purge removed and what it left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Tasks that waited and are gone.
    pub removed: u64,
    /// Tasks that hosts have, or wait to have again.
    pub left: u64,
}

impl TaskQueue {
    /// Lets no task out until then. Those that hosts have go on.
    ///
    /// # Errors
    /// The queue is gone, or NATS does not answer.
    pub async fn pause(&self, until: Timestamp) -> Result<(), PullError> {
        self.set_pause(json!({ "pause_until": until.to_string() })).await
    }

    /// Lets tasks out again.
    ///
    /// The pause gets an end that is near, instead of none: when it comes the server looks who waits for tasks, while
    /// without one it does at their next requests only, which can be half a minute later.
    ///
    /// # Errors
    /// As for [`TaskQueue::pause`].
    pub async fn resume(&self) -> Result<(), PullError> {
        self.nats().look_at_clock().await?;
        match Timestamp::try_from(self.nats().now() + RESUMED_IN) {
            Ok(soon) => self.pause(soon).await?,
            // A server whose clock nobody can write down.
            Err(_) => return self.set_pause(json!({})).await,
        }
        tokio::time::sleep(RESUMED_IN).await;
        Ok(())
    }

    async fn set_pause(&self, body: Value) -> Result<(), PullError> {
        let subject = format!("CONSUMER.PAUSE.{}.{}", self.stream(), self.queue());
        match self.nats().ask::<Value>(PAUSING, &subject, &body).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Err(self.gone()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes every task that no host ever had; the others go on.
    ///
    /// # Errors
    /// The queue is gone, or NATS does not answer; some may have been removed.
    pub async fn purge(&self) -> Result<Purged, PullError> {
        let consumer = self.nats().consumer_info(self.stream(), self.queue().as_str()).await;
        let consumer = match consumer {
            Ok(consumer) => consumer,
            Err(error) if error.is_not_found() => return Err(self.gone()),
            Err(error) => return Err(error.into()),
        };
        let filter = Subjects::of(self.tenant()).stored_tasks(self.queue());
        let left = consumer.num_ack_pending as u64;
        let removed = if left == 0 {
            self.purge_all(&filter).await?
        } else {
            // To delete what a host has would free its place among the running ones.
            self.purge_after(&filter, consumer.delivered.stream_sequence).await?
        };
        Ok(Purged { removed, left })
    }

    async fn purge_all(&self, filter: &str) -> Result<u64, RequestError> {
        let subject = format!("STREAM.PURGE.{}", self.stream());
        let answer: Value = self.nats().ask(PURGING, &subject, &json!({ "filter": filter })).await?;
        Ok(answer["purged"].as_u64().unwrap_or_default())
    }

    async fn purge_after(&self, filter: &str, mut after: u64) -> Result<u64, RequestError> {
        let mut removed = 0;
        loop {
            let page = self.nats().scan_page(PURGING, self.stream(), filter, after, PAGE, PAGE_BYTES);
            let (found, more) = page.await?;
            after = found.last().map_or(after, |kept| kept.sequence);
            let deleted =
                stream::iter(found)
                    .map(|kept| async move {
                        self.nats().delete_message(PURGING, self.stream(), kept.sequence).await
                    })
                    .buffer_unordered(AT_ONCE)
                    .try_fold(0, |count, was_there| async move { Ok(count + u64::from(was_there)) });
            removed += deleted.await?;
            if !more {
                return Ok(removed);
            }
        }
    }
}

const PAUSING: &str = "pausing a queue";
const PURGING: &str = "emptying a queue";

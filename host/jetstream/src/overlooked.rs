//! Tasks that lie in a queue, or are due, and that JetStream will never deliver: what a consumer has left behind that was
//! changed or restored by hand, or whose server was killed.
//!
//! A consumer only goes forward. A task before everything that it has delivered and heard of is lost to it; so is any
//! task in a queue of which it says that nothing waits and nothing runs. Making it anew delivers them, and once more
//! whatever runs at that moment: its result counts once.

use std::fmt;
use std::time::Duration;

use async_nats::jetstream::consumer::Info;
use saggar_model::{QueueName, Sequence, Subjects, TenantName, TenantRecord};

use crate::api::RequestError;
use crate::layout::PUMP;
use crate::provision::{ProvisionError, Provisioner};
use crate::{Nats, layout};

/// How long a task that is being acknowledged at this moment may still lie there, in a cluster that is busy.
pub const OVERLOOKED_FOR: Duration = Duration::from_secs(10);

/// Who goes through one of a tenant's streams, and can have passed something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reader {
    /// The consumer of a queue.
    Queue(QueueName),
    /// The consumer of what is due.
    Pump,
}

impl Reader {
    /// The stream, the consumer and its filter.
    fn place(&self, subjects: &Subjects) -> (String, &str, String) {
        match self {
            Self::Queue(queue) => (subjects.tasks_stream(), queue.as_str(), subjects.stored_tasks(queue)),
            Self::Pump => {
                let [_, due] = subjects.timers();
                (subjects.timers_stream(), PUMP, due)
            }
        }
    }
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(queue) => write!(f, "queue {queue}"),
            Self::Pump => f.write_str("timers"),
        }
    }
}

/// A task that its consumer has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlooked {
    /// Its place in the stream.
    pub sequence: Sequence,
    /// Tasks that are delivered, and would be delivered once more if the consumer were made anew.
    pub running: u64,
}

/// What matters of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stand {
    /// Everything up to here is acknowledged, as far as the consumer knows.
    floor: Sequence,
    pending: u64,
    running: u64,
}

impl Stand {
    fn of(info: &Info) -> Self {
        Self {
            floor: info.ack_floor.stream_sequence,
            pending: info.num_pending,
            running: info.num_ack_pending as u64,
        }
    }

    /// Whether the oldest task of the queue will not be delivered.
    fn overlooks(self, oldest: Sequence) -> bool {
        oldest <= self.floor || (self.pending == 0 && self.running == 0)
    }
}

impl Nats {
    /// The oldest task of those that somebody reads, if it looks as if its consumer had passed it. What looks so twice, for longer than
    /// [`OVERLOOKED_FOR`], is so.
    ///
    /// # Errors
    /// NATS does not answer. Who is not there overlooks nothing.
    pub async fn overlooked(
        &self,
        tenant: &TenantName,
        reader: &Reader,
    ) -> Result<Option<Overlooked>, RequestError> {
        const DOING: &str = "looking for tasks that are not delivered";
        let (stream, consumer, filter) = reader.place(&Subjects::of(tenant));
        let stand = match self.consumer_info(&stream, consumer).await {
            Ok(info) => Stand::of(&info),
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let oldest = self.scan(DOING, &stream, &filter, 0, 1).await?;
        let oldest = oldest.first().map(|kept| kept.sequence);
        let Some(sequence) = oldest.filter(|oldest| stand.overlooks(*oldest)) else { return Ok(None) };
        // A replica that lags behind may still have what was acknowledged long ago.
        let there = self.at_leader(DOING, &stream, sequence).await?;
        Ok(there.map(|_| Overlooked { sequence, running: stand.running }))
    }
}

impl Provisioner {
    /// Makes a consumer anew, so that it delivers every task that lies there.
    ///
    /// # Errors
    /// The server refuses or does not answer. The consumer may be gone then, until [`Provisioner::ensure_tenant`].
    pub async fn rebind(&self, record: &TenantRecord, reader: &Reader) -> Result<(), ProvisionError> {
        let tenant = &record.spec.name;
        let wanted = match reader {
            Reader::Pump => layout::pump_consumer(tenant),
            Reader::Queue(queue) => match record.spec.queues.get(queue) {
                Some(spec) => layout::queue_consumer(record, queue, spec),
                None => return Ok(()),
            },
        };
        let (stream, consumer, _) = reader.place(&Subjects::of(tenant));
        self.remove_consumer(&stream, consumer).await?;
        self.ensure_consumer(&stream, &wanted).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAND: Stand = Stand { floor: 10, pending: 3, running: 1 };

    #[test]
    fn a_task_before_everything_that_is_acknowledged_is_overlooked() {
        assert!(STAND.overlooks(10) && STAND.overlooks(1));
        assert!(!STAND.overlooks(11), "it runs, or waits");
    }

    #[test]
    fn so_is_any_task_where_nothing_waits_and_nothing_runs() {
        assert!(Stand { pending: 0, running: 0, ..STAND }.overlooks(11));
        assert!(!Stand { pending: 0, ..STAND }.overlooks(11));
    }
}

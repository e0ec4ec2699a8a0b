//! What is known of a task when it is delivered. One that comes for the first time costs no question.

use saggar_jetstream::{Delivery, RecordsError, StateError};
use saggar_model::{Arrival, History, Sequence, Task, TaskResult, Ticket, header_name};

use crate::lane::OpenLane;
use crate::lease::Lease;
use crate::settlement::{Unsettled, persist};

/// What a task had been through when it was delivered.
#[derive(Debug, Clone)]
pub(crate) struct Past {
    pub(crate) history: History,
    /// The place under which the record lies: that of the task's first message.
    pub(crate) key: Sequence,
    /// Revision of the stored record; 0 if there is none.
    pub(crate) revision: u64,
}

/// What is known of a task when it is delivered.
pub(crate) enum Recalled {
    /// It has a result.
    Settled(Box<TaskResult>),
    /// It is to be run.
    Open(Past),
    /// It was to go into a timer.
    PutOff(Past),
    /// Another message has taken its place.
    Superseded,
    /// It says that it came out of a timer, and did not.
    Stranger,
}

/// What a message says about the timer that it came out of. Anybody can say so.
pub(crate) fn ticket(delivery: &Delivery) -> Option<Ticket> {
    let said = delivery.headers().find(|(name, _)| *name == header_name::STATE);
    said.and_then(|(_, ticket)| ticket.parse().ok())
}

/// The past of a task at its delivery, and the result it has already, if any. `ticket` is what the message says about
/// a timer, until it turns out not to be true. `look` asks for the result also of a task that comes for the first time.
pub(crate) async fn recall(
    lane: &OpenLane,
    lease: &Lease,
    task: &Task,
    look: bool,
    ticket: Option<&Ticket>,
) -> Result<Recalled, Unsettled> {
    let delivery = &lease.delivery;
    // A consumer that somebody deleted and a host made again counts from 1.
    let again =
        delivery.delivered() > 1 || ticket.is_some() || lane.source.is_younger_than(delivery.published());
    let records = &lane.host.records;
    if again || look {
        let found = persist(
            "look for a result",
            RecordsError::fault,
            |_| false,
            || records.results.get(&task.tenant, &task.queue, &task.id),
        );
        if let Some(stored) = found.await.map_err(|_| Unsettled)? {
            return Ok(Recalled::Settled(Box::new(stored.result)));
        }
    }
    let sequence = delivery.stream_sequence();
    if !again {
        return Ok(Recalled::Open(Past { history: History::default(), key: sequence, revision: 0 }));
    }
    let key = ticket.map_or(sequence, |ticket| ticket.origin);
    let found = persist(
        "look for a state",
        StateError::fault,
        |_| false,
        || records.states.get(&task.tenant, &task.queue, key),
    );
    let stored = found.await.map_err(|_| Unsettled)?;
    let (history, revision) = stored.map(|stored| (stored.history, stored.revision)).unwrap_or_default();
    let past = |history: History| {
        let history = history.at_delivery(delivery.delivered());
        Past { history, key, revision }
    };
    Ok(match history.arrival(sequence, delivery.published(), ticket) {
        Arrival::Current(history) => Recalled::Open(past(history)),
        Arrival::PutOff(history) => Recalled::PutOff(past(history)),
        Arrival::Superseded => Recalled::Superseded,
        Arrival::Stranger => Recalled::Stranger,
    })
}

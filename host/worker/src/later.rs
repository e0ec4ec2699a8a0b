//! Retries that are too far away for a message to be held back: the task leaves its queue for a timer.
//!
//! The order is record, timer, acknowledgement. The record says beforehand which timer it will be, so that a host that
//! is lost between two steps leaves a message whose next host finds out how far it got, and goes on from there. The
//! attempt is counted in the record, once.

use std::time::{Duration, SystemTime};

use saggar_jetstream::{NewTimer, RequestError, TimerError};
use saggar_model::{DELAY_MAX, DeadLetter, NAK_DELAY_MAX, Passage, Task, TimerName, TimerSubject};

use crate::lane::OpenLane;
use crate::lease::Lease;
use crate::metrics::Limit;
use crate::recall::Past;
use crate::settlement::{Ended, Unsettled, persist, remember};
use crate::unit::Held;

/// What is done about a message that was to go into a timer.
pub(crate) enum Resumed {
    /// Its task waits in a timer, or will be looked at again.
    Waits,
    /// Its time has come, and there never was a timer: it is run.
    Runs(Past),
}

impl Ended {
    /// Puts the task into a timer.
    pub(crate) async fn put_off(self, after: Duration) {
        if !self.may_still_speak().await {
            return;
        }
        let Self { held, past, ending, receipt, .. } = self;
        let (lane, lease) = (&held.lane, held.lease());
        let due = lane.host.nats.now() + after.min(DELAY_MAX);
        let delivery = &lease.delivery;
        let history = past
            .history
            .after_run(ending.outcome(), delivery.delivered(), &lane.host.name, &receipt)
            .put_off(delivery.stream_sequence(), &secret(), due, delivery.published());
        let putting = async {
            let past = remember(lane, &held.task, &past, history).await?;
            into_timer(lane, lease, &held.task, &past).await
        };
        if let Err(unsettled) = putting.await {
            held.report_unsettled(unsettled);
        }
    }
}

/// Puts a task into a timer until it is its turn among the tasks of its key. It was not run, and nothing is counted.
pub(crate) async fn wait_for_turn(held: Held, past: Past, after: Duration, booked: bool) {
    held.not_started();
    held.lane.metrics.limited(Limit::Key);
    let (lane, lease) = (&held.lane, held.lease());
    let (delivery, due) = (&lease.delivery, lane.host.nats.now() + after.min(DELAY_MAX));
    let history = past.history.unrun(delivery.delivered(), &lane.host.name);
    let history = history.put_off(delivery.stream_sequence(), &secret(), due, delivery.published());
    let history = if booked { history.booked() } else { history };
    let putting = async {
        let past = remember(lane, &held.task, &past, history).await?;
        into_timer(lane, lease, &held.task, &past).await
    };
    if let Err(unsettled) = putting.await {
        held.report_unsettled(unsettled);
    }
}

/// Goes on with a message that was to go into a timer, and whose host was lost on the way or found no room.
pub(crate) async fn resume(
    lane: &OpenLane,
    lease: &Lease,
    task: &Task,
    past: Past,
) -> Result<Resumed, Unsettled> {
    let Some(passage) = &past.history.passage else { return Err(Unsettled) };
    let (queue, id) = (task.queue.clone(), task.id.clone());
    let timer = TimerSubject { is_due: false, queue, id, name: passage.timer() };
    let timers = &lane.host.records.timers;
    let looking = persist(
        "look for a timer",
        RequestError::fault,
        |_| false,
        || timers.is_under_way(&task.tenant, &timer),
    );
    if looking.await.map_err(|_| Unsettled)? {
        lease.delivery.ack().await.map_err(|_| Unsettled)?;
        return Ok(Resumed::Waits);
    }
    if passage.due() <= lane.host.nats.now() {
        return Ok(Resumed::Runs(Past { history: past.history.taken_back(), ..past }));
    }
    let history = past.history.unrun(lease.delivery.delivered(), &lane.host.name);
    let past = remember(lane, task, &past, history).await?;
    into_timer(lane, lease, task, &past).await?;
    Ok(Resumed::Waits)
}

/// Sets the timer of which the record says that it will be set, then acknowledges. Without room for a timer the message
/// is held back a little at a time, as often as it takes.
async fn into_timer(lane: &OpenLane, lease: &Lease, task: &Task, past: &Past) -> Result<(), Unsettled> {
    let Some(passage) = &past.history.passage else { return Err(Unsettled) };
    let delivery = &lease.delivery;
    let timer = NewTimer {
        queue: task.queue.clone(),
        id: task.id.clone(),
        name: passage.timer(),
        due: passage.due(),
        payload: delivery.payload().clone(),
        headers: DeadLetter::publishers(delivery.headers()),
        ticket: Some(passage.ticket(past.key)),
        message_id: None,
    };
    let timers = &lane.host.records.timers;
    let setting =
        persist("timer", TimerError::fault, has_no_room, || timers.put(&task.tenant, timer.clone()));
    match setting.await {
        Ok(()) => delivery.ack().await.map_err(|_| Unsettled),
        Err(Some(error)) if has_no_room(&error) => {
            let (tenant, queue, id) = (&task.tenant, &task.queue, &task.id);
            tracing::warn!(%tenant, %queue, task = %id, %error, "a retry waits in its queue, and holds a place in it");
            delivery.nak(held_back(passage, lane.host.nats.now())).await.map_err(|_| Unsettled)
        }
        Err(_) => Err(Unsettled),
    }
}

fn has_no_room(error: &TimerError) -> bool {
    matches!(error, TimerError::Full { .. } | TimerError::TooLarge { .. })
}

/// How long a message is held back that waits without a timer.
fn held_back(passage: &Passage, now: SystemTime) -> Duration {
    passage.due().duration_since(now).unwrap_or_default().min(NAK_DELAY_MAX)
}

/// What nobody else can guess, and a number fits behind.
fn secret() -> TimerName {
    format!("{:032x}", rand::random::<u128>()).parse().expect("digits are a name")
}

//! Payloads that lie in the object store: fetched before a task is run, stored before its result is.
//!
//! What is fetched lies in the host's memory beside the guest's, so that there is room of its own for it, and whoever
//! finds none goes back to the queue. An output is stored while the memory of its guest is still set aside, which it
//! came out of.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use saggar_jetstream::{Fault, Payloads, RecordsError, task_max_bytes};
use saggar_model::{
    Ending, Failure, Invalid, Outcome, Output, PAYLOAD_MAX_BYTES, PayloadName, StoreError, TaskResult,
    format_bytes, header_name,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::intake::runnable;
use crate::lane::OpenLane;
use crate::recall::Past;
use crate::settlement::{self, Unsettled, persist};
use crate::unit::Held;

/// Room is counted in so many bytes, so that a semaphore can count it.
const UNIT: u64 = 1 << 10;

/// The part of the memory for guests that there is beside it for fetched payloads: a payload is mostly smaller than
/// the guest that works on it.
const PART_OF_MEMORY: u64 = 4;

/// How long a task waits for room, and keeps the memory of a guest meanwhile.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The room for fetched payloads on this host.
pub(crate) struct ClaimRoom(Arc<Semaphore>);

/// Room that a payload takes; dropped, it is free for another.
pub(crate) struct Taken(
    #[expect(dead_code, reason = "it is free when this is dropped")] OwnedSemaphorePermit,
);

/// What came of a task's payload.
pub(crate) enum Claimed {
    /// It is in the message.
    Inline,
    /// It is the task's payload now.
    Fetched(Taken),
    /// The task cannot be run, for this reason.
    Refused(Failure),
    /// The task has ended already, and its payload went with it; its message is done with.
    Settled,
}

impl ClaimRoom {
    /// The room beside so much memory for guests; one payload of the largest size always fits.
    pub(crate) fn beside(memory: u64) -> Self {
        let units = (memory / PART_OF_MEMORY).max(PAYLOAD_MAX_BYTES) / UNIT;
        let most = u64::from(u32::MAX).min(Semaphore::MAX_PERMITS as u64);
        Self(Arc::new(Semaphore::new(usize::try_from(units.min(most)).unwrap_or(usize::MAX))))
    }

    /// Waits for room; nothing if there is none in time.
    async fn take(&self, bytes: u64) -> Option<Taken> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let taking = self.0.clone().acquire_many_owned(units);
        tokio::time::timeout(WAIT_MAX, taking).await.ok()?.ok().map(Taken)
    }
}

/// Fetches the payload of a task, if the task can be run at all.
pub(crate) async fn input(held: &mut Held, past: &Past, invalid: Option<&Invalid>) -> Claimed {
    let Held { lane, runner, task, .. } = &*held;
    let Some(name) = task.headers.payload else { return Claimed::Inline };
    if let Err(failure) = runnable(runner, task, &past.history, invalid.cloned(), lane.host.nats.now()) {
        return Claimed::Refused(failure);
    }
    if !task.payload.is_empty() {
        let reason =
            format!("it has a payload of its own, and header {} names another", header_name::PAYLOAD);
        return Claimed::Refused(Failure::new(Outcome::Invalid, &reason));
    }
    let payloads = lane.host.stores.payloads(&lane.tenant);
    let fetching =
        persist("payload (to be read)", fault, |_| false, || fetch(&lane.host.claims, &payloads, &name));
    let fetched = tokio::select! {
        fetched = fetching => fetched,
        () = lane.host.leaving_now.cancelled() => {
            let reason = "the host left before its payload had been read";
            return Claimed::Refused(Failure::new(Outcome::Interrupted, reason));
        }
        () = held.lease().cancelled() => {
            let reason = "it was cancelled before its payload had been read";
            return Claimed::Refused(Failure::new(Outcome::Cancelled, reason));
        }
    };
    match fetched {
        Ok(Some((content, taken))) => {
            Arc::make_mut(&mut held.task).payload = content;
            Claimed::Fetched(taken)
        }
        Ok(None) => {
            let reason = "there is no room on this host for its payload at the moment";
            Claimed::Refused(Failure::new(Outcome::Interrupted, reason))
        }
        Err(error) => refused(held, &name, error.as_ref()).await,
    }
}

/// Reads a payload; nothing if there is no room for it.
async fn fetch(
    room: &ClaimRoom,
    payloads: &Payloads,
    name: &PayloadName,
) -> Result<Option<(Bytes, Taken)>, StoreError> {
    let mut download = payloads.open(name).await?;
    let size = download.size();
    if size > PAYLOAD_MAX_BYTES {
        return Err(StoreError::TooLarge { bytes: size, most: PAYLOAD_MAX_BYTES });
    }
    let Some(taken) = room.take(size).await else { return Ok(None) };
    let mut content = BytesMut::with_capacity(usize::try_from(size).unwrap_or_default());
    while let Some(chunk) = download.next().await? {
        content.extend_from_slice(&chunk);
    }
    Ok(Some((content.freeze(), taken)))
}

/// What follows from a payload that could not be fetched; without an error, nobody answered for long.
async fn refused(held: &Held, name: &PayloadName, error: Option<&StoreError>) -> Claimed {
    let invalid = |reason: &str| Claimed::Refused(Failure::new(Outcome::Invalid, reason));
    match error {
        Some(StoreError::NotFound(_)) => match ended(held).await {
            Ok(Some(stored)) => {
                let done = settlement::complete(&held.lane, held.lease(), &held.task, &stored).await;
                done.unwrap_or_else(|unsettled| held.report_unsettled(unsettled));
                Claimed::Settled
            }
            Ok(None) => invalid(&format!(
                "there is no payload {name}: it was never finished, its task was published more than an hour later, \
                 or it went with another task that named it"
            )),
            Err(Unsettled) => {
                held.report_unsettled(Unsettled);
                Claimed::Settled
            }
        },
        Some(StoreError::TooLarge { bytes, most }) => {
            let (bytes, most) = (format_bytes(*bytes), format_bytes(*most));
            invalid(&format!("its payload {name} has {bytes}, and may have {most}"))
        }
        Some(StoreError::Changed) => invalid(&format!(
            "its payload {name} is not whole, or not what it was when it was put: its digest is another"
        )),
        error => {
            let why = error.map_or_else(|| "the store did not answer".to_owned(), ToString::to_string);
            let reason = format!("its payload {name} could not be read: {why}");
            Claimed::Refused(Failure::new(Outcome::HostError, &reason))
        }
    }
}

/// The result of a task whose payload is gone: a second message of its id, mostly.
async fn ended(held: &Held) -> Result<Option<TaskResult>, Unsettled> {
    let (task, results) = (&held.task, &held.lane.host.records.results);
    let found = persist(
        "look for a result",
        RecordsError::fault,
        |_| false,
        || results.get(&task.tenant, &task.queue, &task.id),
    );
    Ok(found.await.map_err(|_| Unsettled)?.map(|stored| stored.result))
}

/// Frees the memory of a payload that was fetched.
pub(crate) fn let_go(held: &mut Held) {
    Arc::make_mut(&mut held.task).payload = Bytes::new();
}

/// Whether an output does not fit into the message of its result.
pub(crate) fn is_too_large(lane: &OpenLane, ending: &Ending) -> bool {
    match ending {
        Ending::Succeeded(output) => output.payload.len() > task_max_bytes(lane.host.nats.max_payload()),
        Ending::Failed(_) => false,
    }
}

/// Stores the output of a task; what is left of the ending is where it lies.
pub(crate) async fn output(held: &Held, ending: Ending) -> Result<(Ending, Option<PayloadName>), Unsettled> {
    let Ending::Succeeded(Output { content_type, payload }) = ending else { return Ok((ending, None)) };
    let (lane, owner) = (&held.lane, held.reference());
    let (payloads, name) = (lane.host.stores.payloads(&lane.tenant), PayloadName::output(rand::random()));
    let ttl = Duration::from_secs(held.runner.spec.results_ttl);
    let storing =
        persist("output", fault, |_| false, || payloads.store_output(&name, &owner, ttl, payload.clone()));
    let stored = tokio::select! {
        stored = storing => stored,
        () = lane.host.leaving_now.cancelled() => {
            let reason = "the host left before its output had been stored";
            return Ok((Ending::Failed(Failure::new(Outcome::Interrupted, reason)), None));
        }
    };
    match stored {
        Ok(()) => {
            let rest = Output { content_type, payload: Bytes::new() };
            Ok((Ending::Succeeded(rest), Some(name)))
        }
        Err(Some(error @ StoreError::Full(_))) => {
            let reason =
                format!("its output of {} cannot be stored: {error}", format_bytes(payload.len() as u64));
            Ok((Ending::Failed(Failure::new(Outcome::OutputTooLarge, &reason)), None))
        }
        Err(_) => Err(Unsettled),
    }
}

/// Removes what a task left in the object store that has ended well, and what the result of another has made needless.
/// What stays behind is swept.
pub(crate) async fn forget(lane: &OpenLane, name: &PayloadName) {
    if let Err(error) = lane.host.stores.payloads(&lane.tenant).remove(name).await {
        tracing::warn!(tenant = %lane.tenant, %name, %error, "a payload that nobody needs stays behind for a while");
    }
}

fn fault(error: &StoreError) -> Fault {
    match error {
        StoreError::Unavailable | StoreError::Conflict => Fault::Unavailable,
        StoreError::NotFound(_) => Fault::NotFound,
        _ => Fault::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_largest_payload_has_room_on_the_smallest_host_and_a_second_one_has_none() {
        tokio::time::pause();
        let room = ClaimRoom::beside(1);
        let first = room.take(PAYLOAD_MAX_BYTES).await.expect("there is room");
        assert!(room.take(1).await.is_none());
        drop(first);
        assert!(room.take(1).await.is_some() && room.take(0).await.is_some());
    }

    #[tokio::test]
    async fn the_room_grows_with_the_host() {
        tokio::time::pause();
        let room = ClaimRoom::beside(1 << 30);
        let mut taken = Vec::new();
        while let Some(one) = room.take(PAYLOAD_MAX_BYTES).await {
            taken.push(one);
        }
        assert_eq!(taken.len(), 4);
    }
}

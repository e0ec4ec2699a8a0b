//! Timers: tasks that wait for a point in time, in a stream of their tenant that only hosts and operators write.
//!
//! The server itself waits: a timer is a message with a schedule, which the server moves to the subject of what is due
//! and removes. A stream with schedules gives up its oldest messages when it is full, so this one has no limits of its
//! own; whoever writes asks for room first. Hosts that write at the same moment can go over the quota by a message each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_nats::header::NATS_MESSAGE_ID;
use bytes::Bytes;
use saggar_model::{
    DeadLetter, QueueName, Quota, Subjects, TaskId, TaskRef, TenantName, Ticket, TimerName, TimerSubject,
    format_time, header_name, parse_time,
};
use serde::Deserialize;
use serde_json::json;

use crate::api::RequestError;
use crate::blobs::renew_payload;
use crate::direct::Kept;
use crate::headers::{Headers, pairs, wire_bytes};
use crate::layout::{TIMERS_PREFIX, task_max_bytes};
use crate::state::States;
use crate::{Fault, Nats, ProvisionError, Provisioner, StateError, Tenants, TenantsError};

/// When the server moves the message.
const SCHEDULE: &str = "Nats-Schedule";
/// Where to.
const SCHEDULE_TARGET: &str = "Nats-Schedule-Target";

pub(crate) const SETTING: &str = "setting a timer";

/// How long an answer about the room in a stream is good: long enough that a burst of retries asks once, short enough
/// that other hosts' timers are seen.
const ROOM_IS_KNOWN: Duration = Duration::from_secs(1);

/// The timers of all tenants. Clones share what they know of the room there is.
#[derive(Debug, Clone)]
pub struct Timers {
    pub(crate) nats: Nats,
    rooms: Arc<Mutex<HashMap<TenantName, Room>>>,
}

/// A timer to be set.
#[derive(Debug, Clone)]
pub struct NewTimer {
    /// The queue its task goes into.
    pub queue: QueueName,
    /// What the task is called.
    pub id: TaskId,
    /// What the timer is called. Set twice within two minutes, it is set once.
    pub name: TimerName,
    /// When it is due. The past is now.
    pub due: SystemTime,
    /// The plugin's input.
    pub payload: Bytes,
    /// The publisher's headers. Others are left out.
    pub headers: Vec<(String, String)>,
    /// Where the record lies of what the task has been through.
    pub ticket: Option<Ticket>,
    /// Within two minutes, a second timer with the same message id is dropped; without, the timer's name.
    pub message_id: Option<String>,
}

/// A timer as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingTimer {
    /// The queue its task goes into.
    pub queue: QueueName,
    /// What the task is called.
    pub id: TaskId,
    /// What the timer is called.
    pub name: TimerName,
    /// When it is due.
    pub due: SystemTime,
    /// It is due, and its task not yet in its queue.
    pub is_due: bool,
    /// Its place in the tenant's stream of timers.
    pub sequence: u64,
    /// When it was set.
    pub set_at: SystemTime,
    /// Bytes of the payload.
    pub size: usize,
    /// Where the record lies of what the task has been through: it waits for another attempt.
    pub ticket: Option<Ticket>,
    /// The task that waits for this one.
    pub group: Option<TaskRef>,
}

/// Why a timer was not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimerError {
    /// The tenant's quota is used up.
    #[error(
        "tenant {tenant} has as many tasks delayed as its quota allows; wait for some to become due, or raise quota.tasks \
         or quota.bytes"
    )]
    Full {
        /// The tenant.
        tenant: TenantName,
    },
    /// It would not fit into its queue when it is due. Nothing was sent.
    #[error("the task has {size} bytes with its headers and those of a timer, and may have {max}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The most it may have.
        max: usize,
    },
    /// There is no such tenant.
    #[error("there is no tenant {tenant}; see `saggar tenant ls`")]
    NoTenant {
        /// The tenant.
        tenant: TenantName,
    },
    /// The tenant's record could not be read.
    #[error(transparent)]
    Tenants(#[from] TenantsError),
    /// The stream could not be made.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// NATS refused or did not answer. The timer may have been set; setting it again under its name does no harm.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl TimerError {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Full { .. } => Fault::Denied,
            Self::TooLarge { .. } => Fault::Invalid,
            Self::NoTenant { .. } => Fault::NotFound,
            Self::Tenants(error) => error.fault(),
            Self::Provision(error) => error.fault(),
            Self::Request(error) => error.fault(),
        }
    }
}

/// The room that was left in a tenant's stream a moment ago, less what was written since.
#[derive(Debug, Clone, Copy)]
struct Room {
    asked: Instant,
    messages: u64,
    bytes: u64,
}

impl Room {
    fn left(quota: &Quota, messages: u64, bytes: u64) -> Self {
        Self {
            asked: Instant::now(),
            messages: quota.tasks.saturating_sub(messages),
            bytes: quota.bytes.saturating_sub(bytes),
        }
    }

    /// Takes the room of one message; the answer says whether there is any.
    fn take(&mut self, bytes: u64) -> bool {
        let fits = self.messages > 0 && self.bytes >= bytes;
        if fits {
            self.messages -= 1;
            self.bytes -= bytes;
        }
        fits
    }
}

impl Timers {
    /// The timers in this NATS. A tenant's stream is made when its first timer is set.
    #[must_use]
    pub fn new(nats: &Nats) -> Self {
        Self { nats: nats.clone(), rooms: Arc::default() }
    }

    /// Sets a timer. When this returns, the task waits for its time and nothing else.
    ///
    /// # Errors
    /// See [`TimerError`]; after a time-out it may be set all the same.
    pub async fn put(&self, tenant: &TenantName, timer: NewTimer) -> Result<(), TimerError> {
        let (subject, built, payload) = message(tenant, timer);
        let built = built.into_map();
        // What it carries as a timer is more than what it will carry into its queue.
        let (size, max) = (payload.len() + wire_bytes(&built), task_max_bytes(self.nats.max_payload()));
        if size > max {
            return Err(TimerError::TooLarge { size, max });
        }
        renew_payload(&self.nats, tenant, pairs(&built)).await?;
        self.take_room(tenant, size as u64).await?;
        let store = || self.nats.store(SETTING, subject.clone(), Some(built.clone()), payload.clone());
        match store().await {
            Err(RequestError::NoResponders { .. }) => {
                self.make(tenant).await?;
                store().await?;
            }
            stored => drop(stored?),
        }
        Ok(())
    }

    async fn take_room(&self, tenant: &TenantName, bytes: u64) -> Result<(), TimerError> {
        let known = |rooms: &mut HashMap<TenantName, Room>| {
            rooms
                .get_mut(tenant)
                .filter(|room| room.asked.elapsed() < ROOM_IS_KNOWN)
                .map(|room| room.take(bytes))
        };
        let taken = known(&mut self.rooms());
        let fits = if let Some(fits) = taken {
            fits
        } else {
            let mut room = self.room(tenant).await?;
            let fits = room.take(bytes);
            self.rooms().insert(tenant.clone(), room);
            fits
        };
        if fits { Ok(()) } else { Err(TimerError::Full { tenant: tenant.clone() }) }
    }

    async fn room(&self, tenant: &TenantName) -> Result<Room, TimerError> {
        let entry = Tenants::new(&self.nats).get(tenant).await?;
        let quota = entry.ok_or_else(|| TimerError::NoTenant { tenant: tenant.clone() })?.record.spec.quota;
        match self.nats.stream_info(&Subjects::of(tenant).timers_stream()).await {
            Ok(info) => Ok(Room::left(&quota, info.state.messages, info.state.bytes)),
            Err(error) if error.is_not_found() => Ok(Room::left(&quota, 0, 0)),
            Err(error) => Err(error.into()),
        }
    }

    fn rooms(&self) -> std::sync::MutexGuard<'_, HashMap<TenantName, Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a tenant's stream, with as many copies as its tasks have.
    async fn make(&self, tenant: &TenantName) -> Result<(), TimerError> {
        let tasks = self.nats.stream_info(&Subjects::of(tenant).tasks_stream()).await?;
        let replicas = u32::try_from(tasks.config.num_replicas).unwrap_or(1);
        Ok(Provisioner::new(&self.nats, replicas).ensure_timers(tenant).await?)
    }

    /// The timer of a task; of several, the one that was set first.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn find(
        &self,
        tenant: &TenantName,
        queue: &QueueName,
        id: &TaskId,
    ) -> Result<Option<WaitingTimer>, RequestError> {
        Ok(self.scan(tenant, Some(queue), Some(id), 1).await?.into_iter().next())
    }

    /// Up to `limit` timers of a tenant or of one queue, in the order they were set.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn list(
        &self,
        tenant: &TenantName,
        queue: Option<&QueueName>,
        limit: usize,
    ) -> Result<Vec<WaitingTimer>, RequestError> {
        self.scan(tenant, queue, None, limit).await
    }

    /// Whether a timer waits, or is due and its task not yet in its queue.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn holds(
        &self,
        tenant: &TenantName,
        queue: &QueueName,
        id: &TaskId,
        name: &TimerName,
    ) -> Result<bool, RequestError> {
        let subjects = Subjects::of(tenant);
        let stream = subjects.timers_stream();
        // In the order of its way: what has left the one before it was looked at is found in the other.
        for subject in [subjects.timer(queue, id, name), subjects.due(queue, id, name)] {
            match self.nats.last_of("looking for a timer", &stream, &subject).await {
                Ok(Some(_)) => return Ok(true),
                Ok(None) => {}
                Err(error) if error.is_not_found() => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Removes a timer, with the record of what its task has been through. The answer says whether it was there: if
    /// not, its task is in its queue by now, or another was faster.
    ///
    /// # Errors
    /// NATS refuses or does not answer.
    pub async fn remove(&self, tenant: &TenantName, timer: &WaitingTimer) -> Result<bool, StateError> {
        let stream = Subjects::of(tenant).timers_stream();
        let removed = self.nats.delete_message("removing a timer", &stream, timer.sequence).await?;
        if removed && let Some(ticket) = &timer.ticket {
            let states = States::new(&self.nats);
            if let Some(state) = states.get(tenant, &timer.queue, ticket.origin).await? {
                states.remove(state.revision).await?;
            }
        }
        Ok(removed)
    }

    /// The tenants that have a stream of timers.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn tenants(&self) -> Result<Vec<TenantName>, RequestError> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            streams: Option<Vec<String>>,
            #[serde(default)]
            total: usize,
        }
        let (mut seen, mut tenants) = (0, Vec::new());
        loop {
            let body = json!({ "subject": Subjects::ALL_TIMERS, "offset": seen });
            let Page { streams, total } = self.nats.ask("listing timers", "STREAM.NAMES", &body).await?;
            let streams = streams.unwrap_or_default();
            seen += streams.len();
            let last = streams.is_empty() || seen >= total;
            tenants.extend(streams.iter().filter_map(|name| name.strip_prefix(TIMERS_PREFIX)?.parse().ok()));
            if last {
                return Ok(tenants);
            }
        }
    }

    async fn scan(
        &self,
        tenant: &TenantName,
        queue: Option<&QueueName>,
        id: Option<&TaskId>,
        limit: usize,
    ) -> Result<Vec<WaitingTimer>, RequestError> {
        let subjects = Subjects::of(tenant);
        let mut timers = Vec::new();
        for filter in subjects.timers_of(queue, id) {
            match self.nats.scan("listing timers", &subjects.timers_stream(), &filter, 0, limit).await {
                Ok(kept) => timers.extend(kept.iter().filter_map(|kept| read(&subjects, kept))),
                Err(error) if error.is_not_found() => return Ok(Vec::new()),
                Err(error) => return Err(error),
            }
        }
        timers.sort_by_key(|timer| timer.sequence);
        timers.truncate(limit);
        Ok(timers)
    }
}

/// What a timer is as a message: its subject, its headers and its payload.
pub(crate) fn message(tenant: &TenantName, timer: NewTimer) -> (String, Headers, Bytes) {
    let NewTimer { queue, id, name, due, payload, headers, ticket, message_id } = timer;
    let subjects = Subjects::of(tenant);
    let mut built = carried(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let due = format_time(due);
    built.set(SCHEDULE, format!("@at {due}"));
    built.set(SCHEDULE_TARGET, subjects.due(&queue, &id, &name));
    built.set(header_name::DUE, due);
    if let Some(ticket) = ticket {
        built.set(header_name::STATE, ticket.to_string());
    }
    built.set_name(NATS_MESSAGE_ID, message_id.unwrap_or_else(|| name.to_string()));
    (subjects.timer(&queue, &id, &name), built, payload)
}

/// The publisher's headers of a task, as far as they can be sent: what a task is to carry on must not keep it.
pub(crate) fn carried<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Headers {
    let mut built = Headers::new();
    for (name, value) in DeadLetter::publishers(headers) {
        built.append(&name, &value);
    }
    built
}

fn read(subjects: &Subjects, kept: &Kept) -> Option<WaitingTimer> {
    let TimerSubject { is_due, queue, id, name } = subjects.read_timer(&kept.subject)?;
    Some(WaitingTimer {
        queue,
        id,
        name,
        due: kept.header(header_name::DUE).and_then(parse_time).unwrap_or(kept.time),
        is_due,
        sequence: kept.sequence,
        set_at: kept.time,
        size: kept.payload.len(),
        ticket: kept.header(header_name::STATE).and_then(|ticket| ticket.parse().ok()),
        group: kept.header(header_name::GROUP).and_then(|task| task.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_header_keeps_a_task_from_being_carried_on() {
        let headers =
            [("X-A", "a\0b"), ("", "x"), ("a b:", "x"), ("Nats-Rollup", "all"), ("Saggar-State", "1.a.1")];
        let map = carried(headers).into_map();
        let carried: Vec<_> = pairs(&map).collect();
        assert_eq!(carried, [("X-A", "a\\u{0}b")]);
    }

    #[test]
    fn the_room_of_a_quota_is_taken_message_by_message() {
        let quota = Quota { tasks: 10, bytes: 1000, ..Quota::default() };
        let mut room = Room::left(&quota, 8, 500);
        assert!(room.take(100) && !room.take(401) && room.take(400) && !room.take(0));
        assert!(!Room::left(&quota, 11, 0).take(0), "over the quota already");
    }
}

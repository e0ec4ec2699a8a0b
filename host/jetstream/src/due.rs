//! What is due, on its way from the timers into its queue.
//!
//! A server that is killed at the moment a timer becomes due may make it due twice, and a host may be lost after it
//! has published and before it has acknowledged. So what tells one timer from another is its name, which both have in
//! common, and never its place in the stream.

use std::time::SystemTime;

use async_nats::header::NATS_MESSAGE_ID;
use saggar_model::{Subjects, TenantName, TimerSubject, header_name, parse_time};

use crate::api::{RequestError, code};
use crate::blobs::renew_payload;
use crate::headers::Headers;
use crate::records::Results;
use crate::timers::carried;
use crate::{Delivery, Nats, RecordsError, Timers};

/// How a task came into its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// It was published.
    Published,
    /// It had been published before.
    Already,
}

/// Why a task is not in its queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmoved {
    /// The tenant has as many tasks queued as its quota allows.
    #[error("the tenant's quota of queued tasks is used up")]
    Full,
    /// There is no such queue, or its stream has no leader at the moment.
    #[error("no stream listens on {subject}")]
    NoQueue {
        /// Where it should have been published.
        subject: String,
    },
    /// The subject is none of a timer's.
    #[error("{subject} is no timer")]
    NoTimer {
        /// The subject, escaped.
        subject: String,
    },
    /// What became of it could not be found out.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// NATS refused or did not answer. It may have been published.
    #[error(transparent)]
    Request(#[from] RequestError),
}

const MOVING: &str = "moving a task from its timer into its queue";

impl Timers {
    /// Publishes the task of a timer that is due into its queue, under its id, once. When this returns without an error,
    /// the delivery can be acknowledged.
    ///
    /// # Errors
    /// See [`Unmoved`]: the timer has to stay.
    pub async fn move_on(&self, tenant: &TenantName, due: &Delivery) -> Result<Moved, Unmoved> {
        let subjects = Subjects::of(tenant);
        let no_timer = || Unmoved::NoTimer { subject: saggar_model::escape_and_cut(due.subject(), 256) };
        let timer = subjects.read_timer(due.subject()).filter(|timer| timer.is_due).ok_or_else(no_timer)?;
        if due.delivered() > 1 && self.is_moved(tenant, &timer, due).await? {
            return Ok(Moved::Already);
        }
        renew_payload(&self.nats, tenant, due.headers()).await?;
        let mut headers = Self::headers(&timer, due);
        headers.set_name(NATS_MESSAGE_ID, timer.name.to_string());
        let stored = self.publish(&subjects, &timer, headers, due).await?;
        if !stored.duplicate {
            return Ok(Moved::Published);
        }
        let found = self.nats.at(MOVING, &subjects.tasks_stream(), stored.sequence).await?;
        match found {
            Some(kept) if kept.header(header_name::TIMER) != Some(timer.name.as_str()) => {
                // Somebody has used up the name as the id of another message.
                self.publish(&subjects, &timer, Self::headers(&timer, due), due).await?;
                Ok(Moved::Published)
            }
            // It is there, or has been run already: names are drawn at random, and seen by hosts only.
            Some(_) | None => Ok(Moved::Already),
        }
    }

    /// Whether a timer is somewhere between being set and its task being run.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn is_under_way(
        &self,
        tenant: &TenantName,
        timer: &TimerSubject,
    ) -> Result<bool, RequestError> {
        Ok(self.holds(tenant, &timer.queue, &timer.id, &timer.name).await?
            || self.nats.queued_by(tenant, timer).await?)
    }

    fn headers(timer: &TimerSubject, due: &Delivery) -> Headers {
        let mut headers = carried(due.headers());
        headers.set(header_name::TIMER, timer.name.to_string());
        if let Some(ticket) = header(due, header_name::STATE) {
            headers.set(header_name::STATE, ticket.to_owned());
        }
        headers
    }

    async fn publish(
        &self,
        subjects: &Subjects,
        timer: &TimerSubject,
        headers: Headers,
        due: &Delivery,
    ) -> Result<crate::api::Stored, Unmoved> {
        let subject = subjects.task(&timer.queue, Some(&timer.id));
        let storing =
            self.nats.store(MOVING, subject.clone(), Some(headers.into_map()), due.payload().clone());
        storing.await.map_err(|error| match error {
            RequestError::Refused { code: code::STREAM_FULL, .. } => Unmoved::Full,
            RequestError::NoResponders { .. } => Unmoved::NoQueue { subject },
            error => Unmoved::Request(error),
        })
    }

    /// Whether the task of a timer that was delivered before is in its queue, or has ended since it was due.
    async fn is_moved(
        &self,
        tenant: &TenantName,
        timer: &TimerSubject,
        due: &Delivery,
    ) -> Result<bool, Unmoved> {
        if self.nats.queued_by(tenant, timer).await? {
            return Ok(true);
        }
        let due = header(due, header_name::DUE).and_then(parse_time).unwrap_or(SystemTime::UNIX_EPOCH);
        let result = Results::new(&self.nats).get(tenant, &timer.queue, &timer.id).await?;
        Ok(result.is_some_and(|result| result.stored_at >= due))
    }
}

impl Nats {
    /// Whether the last task of that id in its queue came out of this timer.
    async fn queued_by(&self, tenant: &TenantName, timer: &TimerSubject) -> Result<bool, RequestError> {
        let subjects = Subjects::of(tenant);
        let subject = subjects.task(&timer.queue, Some(&timer.id));
        let kept = self.last_of(MOVING, &subjects.tasks_stream(), &subject).await?;
        Ok(kept.is_some_and(|kept| kept.header(header_name::TIMER) == Some(timer.name.as_str())))
    }
}

/// The value of a header, which only hosts set and therefore as it is written.
fn header<'a>(delivery: &'a Delivery, wanted: &str) -> Option<&'a str> {
    delivery.headers().find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

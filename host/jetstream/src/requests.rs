//! Requests about one task, as hosts hear and answer them.

use std::fmt::Display;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use saggar_model::{CancelRequest, NameError, StateRequest, TenantName, may_answer_to};
use serde::Serialize;
use serde_json::json;

use crate::Fault;
use crate::api::RequestError;
use crate::control::{Control, GROUP};

/// A request that has arrived, and where its answer goes.
#[derive(Debug)]
pub struct Asked<R> {
    /// What is asked; or why it cannot be understood.
    pub request: Result<R, NameError>,
    /// Whose it is, if a tenant can be called so.
    pub tenant: Option<TenantName>,
    /// Where the answer goes; nothing if nobody waits, or where nothing may be sent.
    reply: Option<async_nats::Subject>,
}

/// Why a request is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    code: &'static str,
    title: &'static str,
    detail: String,
}

impl Refusal {
    /// For a failure of this kind, in these words.
    #[must_use]
    pub fn new(fault: Fault, detail: impl Display) -> Self {
        let (code, title) = match fault {
            Fault::NotFound => ("not-found", "What was named is not there"),
            Fault::Invalid => ("invalid", "The request makes no sense"),
            Fault::Unavailable => ("unavailable", "JetStream does not answer"),
            Fault::Denied | Fault::Conflict | Fault::Internal => ("internal", "The host could not do it"),
        };
        Self { code, title, detail: detail.to_string() }
    }

    /// The host has too much to do.
    #[must_use]
    pub fn busy() -> Self {
        Self {
            code: "busy",
            title: "The host has too much to do",
            detail: "too many requests of this tenant are under way; ask again".to_owned(),
        }
    }

    /// As RFC 9457 has it.
    pub(crate) fn document(&self) -> serde_json::Value {
        let Self { code, title, detail } = self;
        json!({ "type": format!("urn:saggar:error:{code}"), "title": title, "detail": detail, "code": code })
    }
}

impl Control {
    /// Requests to cancel, of which each goes to one host.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn cancel_requests(
        &self,
    ) -> Result<impl Stream<Item = Asked<CancelRequest>> + use<>, RequestError> {
        self.requests(CancelRequest::SUBJECTS, CancelRequest::read).await
    }

    /// Requests for the place of a task, of which each goes to one host.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn state_requests(
        &self,
    ) -> Result<impl Stream<Item = Asked<StateRequest>> + use<>, RequestError> {
        self.requests(StateRequest::SUBJECTS, StateRequest::read).await
    }

    async fn requests<R>(
        &self,
        subjects: &'static str,
        read: fn(&str) -> Result<R, NameError>,
    ) -> Result<impl Stream<Item = Asked<R>> + use<R>, RequestError> {
        let subscribing = self.nats.client().queue_subscribe(subjects, GROUP.to_owned());
        let asked =
            subscribing.await.map_err(|_| RequestError::Closed { doing: "listening for requests" })?;
        Ok(asked.map(move |message| {
            let tenant: Option<TenantName> =
                message.subject.split('.').nth(1).and_then(|tenant| tenant.parse().ok());
            let reply = message.reply.filter(|reply| may_answer_to(tenant.as_ref(), reply));
            Asked { request: read(&message.subject), tenant, reply }
        }))
    }

    /// Answers a request.
    pub async fn answer<R>(&self, asked: Asked<R>, answer: Result<impl Serialize, Refusal>) {
        let Some(reply) = asked.reply else { return };
        let document = match answer {
            Ok(data) => json!({ "data": data, "meta": {} }),
            Err(refusal) => refusal.document(),
        };
        let sent =
            self.nats.send("answering a request", reply, None, Bytes::from(document.to_string())).await;
        if let Err(error) = sent {
            tracing::debug!(%error, "an answer was lost");
        }
    }
}

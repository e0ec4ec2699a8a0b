//! Requests that hosts answer, and what hosts tell each other. Nothing of it is stored: whoever asks again asks anew.

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use saggar_model::{CancelAnswer, CancelRequest, Cancellation, HostName, NameError, may_answer_to};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::RequestError;
use crate::{CancelError, Fault, Nats};

/// One of the hosts answers a request.
pub(crate) const GROUP: &str = "saggar-hosts";

/// How long an answer may take: a few reads and two writes, one of them perhaps while a stream changes its leader.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Where a host is told to leave.
fn drain_subject(host: &HostName) -> String {
    format!("saggar-hosts.drain.{host}")
}

/// Asks hosts, and answers for one.
#[derive(Debug, Clone)]
pub struct Control {
    pub(crate) nats: Nats,
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// No host listens.
    #[error("no host answers")]
    NoHost,
    /// A host said why not.
    #[error("{detail}")]
    Refused {
        /// What kind of failure it was, as a program reads it.
        code: String,
        /// In words.
        detail: String,
    },
    /// NATS does not answer.
    #[error(transparent)]
    Request(RequestError),
}

impl ControlError {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoHost => Fault::Unavailable,
            Self::Refused { code, .. } => match code.as_str() {
                "not-found" => Fault::NotFound,
                "invalid" | "too-large" => Fault::Invalid,
                "conflict" | "changed" => Fault::Conflict,
                "quota-full" => Fault::Denied,
                "unavailable" | "busy" => Fault::Unavailable,
                _ => Fault::Internal,
            },
            Self::Request(error) => error.fault(),
        }
    }
}

/// A request to cancel that has arrived, and where its answer goes.
#[derive(Debug)]
pub struct CancelAsked {
    /// What is asked; or why it cannot be understood.
    pub request: Result<CancelRequest, NameError>,
    reply: Option<async_nats::Subject>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Document {
    Success { data: CancelAnswer },
    Problem { code: String, detail: String },
}

impl Control {
    /// The hosts of this NATS.
    #[must_use]
    pub fn new(nats: &Nats) -> Self {
        Self { nats: nats.clone() }
    }

    /// Asks the hosts to cancel a task.
    ///
    /// # Errors
    /// No host is there, there is no such task, or NATS does not answer.
    pub async fn cancel(&self, request: &CancelRequest) -> Result<CancelAnswer, ControlError> {
        const DOING: &str = "cancelling a task";
        let answer = self
            .nats
            .request(DOING, request.subject(), None, Bytes::new(), ANSWER_TIMEOUT)
            .await
            .map_err(no_host)?;
        match serde_json::from_slice(&answer.payload) {
            Ok(Document::Success { data }) => Ok(data),
            Ok(Document::Problem { code, detail }) => Err(ControlError::Refused { code, detail }),
            Err(error) => Err(ControlError::Request(RequestError::Unreadable {
                doing: DOING,
                reason: error.to_string(),
            })),
        }
    }

    /// Requests to cancel, of which each goes to one host.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn cancel_requests(&self) -> Result<impl Stream<Item = CancelAsked> + use<>, RequestError> {
        let subscribing = self.nats.client().queue_subscribe(CancelRequest::SUBJECTS, GROUP.to_owned());
        let asked =
            subscribing.await.map_err(|_| RequestError::Closed { doing: "listening for requests" })?;
        Ok(asked.map(|message| CancelAsked {
            request: CancelRequest::read(&message.subject),
            reply: message.reply,
        }))
    }

    /// Answers a request.
    pub async fn answer(&self, asked: CancelAsked, answer: Result<CancelAnswer, CancelError>) {
        let tenant = asked.request.as_ref().ok().map(|request| &request.tenant);
        let Some(reply) = asked.reply.filter(|reply| may_answer_to(tenant, reply)) else { return };
        let document = match answer {
            Ok(data) => json!({ "data": data, "meta": {} }),
            Err(error) => problem(&error),
        };
        let sent =
            self.nats.send("answering a request", reply, None, Bytes::from(document.to_string())).await;
        if let Err(error) = sent {
            tracing::debug!(%error, "an answer was lost");
        }
    }

    /// Tells all hosts that a task has been cancelled.
    ///
    /// # Errors
    /// The connection is down for long.
    pub async fn announce(&self, cancellation: &Cancellation) -> Result<(), RequestError> {
        const DOING: &str = "telling hosts of a cancelled task";
        let body = serde_json::to_vec(cancellation)
            .map_err(|error| RequestError::Unreadable { doing: DOING, reason: error.to_string() })?;
        self.nats.send(DOING, Cancellation::SUBJECT, None, body.into()).await
    }

    /// What hosts tell each other of cancelled tasks.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn announced(&self) -> Result<impl Stream<Item = Cancellation> + use<>, RequestError> {
        let subscribing = self.nats.client().subscribe(Cancellation::SUBJECT);
        let told =
            subscribing.await.map_err(|_| RequestError::Closed { doing: "listening to other hosts" })?;
        Ok(told.filter_map(async |message| serde_json::from_slice(&message.payload).ok()))
    }

    /// Tells a host to leave; it has begun to when this returns.
    ///
    /// # Errors
    /// There is no such host, or NATS does not answer.
    pub async fn drain(&self, host: &HostName) -> Result<(), ControlError> {
        let asked =
            self.nats.request("draining a host", drain_subject(host), None, Bytes::new(), ANSWER_TIMEOUT);
        asked.await.map(|_| ()).map_err(no_host)
    }

    /// Waits until this host is told to leave, and says that it does.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn drained(&self, host: &HostName) -> Result<(), RequestError> {
        const DOING: &str = "listening for orders";
        let subscribing = self.nats.client().subscribe(drain_subject(host));
        let mut orders = subscribing.await.map_err(|_| RequestError::Closed { doing: DOING })?;
        let order = orders.next().await.ok_or(RequestError::Closed { doing: DOING })?;
        match order.reply {
            Some(reply) => self.nats.send(DOING, reply, None, Bytes::new()).await,
            None => Ok(()),
        }
    }
}

pub(crate) fn no_host(error: RequestError) -> ControlError {
    match error {
        RequestError::NoResponders { .. } => ControlError::NoHost,
        other => ControlError::Request(other),
    }
}

/// An error as RFC 9457 has it.
fn problem(error: &CancelError) -> serde_json::Value {
    let (code, title) = match error.fault() {
        Fault::NotFound => ("not-found", "What was named is not there"),
        Fault::Invalid => ("invalid", "The request makes no sense"),
        Fault::Unavailable => ("unavailable", "JetStream does not answer"),
        Fault::Denied | Fault::Conflict | Fault::Internal => ("internal", "The host could not do it"),
    };
    json!({
        "type": format!("urn:saggar:error:{code}"), "title": title, "detail": error.to_string(), "code": code,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_from_an_answer() {
        let error =
            CancelError::Name("saggar.a.control.cancel.q.ä".parse::<saggar_model::TaskId>().unwrap_err());
        let text = problem(&error).to_string();
        match serde_json::from_str(&text).unwrap() {
            Document::Problem { code, detail } => {
                assert!(code == "invalid" && detail.contains("task id"), "{detail}");
            }
            Document::Success { .. } => panic!("{text}"),
        }
    }
}

//! Requests that hosts answer, and what hosts tell each other. Nothing of it is stored: whoever asks again asks anew.

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use saggar_model::{CancelAnswer, CancelRequest, Cancellation, HostName};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::api::RequestError;
use crate::{Fault, Nats};

/// One of the hosts answers a request.
pub(crate) const GROUP: &str = "saggar-hosts";

/// How long an answer may take: a few reads and two writes, one of them perhaps while a stream changes its leader.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// How often a host is asked again that has too much to do, and how long it is left alone.
pub(crate) const BUSY_TRIES: u32 = 50;
pub(crate) const BUSY_PAUSE: Duration = Duration::from_millis(100);

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

/// What hosts answer.
#[derive(Deserialize)]
#[serde(untagged)]
enum Document<T> {
    Success { data: T },
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
        self.ask_hosts("cancelling a task", request.subject()).await
    }

    /// Asks the hosts, and again while the one that is asked has too much to do.
    pub(crate) async fn ask_hosts<T: DeserializeOwned>(
        &self,
        doing: &'static str,
        subject: String,
    ) -> Result<T, ControlError> {
        let mut busy = 0;
        loop {
            let asking = self.nats.request(doing, subject.clone(), None, Bytes::new(), ANSWER_TIMEOUT);
            match read(doing, &asking.await.map_err(no_host)?.payload) {
                Err(ControlError::Refused { code, .. }) if code == "busy" && busy < BUSY_TRIES => {
                    busy += 1;
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                answer => return answer,
            }
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

/// What an answer says.
pub(crate) fn read<T: DeserializeOwned>(doing: &'static str, json: &[u8]) -> Result<T, ControlError> {
    match serde_json::from_slice(json) {
        Ok(Document::Success { data }) => Ok(data),
        Ok(Document::Problem { code, detail }) => Err(ControlError::Refused { code, detail }),
        Err(error) => {
            Err(ControlError::Request(RequestError::Unreadable { doing, reason: error.to_string() }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests::Refusal;

    #[test]
    fn a_refusal_is_told_from_an_answer() {
        let error = "ä".parse::<saggar_model::TaskId>().unwrap_err();
        let text = Refusal::new(Fault::Invalid, error).document().to_string();
        let refused = read::<CancelAnswer>("asking", text.as_bytes()).unwrap_err();
        assert_eq!(refused.fault(), Fault::Invalid);
        assert!(refused.to_string().contains("task id"), "{refused}");
        let busy = Refusal::busy().document().to_string();
        assert_eq!(read::<CancelAnswer>("asking", busy.as_bytes()).unwrap_err().fault(), Fault::Unavailable);
    }
}

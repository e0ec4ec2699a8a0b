//! Requests to JetStream, and the one error they can end with.
//!
//! Every request is bounded, the wait for room in the client's queue included: while the connection is down that
//! queue fills, and a request must come back all the same.

use std::pin::pin;
use std::time::Duration;

use async_nats::client::PublishError;
use async_nats::{HeaderMap, Message, PublishErrorKind, Request, RequestErrorKind};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Fault, Nats};

/// How long a message may take to be stored. A cluster that loses a stream's leader stores nothing for 4 to 9 s;
/// less would turn every such change into failures, more would hold a slot for nothing.
pub const STORE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a read may take. Any replica answers reads, so that a change of leader hardly delays them.
pub const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a change of streams and consumers may take; in a cluster each makes a Raft group.
pub const ADMIN_TIMEOUT: Duration = Duration::from_secs(15);

/// Why a request to NATS got no good answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No answer came in time. What was asked may have been done all the same.
    #[error(
        "{doing}: NATS did not answer within {} s; check the server, and in this program's log whether it reports \
         missing permissions", .waited.as_secs()
    )]
    TimedOut {
        /// What was being done.
        doing: &'static str,
        /// How long it was waited for.
        waited: Duration,
    },
    /// Nothing listens on the subject.
    #[error("{doing}: nothing listens there; the stream does not exist, or has no leader at the moment")]
    NoResponders {
        /// What was being done.
        doing: &'static str,
    },
    /// The server does not let us ask.
    #[error(
        "{doing}: these credentials may not {what} `{subject}`; those of a tenant's own account reach its tasks, results \
         and dead letters, and what hosts answer"
    )]
    Denied {
        /// What was being done.
        doing: &'static str,
        /// What is not allowed, as `publish to`.
        what: &'static str,
        /// With which subject.
        subject: String,
    },
    /// JetStream refused.
    #[error("{doing}: NATS refused: {description} (code {code})")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// JetStream's number of the error.
        code: u64,
        /// JetStream's words.
        description: String,
    },
    /// The message is larger than the server takes. Nothing was sent.
    #[error("{doing}: the message is larger than the server's max_payload of {max} bytes")]
    TooLarge {
        /// What was being done.
        doing: &'static str,
        /// The server's limit in bytes.
        max: usize,
    },
    /// The connection was closed for good, by this program.
    #[error("{doing}: the connection to NATS is closed")]
    Closed {
        /// What was being done.
        doing: &'static str,
    },
    /// The answer makes no sense.
    #[error("{doing}: the answer cannot be read: {reason}")]
    Unreadable {
        /// What was being done.
        doing: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// JetStream's numbers of the errors that mean something to us.
pub(crate) mod code {
    pub(crate) const CONSUMER_NOT_FOUND: u64 = 10_014;
    pub(crate) const NO_MESSAGE_FOUND: u64 = 10_037;
    pub(crate) const NOT_ENABLED_FOR_ACCOUNT: u64 = 10_039;
    pub(crate) const INSUFFICIENT_STORAGE: u64 = 10_047;
    pub(crate) const MESSAGE_TOO_LARGE: u64 = 10_054;
    pub(crate) const NO_MESSAGE_TO_DELETE: u64 = 10_057;
    pub(crate) const STREAM_NAME_IN_USE: u64 = 10_058;
    pub(crate) const STREAM_NOT_FOUND: u64 = 10_059;
    pub(crate) const WRONG_LAST_SEQUENCE: u64 = 10_071;
    pub(crate) const NOT_ENABLED: u64 = 10_076;
    pub(crate) const SEQUENCE_NOT_FOUND: u64 = 10_043;
    pub(crate) const STREAM_FULL: u64 = 10_077;
    /// [`WRONG_LAST_SEQUENCE`] of a cluster that has not decided yet.
    pub(crate) const WRONG_LAST_SEQUENCE_UNDECIDED: u64 = 10_164;
}

impl RequestError {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::TimedOut { .. } | Self::NoResponders { .. } | Self::Closed { .. } => Fault::Unavailable,
            Self::Denied { .. } => Fault::Denied,
            Self::TooLarge { .. } => Fault::Invalid,
            Self::Unreadable { .. } => Fault::Internal,
            Self::Refused { code, .. } => match *code {
                code::STREAM_NOT_FOUND | code::CONSUMER_NOT_FOUND | code::NO_MESSAGE_FOUND => Fault::NotFound,
                code::WRONG_LAST_SEQUENCE
                | code::WRONG_LAST_SEQUENCE_UNDECIDED
                | code::STREAM_NAME_IN_USE => Fault::Conflict,
                code::MESSAGE_TOO_LARGE | code::INSUFFICIENT_STORAGE => Fault::Invalid,
                code::NOT_ENABLED_FOR_ACCOUNT => Fault::Denied,
                _ => Fault::Unavailable,
            },
        }
    }

    /// JetStream's number of the error, if it was JetStream that refused.
    pub(crate) fn code(&self) -> Option<u64> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the last message of a subject was another than expected.
    pub(crate) fn is_wrong_sequence(&self) -> bool {
        matches!(self.code(), Some(code::WRONG_LAST_SEQUENCE | code::WRONG_LAST_SEQUENCE_UNDECIDED))
    }

    /// Whether there is no such stream or consumer.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self.code(), Some(code::STREAM_NOT_FOUND | code::CONSUMER_NOT_FOUND))
    }
}

/// Where a message was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    /// The message had been stored before, under the same message id.
    pub(crate) duplicate: bool,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Refusal {
    fn doing(self, doing: &'static str) -> RequestError {
        RequestError::Refused { doing, code: self.err_code, description: self.description }
    }
}

/// What JetStream answers to a request that it may refuse.
#[derive(Deserialize)]
struct Answer {
    error: Option<Refusal>,
}

/// What JetStream answers to a message it was to store.
#[derive(Deserialize)]
struct StoreAnswer {
    error: Option<Refusal>,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
}

impl Nats {
    /// Sends a message and waits for its one answer.
    pub(crate) async fn request(
        &self,
        doing: &'static str,
        subject: impl async_nats::ToSubject,
        headers: Option<HeaderMap>,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Message, RequestError> {
        let request = Request { payload: Some(payload), headers, timeout: Some(None), inbox: None };
        let subject = subject.to_subject();
        let asking = pin!(async {
            self.client().send_request(subject.clone(), request).await.map_err(|error| match error.kind() {
                RequestErrorKind::TimedOut => RequestError::TimedOut { doing, waited: timeout },
                RequestErrorKind::NoResponders => RequestError::NoResponders { doing },
                RequestErrorKind::MaxPayloadExceeded => {
                    RequestError::TooLarge { doing, max: self.max_payload() }
                }
                RequestErrorKind::InvalidSubject => {
                    RequestError::Unreadable { doing, reason: "the subject is not one".to_owned() }
                }
                RequestErrorKind::Other => RequestError::Closed { doing },
            })
        });
        self.answered(doing, &subject, timeout, asking).await
    }

    /// Waits for the answer to a request to `subject`, unless it is denied or `timeout` passes. The timer covers the wait
    /// for room in the client's queue, too, which the client's own does not.
    pub(crate) async fn answered<T>(
        &self,
        doing: &'static str,
        subject: &str,
        timeout: Duration,
        asking: impl Future<Output = Result<T, RequestError>> + Unpin,
    ) -> Result<T, RequestError> {
        let denied = self.denials().listen().denied(doing, subject, self.inbox_prefix());
        tokio::select! {
            biased;
            answer = tokio::time::timeout(timeout, asking) => {
                answer.unwrap_or(Err(RequestError::TimedOut { doing, waited: timeout }))
            }
            error = denied => Err(error),
        }
    }

    /// Has a message stored in the stream that listens on `subject`.
    ///
    /// After [`RequestError::TimedOut`] it may have been stored or not.
    pub(crate) async fn store(
        &self,
        doing: &'static str,
        subject: impl async_nats::ToSubject,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Stored, RequestError> {
        let answer = self.request(doing, subject, headers, payload, STORE_TIMEOUT).await?;
        store_answer(doing, &answer.payload)
    }

    /// Sends a message to be stored, whose answer goes to `reply`.
    pub(crate) async fn send_with_reply(
        &self,
        doing: &'static str,
        subject: String,
        reply: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), RequestError> {
        let sending = self.client().publish_with_reply_and_headers(subject, reply, headers, payload);
        self.sent(doing, sending).await
    }

    /// Asks JetStream's management interface. A `body` of `()` is no body.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        doing: &'static str,
        subject: &str,
        body: &impl Serialize,
    ) -> Result<T, RequestError> {
        let mut payload = serde_json::to_vec(body)
            .map_err(|error| RequestError::Unreadable { doing, reason: error.to_string() })?;
        if payload == b"null" {
            payload.clear();
        }
        let subject = format!("$JS.API.{subject}");
        let answer = self.request(doing, subject, None, payload.into(), ADMIN_TIMEOUT).await?;
        if let Some(refusal) = read::<Answer>(doing, &answer.payload)?.error {
            return Err(refusal.doing(doing));
        }
        read(doing, &answer.payload)
    }

    /// Deletes one message; the answer says whether it was there.
    pub(crate) async fn delete_message(
        &self,
        doing: &'static str,
        stream: &str,
        sequence: u64,
    ) -> Result<bool, RequestError> {
        let body = serde_json::json!({ "seq": sequence, "no_erase": true });
        match self.ask::<serde_json::Value>(doing, &format!("STREAM.MSG.DELETE.{stream}"), &body).await {
            Ok(_) => Ok(true),
            Err(error)
                if matches!(
                    error.code(),
                    Some(code::NO_MESSAGE_TO_DELETE | code::NO_MESSAGE_FOUND | code::SEQUENCE_NOT_FOUND)
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Publishes without waiting for an answer.
    pub(crate) async fn send(
        &self,
        doing: &'static str,
        subject: impl async_nats::ToSubject,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<(), RequestError> {
        let sending = async {
            match headers {
                Some(headers) => self.client().publish_with_headers(subject, headers, payload).await,
                None => self.client().publish(subject, payload).await,
            }
        };
        self.sent(doing, sending).await
    }

    /// Waits until the client has taken a message, which it does at once unless it is far behind.
    async fn sent(
        &self,
        doing: &'static str,
        sending: impl Future<Output = Result<(), PublishError>>,
    ) -> Result<(), RequestError> {
        match tokio::time::timeout(STORE_TIMEOUT, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(match error.kind() {
                PublishErrorKind::MaxPayloadExceeded => {
                    RequestError::TooLarge { doing, max: self.max_payload() }
                }
                PublishErrorKind::InvalidSubject => {
                    RequestError::Unreadable { doing, reason: "the subject is not one".to_owned() }
                }
                PublishErrorKind::Send => RequestError::Closed { doing },
            }),
            Err(_) => Err(RequestError::TimedOut { doing, waited: STORE_TIMEOUT }),
        }
    }
}

/// Reads what JetStream answers to a message it was to store.
pub(crate) fn store_answer(doing: &'static str, json: &[u8]) -> Result<Stored, RequestError> {
    let answer: StoreAnswer = read(doing, json)?;
    match answer.error {
        Some(refusal) => Err(refusal.doing(doing)),
        None if answer.seq == 0 => {
            Err(RequestError::Unreadable { doing, reason: "it names no sequence".to_owned() })
        }
        None => Ok(Stored { sequence: answer.seq, duplicate: answer.duplicate }),
    }
}

fn read<T: DeserializeOwned>(doing: &'static str, json: &[u8]) -> Result<T, RequestError> {
    serde_json::from_slice(json)
        .map_err(|error| RequestError::Unreadable { doing, reason: error.to_string() })
}

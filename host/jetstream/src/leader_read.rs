//! Reading the last message of a subject where it was written: a stream's leader knows it at once, the other replicas
//! a moment later.

use async_nats::datetime::parse_rfc3339;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use std::time::SystemTime;

use crate::Nats;
use crate::api::{RequestError, code};

/// A message as its leader has it.
#[derive(Debug, Clone)]
pub(crate) struct AtLeader {
    pub(crate) sequence: u64,
    pub(crate) time: SystemTime,
    pub(crate) payload: Bytes,
    headers: String,
}

#[derive(Deserialize)]
struct Answer {
    message: Stored,
}

#[derive(Deserialize)]
struct Stored {
    seq: u64,
    time: String,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
}

impl AtLeader {
    /// Whether there is such a header with another value. For headers that clients write as they are named here.
    pub(crate) fn header_is_other_than(&self, name: &str, value: &str) -> bool {
        let mut lines = self.headers.lines().filter_map(|line| line.split_once(':'));
        lines.any(|(found, said)| found == name && said.trim() != value)
    }

    fn read(stored: Stored) -> Option<Self> {
        // A publisher may have written anything there.
        let headers = String::from_utf8_lossy(&STANDARD.decode(stored.hdrs).ok()?).into_owned();
        let time = parse_rfc3339(&stored.time).ok()?.into();
        Some(Self { sequence: stored.seq, time, payload: STANDARD.decode(stored.data).ok()?.into(), headers })
    }
}

impl Nats {
    /// The last message of a subject, from the stream's leader; nothing also if there is no such stream.
    pub(crate) async fn last_at_leader(
        &self,
        doing: &'static str,
        stream: &str,
        subject: &str,
    ) -> Result<Option<AtLeader>, RequestError> {
        self.get_at_leader(doing, stream, json!({ "last_by_subj": subject })).await
    }

    /// The message at a place, from the stream's leader; nothing also if there is no such stream.
    pub(crate) async fn at_leader(
        &self,
        doing: &'static str,
        stream: &str,
        sequence: u64,
    ) -> Result<Option<AtLeader>, RequestError> {
        self.get_at_leader(doing, stream, json!({ "seq": sequence })).await
    }

    async fn get_at_leader(
        &self,
        doing: &'static str,
        stream: &str,
        body: serde_json::Value,
    ) -> Result<Option<AtLeader>, RequestError> {
        match self.ask::<Answer>(doing, &format!("STREAM.MSG.GET.{stream}"), &body).await {
            Ok(Answer { message }) => AtLeader::read(message).map(Some).ok_or(RequestError::Unreadable {
                doing,
                reason: "its parts are not written as they should be".to_owned(),
            }),
            Err(error) if error.is_not_found() || error.code() == Some(code::NO_MESSAGE_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

//! Requests about large payloads, as hosts answer them.

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use saggar_model::{
    BadPayloadRequest, PayloadName, PayloadRequest, RemovedAnswer, TenantName, header_name, may_answer_to,
};
use serde::Serialize;
use serde_json::json;

use crate::api::RequestError;
use crate::blobs::{PartError, PartRead};
use crate::control::{Control, GROUP};
use crate::headers::Headers;
use crate::{Payloads, Stores};

/// A request that has arrived, and where its answer goes.
#[derive(Debug)]
pub struct PayloadAsked {
    /// Whose it is.
    pub tenant: TenantName,
    request: Result<PayloadRequest, BadPayloadRequest>,
    content: Bytes,
    reply: async_nats::Subject,
}

/// What is answered.
#[derive(Debug)]
struct PayloadAnswered {
    headers: Headers,
    body: Bytes,
}

impl PayloadAsked {
    /// Reads a request; nothing if no tenant can have sent it, or nobody waits for an answer that may be sent there.
    fn read(message: async_nats::Message) -> Option<Self> {
        let tenant = PayloadRequest::tenant(&message.subject).ok()?;
        let reply = message.reply.filter(|reply| may_answer_to(Some(&tenant), reply))?;
        let headers = message.headers.unwrap_or_default();
        let request = PayloadRequest::read(|wanted| {
            let mut pairs = crate::headers::pairs(&headers);
            pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
        });
        Some(Self { tenant, request, content: message.payload, reply })
    }
}

impl Control {
    /// Requests about large payloads, of which each goes to one host.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn payload_requests(&self) -> Result<impl Stream<Item = PayloadAsked> + use<>, RequestError> {
        let subscribing = self.nats.client().queue_subscribe(PayloadRequest::SUBJECTS, GROUP.to_owned());
        let asked =
            subscribing.await.map_err(|_| RequestError::Closed { doing: "listening for payloads" })?;
        Ok(asked.filter_map(async |message| PayloadAsked::read(message)))
    }

    /// Does what is asked, and answers it.
    pub async fn serve_payload(&self, stores: &Stores, asked: PayloadAsked) {
        let PayloadAsked { tenant, request, content, reply } = asked;
        let answer = match request {
            Ok(request) => carry_out(&stores.payloads(&tenant), request, content).await,
            Err(bad) => Err(bad.into()),
        };
        self.answer_payload(reply, answer).await;
    }

    /// Answers that this host has too much to do.
    pub async fn refuse_payload(&self, asked: PayloadAsked) {
        self.answer_payload(asked.reply, Err(PartError::Busy)).await;
    }

    async fn answer_payload(&self, reply: async_nats::Subject, answer: Result<PayloadAnswered, PartError>) {
        let PayloadAnswered { headers, body } = answer.unwrap_or_else(|error| json_answer(&problem(&error)));
        let sent = self.nats.send("answering a request", reply, Some(headers.into_map()), body).await;
        if let Err(error) = sent {
            tracing::debug!(%error, "an answer was lost");
        }
    }
}

async fn carry_out(
    payloads: &Payloads,
    request: PayloadRequest,
    content: Bytes,
) -> Result<PayloadAnswered, PartError> {
    match request {
        PayloadRequest::Put { name, after } => {
            let name = name.unwrap_or_else(|| PayloadName::input(rand::random()));
            Ok(data(&payloads.put_part(name, after, content).await?))
        }
        PayloadRequest::Finish { name, digest } => Ok(data(&payloads.finish(name, digest).await?)),
        PayloadRequest::Get { name, after } => Ok(part(name, payloads.get_part(name, after).await?)),
        PayloadRequest::Remove { name } if !name.is_input() => Err(PartError::NotYours(name)),
        PayloadRequest::Remove { name } => {
            payloads.remove(&name).await?;
            Ok(data(&RemovedAnswer { object: name }))
        }
    }
}

fn part(name: PayloadName, read: PartRead) -> PayloadAnswered {
    let PartRead { content, after, size, digest } = read;
    let mut headers = Headers::new();
    headers.set(header_name::PAYLOAD, name.header());
    headers.set(header_name::SIZE, size.to_string());
    if let Some(digest) = digest {
        headers.set(header_name::DIGEST, digest.to_string());
    }
    if let Some(after) = after {
        headers.set(header_name::AFTER, after.to_string());
    }
    PayloadAnswered { headers, body: content }
}

fn data(data: &impl Serialize) -> PayloadAnswered {
    json_answer(&json!({ "data": data, "meta": {} }))
}

fn json_answer(document: &serde_json::Value) -> PayloadAnswered {
    let mut headers = Headers::new();
    let content_type =
        if document["data"].is_null() { "application/problem+json" } else { "application/json" };
    headers.set(header_name::CONTENT_TYPE, content_type.to_owned());
    PayloadAnswered { headers, body: Bytes::from(document.to_string()) }
}

/// An error as RFC 9457 has it.
fn problem(error: &PartError) -> serde_json::Value {
    let code = error.code();
    json!({
        "type": format!("urn:saggar:error:{code}"),
        "title": "The payload could not be stored, read or removed",
        "detail": error.to_string(),
        "code": code,
    })
}

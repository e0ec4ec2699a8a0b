//! Reading stored messages one by one or in order of their place, without a consumer.
//!
//! Any replica answers, so that in a cluster a read may be a moment behind the last write.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use futures::StreamExt as _;

use crate::api::{READ_TIMEOUT, RequestError};
use crate::{Nats, headers};

/// Messages asked for at once, however small. For every page the server counts what is behind it, subject by subject of
/// the whole stream, and until it has, the connection that asked waits with all else that it carries. The server bounds
/// the bytes itself.
pub(crate) const PAGE: usize = 8_192;

/// How long a replica may be behind a write that we know of.
const BEHIND_MAX: Duration = Duration::from_secs(2);

/// How long to let a replica catch up before it is asked again.
const CATCH_UP: Duration = Duration::from_millis(10);

/// What must be there, however far the replica that is asked lags behind; nothing if it does not show up.
pub(crate) async fn expected<T, E, F>(mut read: impl FnMut() -> F) -> Result<Option<T>, E>
where
    F: Future<Output = Result<Option<T>, E>>,
{
    let waiting = async {
        loop {
            if let Some(found) = read().await? {
                return Ok(Some(found));
            }
            tokio::time::sleep(CATCH_UP).await;
        }
    };
    tokio::time::timeout(BEHIND_MAX, waiting).await.unwrap_or(Ok(None))
}

/// A message as it lies in a stream.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) subject: String,
    pub(crate) sequence: u64,
    pub(crate) time: SystemTime,
    pub(crate) payload: Bytes,
    headers: HeaderMap,
}

impl Kept {
    /// Reads an answer to a direct get. One without a sequence says that there is no message.
    fn read(message: Message) -> Option<Self> {
        // A publisher can set these names too; the server's own come last.
        let headers = message.headers?;
        let last = |name| headers.get_last(name).map(async_nats::HeaderValue::as_str);
        let sequence = last(async_nats::header::NATS_SEQUENCE)?.parse().ok()?;
        let subject = last(async_nats::header::NATS_SUBJECT)?.to_owned();
        let time = async_nats::datetime::parse_rfc3339(last(async_nats::header::NATS_TIME_STAMP)?).ok()?;
        Some(Self { subject, sequence, time: time.into(), payload: message.payload, headers })
    }

    /// The first header of that name.
    pub(crate) fn header(&self, name: &'static str) -> Option<&str> {
        self.headers.get(async_nats::HeaderName::from_static(name)).map(async_nats::HeaderValue::as_str)
    }

    /// All headers, those that the server added included.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        headers::pairs(&self.headers)
    }
}

impl Nats {
    /// The last message of a subject.
    pub(crate) async fn last_of(
        &self,
        doing: &'static str,
        stream: &str,
        subject: &str,
    ) -> Result<Option<Kept>, RequestError> {
        let request = format!("$JS.API.DIRECT.GET.{stream}.{subject}");
        match self.request(doing, request, None, Bytes::new(), READ_TIMEOUT).await {
            Ok(answer) => Ok(Kept::read(answer)),
            Err(error) => Err(self.explained(stream, error).await),
        }
    }

    /// The message at a place.
    pub(crate) async fn at(
        &self,
        doing: &'static str,
        stream: &str,
        sequence: u64,
    ) -> Result<Option<Kept>, RequestError> {
        self.got(doing, stream, &serde_json::json!({ "seq": sequence })).await
    }

    /// The one message that is asked for.
    async fn got(
        &self,
        doing: &'static str,
        stream: &str,
        body: &serde_json::Value,
    ) -> Result<Option<Kept>, RequestError> {
        let request = format!("$JS.API.DIRECT.GET.{stream}");
        match self.request(doing, request, None, body.to_string().into(), READ_TIMEOUT).await {
            Ok(answer) => Ok(Kept::read(answer)),
            Err(error) => Err(self.explained(stream, error).await),
        }
    }

    /// The first message whose subject matches `filter`, from place `from` on. Unlike a page, it costs the server no count.
    async fn first_of(
        &self,
        doing: &'static str,
        stream: &str,
        filter: &str,
        from: u64,
    ) -> Result<Option<Kept>, RequestError> {
        self.got(doing, stream, &serde_json::json!({ "seq": from, "next_by_subj": filter })).await
    }

    /// Up to `limit` messages whose subjects match `filter`, after place `after`, oldest first.
    pub(crate) async fn scan(
        &self,
        doing: &'static str,
        stream: &str,
        filter: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Kept>, RequestError> {
        if limit == 1 {
            let found = self.first_of(doing, stream, filter, after.saturating_add(1)).await?;
            return Ok(found.into_iter().collect());
        }
        let mut found: Vec<Kept> = Vec::new();
        while found.len() < limit {
            let from = found.last().map_or(after, |kept| kept.sequence) + 1;
            let page = PAGE.min(limit - found.len());
            match self.page(doing, stream, filter, from, page, None, &mut found).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Err(self.explained(stream, error).await),
            }
        }
        Ok(found)
    }

    /// One page of [`Self::scan`], of about `max_bytes` at most though at least one message, and whether there is
    /// more behind it.
    pub(crate) async fn scan_page(
        &self,
        doing: &'static str,
        stream: &str,
        filter: &str,
        after: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<(Vec<Kept>, bool), RequestError> {
        let mut found = Vec::new();
        let from = after.saturating_add(1);
        match self.page(doing, stream, filter, from, limit, Some(max_bytes), &mut found).await {
            Ok(more) => Ok((found, more)),
            Err(error) => Err(self.explained(stream, error).await),
        }
    }

    /// Tells a stream that does not exist from one that does not answer: to a read, both are silent.
    async fn explained(&self, stream: &str, error: RequestError) -> RequestError {
        match error {
            RequestError::NoResponders { .. } => match self.stream_info(stream).await {
                Err(missing) if missing.is_not_found() => missing,
                _ => error,
            },
            _ => error,
        }
    }

    /// Reads one page, and says whether there is more behind it.
    #[expect(clippy::too_many_arguments, reason = "one question to the server, and where the answer goes")]
    async fn page(
        &self,
        doing: &'static str,
        stream: &str,
        filter: &str,
        from: u64,
        batch: usize,
        max_bytes: Option<usize>,
        found: &mut Vec<Kept>,
    ) -> Result<bool, RequestError> {
        let mut body = serde_json::json!({ "seq": from, "next_by_subj": filter, "batch": batch });
        if let Some(max_bytes) = max_bytes {
            body["max_bytes"] = max_bytes.into();
        }
        let body = body.to_string();
        let (client, subject) = (self.client(), format!("$JS.API.DIRECT.GET.{stream}"));
        let reading = async {
            let inbox = client.new_inbox();
            let closed = |_| RequestError::Closed { doing };
            let mut answers = client.subscribe(inbox.clone()).await.map_err(closed)?;
            client
                .publish_with_reply(subject.clone(), inbox, body.into())
                .await
                .map_err(|_| RequestError::Closed { doing })?;
            let before = found.len();
            while let Some(answer) = answers.next().await {
                if answer.status == Some(async_nats::StatusCode::NO_RESPONDERS) && answer.payload.is_empty() {
                    return Err(RequestError::NoResponders { doing });
                }
                let pending = answer.headers.as_ref().and_then(|headers| {
                    headers.get_last("Nats-Num-Pending").and_then(|count| count.as_str().parse::<u64>().ok())
                });
                match Kept::read(answer) {
                    Some(kept) => found.push(kept),
                    // A page that brought nothing must end the scan, whatever the count says.
                    None => return Ok(pending.is_some_and(|count| count > 0) && found.len() > before),
                }
            }
            Err(RequestError::Closed { doing })
        };
        self.answered(doing, &subject, READ_TIMEOUT, pin!(reading)).await
    }
}

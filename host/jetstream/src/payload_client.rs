//! Large payloads as their publishers put and read them: part by part, through whichever host answers.

use bytes::{Bytes, BytesMut};
use saggar_model::{
    Digest, PAYLOAD_MAX_BYTES, PartAnswer, PayloadName, PayloadRequest, RemovedAnswer, TenantName,
    WholeAnswer, header_name,
};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::RequestError;
use crate::control::{self, ANSWER_TIMEOUT, BUSY_PAUSE, BUSY_TRIES, Control, ControlError, no_host};
use crate::headers::Headers;
use crate::layout::task_max_bytes;

const DOING: &str = "asking for a large payload";

/// How often it is asked again when the store did not answer it in time: a cluster that loses a leader stores nothing
/// for a while, and each request can be repeated.
const UNAVAILABLE_TRIES: u32 = 2;

/// A payload on its way to the hosts.
#[derive(Debug)]
pub struct PayloadUpload {
    control: Control,
    tenant: TenantName,
    /// What it is called, and where its last part lies.
    stored: Option<PartAnswer>,
    digest: Sha256,
    size: u64,
}

impl Control {
    /// The most that a message of a tenant may have, and so a part of a payload.
    #[must_use]
    pub fn part_max(&self) -> usize {
        task_max_bytes(self.nats.max_payload())
    }

    /// Begins to put a large payload.
    #[must_use]
    pub fn put_payload(&self, tenant: &TenantName) -> PayloadUpload {
        let (control, tenant) = (self.clone(), tenant.clone());
        PayloadUpload { control, tenant, stored: None, digest: Sha256::new(), size: 0 }
    }

    /// Reads a large payload, and checks its digest.
    ///
    /// # Errors
    /// There is no such payload, no host answers, or what comes is not what was stored.
    pub async fn get_payload(&self, tenant: &TenantName, name: PayloadName) -> Result<Bytes, ControlError> {
        let unreadable = |reason: &str| {
            ControlError::Request(RequestError::Unreadable { doing: DOING, reason: reason.to_owned() })
        };
        let (mut content, mut after) = (BytesMut::new(), 0);
        loop {
            let part = self.ask(tenant, &PayloadRequest::Get { name, after }, Bytes::new()).await?;
            let header = |wanted: &str| {
                let headers = part.headers.as_ref();
                headers.and_then(|headers| headers.get(wanted)).map(|value| value.as_str().to_owned())
            };
            let Some(size) = header(header_name::SIZE).and_then(|size| size.parse::<u64>().ok()) else {
                read::<serde_json::Value>(&part.payload)?;
                return Err(unreadable("it says no size"));
            };
            content.extend_from_slice(&part.payload);
            if size > PAYLOAD_MAX_BYTES || part.payload.is_empty() {
                return Err(unreadable("it is no payload of ours"));
            }
            let next = header(header_name::AFTER).and_then(|after| after.parse().ok());
            match next {
                Some(next) if (content.len() as u64) < size => after = next,
                _ => {
                    content.truncate(usize::try_from(size).unwrap_or(usize::MAX));
                    let said = header(header_name::DIGEST).and_then(|digest| digest.parse::<Digest>().ok());
                    return match said {
                        Some(digest) if Digest::of(&content) == digest => Ok(content.freeze()),
                        _ => Err(unreadable("it is not what was stored: its digest is another")),
                    };
                }
            }
        }
    }

    /// Removes an input that no task will name.
    ///
    /// # Errors
    /// No host answers, or none could do it.
    pub async fn remove_payload(&self, tenant: &TenantName, name: PayloadName) -> Result<(), ControlError> {
        let answer = self.ask(tenant, &PayloadRequest::Remove { name }, Bytes::new()).await?;
        read::<RemovedAnswer>(&answer.payload).map(|_| ())
    }

    /// Asks the hosts, and again while the one that is asked has too much to do, or its store does not answer.
    async fn ask(
        &self,
        tenant: &TenantName,
        request: &PayloadRequest,
        content: Bytes,
    ) -> Result<async_nats::Message, ControlError> {
        let mut headers = Headers::new();
        for (name, value) in request.headers() {
            headers.set(name, value);
        }
        let (headers, mut busy, mut unavailable) = (headers.into_map(), 0, 0);
        loop {
            let subject = PayloadRequest::subject(tenant);
            let asking =
                self.nats.request(DOING, subject, Some(headers.clone()), content.clone(), ANSWER_TIMEOUT);
            let answer = asking.await.map_err(no_host)?;
            match refusal(&answer).as_deref() {
                Some("busy") if busy < BUSY_TRIES => {
                    busy += 1;
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                Some("unavailable") if unavailable < UNAVAILABLE_TRIES => unavailable += 1,
                _ => return Ok(answer),
            }
        }
    }
}

/// What kind of refusal an answer is, if it is one. A part of a payload may look like one, and says its size.
fn refusal(answer: &async_nats::Message) -> Option<String> {
    let headers = answer.headers.as_ref();
    if headers.is_some_and(|headers| headers.get(header_name::SIZE).is_some()) {
        return None;
    }
    match read::<serde_json::Value>(&answer.payload) {
        Err(ControlError::Refused { code, .. }) => Some(code),
        Ok(_) | Err(_) => None,
    }
}

impl PayloadUpload {
    /// What it is called, once a part of it is stored.
    #[must_use]
    pub fn name(&self) -> Option<PayloadName> {
        self.stored.as_ref().map(|stored| stored.object)
    }

    /// Stores the next part.
    ///
    /// # Errors
    /// It is larger than a message may be, the whole is too large, the quota has no room, or no host answers.
    pub async fn write(&mut self, part: Bytes) -> Result<(), ControlError> {
        self.size += part.len() as u64;
        if self.size > PAYLOAD_MAX_BYTES {
            return Err(ControlError::Refused {
                code: "too-large".to_owned(),
                detail: format!(
                    "a payload may have {}, and this one has more",
                    saggar_model::format_bytes(PAYLOAD_MAX_BYTES)
                ),
            });
        }
        self.digest.update(&part);
        let after = self.stored.as_ref().map_or(0, |stored| stored.after);
        let request = PayloadRequest::Put { name: self.name(), after };
        let answer = self.control.ask(&self.tenant, &request, part).await?;
        self.stored = Some(read(&answer.payload)?);
        Ok(())
    }

    /// Makes it whole; from then on a task can name it.
    ///
    /// # Errors
    /// As for [`Self::write`].
    pub async fn finish(self) -> Result<PayloadName, ControlError> {
        let Some(PartAnswer { object: name, .. }) = self.stored else {
            return Err(ControlError::Refused {
                code: "invalid".to_owned(),
                detail: "a payload without bytes needs no object".to_owned(),
            });
        };
        let digest = Some(Digest::from_bytes(self.digest.finalize().into()));
        let request = PayloadRequest::Finish { name, digest };
        let answer = self.control.ask(&self.tenant, &request, Bytes::new()).await?;
        read::<WholeAnswer>(&answer.payload).map(|whole| whole.object)
    }
}

/// What an answer says.
fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, ControlError> {
    control::read(DOING, json)
}

//! A large payload that is put or read part by part, each by whichever host is asked.
//!
//! Hosts remember nothing between two parts: whoever sends them says where the last one lies, and JetStream stores the
//! next one behind that and nowhere else. Each part is one message.

use std::time::Duration;

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use bytes::{Bytes, BytesMut};
use saggar_model::{
    BadPayloadRequest, Digest, PAYLOAD_GRACE, PAYLOAD_MAX_BYTES, PartAnswer, PayloadName, STORE_PAGE_MAX,
    StoreError, WholeAnswer, header_name,
};
use sha2::{Digest as _, Sha256};

use super::meta::Meta;
use super::payloads::Payloads;
use crate::api::RequestError;
use crate::direct::expected;
use crate::headers::Headers;
use crate::layout::task_max_bytes;
use crate::stores::within;

/// How long reading a whole payload once more may take, when it is finished.
const READING_MAX: Duration = Duration::from_secs(15);

/// Why a part or a payload was not stored, read or removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// The request makes no sense.
    #[error(transparent)]
    Bad(#[from] BadPayloadRequest),
    /// A result's output is the host's alone.
    #[error("{0} is the output of a task: it can be read, and goes with its result")]
    NotYours(PayloadName),
    /// There are no bytes in it.
    #[error("a part must have bytes; a payload without any needs no object")]
    Empty,
    /// The part before this one is another.
    #[error(
        "the part after {after} is there already, or there is none at {after}: parts are sent one after another, \
         each with the `after` of the last answer"
    )]
    Order {
        /// What the request said.
        after: u64,
    },
    /// The whole is not what its publisher says.
    #[error("the digest is {found}, and not {given} as it was said; put it once more")]
    Digest {
        /// What the request said.
        given: Digest,
        /// What it is.
        found: Digest,
    },
    /// Nothing was added for so long that it may have been removed in part.
    #[error("the last part was put more than an hour ago; put it once more")]
    Stale,
    /// This host has as many requests of the tenant's in hands as it takes.
    #[error(
        "this host has as many of the tenant's requests in hands as it takes at once; ask again in a moment"
    )]
    Busy,
    /// The store refused or did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PartError {
    /// A short name that programs can tell errors apart by.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Bad(_) | Self::NotYours(_) | Self::Empty => "invalid",
            Self::Order { .. } | Self::Digest { .. } | Self::Stale => "conflict",
            Self::Busy => "busy",
            Self::Store(StoreError::Full(_)) => "quota-full",
            Self::Store(error) => error.code(),
        }
    }
}

/// A part of a payload on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRead {
    /// Its bytes.
    pub content: Bytes,
    /// Where it lies; nothing if it is the last one.
    pub after: Option<u64>,
    /// Bytes of the whole.
    pub size: u64,
    /// Digest of the whole.
    pub digest: Option<Digest>,
}

impl Payloads {
    /// The most that a part may have.
    #[must_use]
    pub fn part_max(&self) -> usize {
        task_max_bytes(self.0.stores.nats().max_payload())
    }

    /// Stores the part behind the one at `after`. Can be repeated.
    ///
    /// # Errors
    /// See [`PartError`]; after `unavailable` it may have been stored.
    pub async fn put_part(
        &self,
        name: PayloadName,
        after: u64,
        content: Bytes,
    ) -> Result<PartAnswer, PartError> {
        const DOING: &str = "storing a part of a payload";
        if !name.is_input() {
            return Err(PartError::NotYours(name));
        }
        let (bytes, most) = (content.len(), self.part_max());
        if bytes == 0 {
            return Err(PartError::Empty);
        }
        if bytes > most {
            return Err(StoreError::TooLarge { bytes: bytes as u64, most: most as u64 }.into());
        }
        let (blobs, subject) = (&self.0, self.0.chunks(&name.to_string()));
        let mut headers = Headers::new();
        headers.set_number(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, after);
        headers.set(header_name::AFTER, after.to_string());
        let headers = headers.into_map();
        let nats = blobs.stores.nats();
        let store = || nats.store(DOING, subject.clone(), Some(headers.clone()), content.clone());
        let storing = async {
            let stored = match store().await {
                Err(RequestError::NoResponders { .. }) if after == 0 => {
                    blobs.stores.make(&blobs.tenant, blobs.kind).await?;
                    store().await
                }
                stored => stored,
            };
            stored.map(|stored| stored.sequence).map_err(|error| blobs.failed(error))
        };
        match within(storing).await {
            Ok(sequence) => Ok(PartAnswer { object: name, after: sequence }),
            Err(StoreError::Conflict) => {
                // The answer to the same part may have been lost.
                let last = within(async {
                    let last = nats.last_at_leader(DOING, &blobs.stream(), &subject).await;
                    last.map_err(|error| blobs.failed(error))
                });
                match last.await? {
                    Some(last)
                        if last.payload == content
                            && !last.header_is_other_than(header_name::AFTER, &after.to_string()) =>
                    {
                        Ok(PartAnswer { object: name, after: last.sequence })
                    }
                    _ => Err(PartError::Order { after }),
                }
            }
            Err(error) => {
                if matches!(error, StoreError::Full(_)) {
                    blobs.sweep_if_due();
                }
                Err(error.into())
            }
        }
    }

    /// Makes an object of the parts, once all of them are there. Can be repeated.
    ///
    /// # Errors
    /// See [`PartError`]; parts that make no payload are removed.
    pub async fn finish(&self, name: PayloadName, digest: Option<Digest>) -> Result<WholeAnswer, PartError> {
        if !name.is_input() {
            return Err(PartError::NotYours(name));
        }
        let place = self.place(&name);
        if let Some(there) = within(self.0.meta(&place)).await? {
            return answer(name, &there, digest);
        }
        let finishing = async {
            let meta = match self.read_parts(&name, digest).await {
                Ok(meta) => meta,
                Err(error) => {
                    if matches!(
                        error,
                        PartError::Digest { .. } | PartError::Store(StoreError::TooLarge { .. })
                    ) {
                        self.0.purge(&name.to_string()).await?;
                    }
                    return Err(error);
                }
            };
            match self.0.write_meta(&meta, &place, 0, None).await {
                Ok(()) => answer(name, &meta, digest),
                // The same request came twice, and the other one was faster.
                Err(StoreError::Conflict) => match self.0.meta(&place).await? {
                    Some(there) => answer(name, &there, digest),
                    None => Err(StoreError::Conflict.into()),
                },
                Err(error) => Err(error.into()),
            }
        };
        tokio::time::timeout(READING_MAX, finishing).await.unwrap_or(Err(StoreError::Unavailable.into()))
    }

    /// What is known of a payload that consists of the parts that are there.
    async fn read_parts(&self, name: &PayloadName, given: Option<Digest>) -> Result<Meta, PartError> {
        const DOING: &str = "reading the parts of a payload";
        let (blobs, nuid) = (&self.0, name.to_string());
        let (stream, subject, nats) = (blobs.stream(), blobs.chunks(&nuid), blobs.stores.nats());
        let failed = |error| blobs.failed(error);
        let last = nats.last_at_leader(DOING, &stream, &subject).await.map_err(failed)?;
        let last = last.ok_or(StoreError::NotFound("payload; its first part has not been put"))?;
        if nats.now().duration_since(last.time).is_ok_and(|age| age > PAYLOAD_GRACE) {
            return Err(PartError::Stale);
        }
        let (mut size, mut parts, mut after, mut digest) = (0, 0, 0, Sha256::new());
        while after < last.sequence {
            // A replica that is behind the leader gets a moment to catch up.
            let page = expected(async || {
                let page = nats.scan_page(DOING, &stream, &subject, after, STORE_PAGE_MAX, self.part_max());
                let (kept, _) = page.await.map_err(failed)?;
                Ok::<_, StoreError>(Some(kept).filter(|kept| !kept.is_empty()))
            });
            let page = page.await?.ok_or(StoreError::Changed)?;
            for part in page.iter().take_while(|part| part.sequence <= last.sequence) {
                size += part.payload.len() as u64;
                parts += 1;
                digest.update(&part.payload);
            }
            if size > PAYLOAD_MAX_BYTES {
                return Err(StoreError::TooLarge { bytes: size, most: PAYLOAD_MAX_BYTES }.into());
            }
            after = page.last().map_or(after, |part| part.sequence);
        }
        let found = Digest::from_bytes(digest.clone().finalize().into());
        match given {
            Some(given) if given != found => Err(PartError::Digest { given, found }),
            _ => Ok(Meta::new(&blobs.name, &self.place(name), nuid, size, parts, digest)),
        }
    }

    /// Reads what lies behind place `after` of a payload, as much of it as fits into an answer.
    ///
    /// # Errors
    /// There is no such payload, or the store does not answer in time.
    pub async fn get_part(&self, name: PayloadName, after: u64) -> Result<PartRead, PartError> {
        const DOING: &str = "reading a part of a payload";
        let (blobs, most) = (&self.0, self.part_max());
        let reading = async {
            let meta = blobs.meta(&self.place(&name)).await?.ok_or(StoreError::NotFound("payload"))?;
            let (stream, subject) = (blobs.stream(), blobs.chunks(&meta.nuid));
            let nats = blobs.stores.nats();
            let page = expected(async || {
                let page = nats.scan_page(DOING, &stream, &subject, after, STORE_PAGE_MAX, most).await;
                let (kept, more) = page.map_err(|error| blobs.failed(error))?;
                Ok::<_, StoreError>(Some((kept, more)).filter(|(kept, _)| !kept.is_empty()))
            });
            // A place that is none, or the last one.
            let (kept, more) = page.await?.ok_or(StoreError::NotFound("part"))?;
            let mut content = BytesMut::new();
            let mut at = after;
            for part in &kept {
                if content.len() + part.payload.len() > most {
                    break;
                }
                at = part.sequence;
                content.extend_from_slice(&part.payload);
            }
            if at == after {
                let bytes = kept.first().map_or(0, |part| part.payload.len() as u64);
                return Err(StoreError::TooLarge { bytes, most: most as u64 });
            }
            let all = !more && kept.last().is_some_and(|last| last.sequence == at);
            let (after, content) = ((!all).then_some(at), content.freeze());
            Ok(PartRead { content, after, size: meta.size, digest: meta.digest() })
        };
        Ok(within(reading).await?)
    }
}

/// The answer about a payload that is whole, if it is the one that is meant.
fn answer(name: PayloadName, meta: &Meta, given: Option<Digest>) -> Result<WholeAnswer, PartError> {
    let digest = meta.digest().ok_or(StoreError::Changed)?;
    match given {
        Some(given) if given != digest => Err(PartError::Digest { given, found: digest }),
        _ => Ok(WholeAnswer { object: name, header: name.header(), size: meta.size, digest }),
    }
}

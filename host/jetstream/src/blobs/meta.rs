//! What is known about an object, in the format of NATS' object stores.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_ROLLUP};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use saggar_model::{Digest, ObjectFacts};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::headers::Headers;

/// What digests begin with.
const DIGEST: &str = "SHA-256=";

/// For how many seconds a message is kept.
const TTL: &str = "Nats-TTL";

/// Where what is known about an object lies.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) subject: String,
}

/// What is known about an object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) name: String,
    bucket: String,
    /// The last token of its content's subject.
    #[serde(default)]
    pub(super) nuid: String,
    #[serde(default)]
    pub(super) size: u64,
    #[serde(default)]
    pub(super) chunks: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// What whoever stored it says about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata: BTreeMap<String, String>,
    /// Other clients leave a mark where they remove an object.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) deleted: bool,
    #[serde(skip)]
    pub(super) revision: u64,
    #[serde(skip, default = "SystemTime::now")]
    written_at: SystemTime,
}

impl Place {
    pub(super) fn new(store: &str, name: String) -> Self {
        Self { subject: format!("$O.{store}.M.{}", URL_SAFE.encode(&name)), name }
    }
}

impl Meta {
    /// Of an object without content.
    pub(super) fn empty(store: &str, place: &Place) -> Self {
        Self::new(store, place, String::new(), 0, 0, Sha256::new())
    }

    pub(super) fn new(
        store: &str,
        place: &Place,
        nuid: String,
        size: u64,
        chunks: u64,
        digest: Sha256,
    ) -> Self {
        Self {
            name: place.name.clone(),
            bucket: store.to_owned(),
            nuid,
            size,
            chunks,
            digest: Some(written(digest)),
            metadata: BTreeMap::new(),
            deleted: false,
            revision: 0,
            written_at: SystemTime::now(),
        }
    }

    /// Of a place where there is something that is no object.
    pub(super) fn of_nothing(store: &str, place: &Place, revision: u64) -> Self {
        Self { revision, deleted: true, ..Self::empty(store, place) }
    }

    /// Reads what somebody wrote at this place and time; nothing if it is not that.
    pub(super) fn read(json: &[u8], revision: u64, written_at: SystemTime) -> Option<Self> {
        Some(Self { revision, written_at, ..serde_json::from_slice(json).ok()? })
    }

    pub(super) fn body(&self) -> Bytes {
        serde_json::to_vec(self).expect("texts and numbers can be written").into()
    }

    /// What makes it take the place of one revision and of no other, and end by itself, if it is to.
    pub(super) fn headers(replaced: u64, ttl: Option<Duration>) -> HeaderMap {
        let mut headers = Headers::new();
        headers.set_number(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, replaced);
        headers.set_name(NATS_ROLLUP, "sub".to_owned());
        set_ttl(&mut headers, ttl);
        headers.into_map()
    }

    pub(super) fn facts(&self) -> ObjectFacts {
        ObjectFacts { size: self.size, created_at: self.written_at }
    }

    /// The digest of its content, if it is written in the way of object stores.
    pub(super) fn digest(&self) -> Option<Digest> {
        let digest = self.digest.as_deref()?.strip_prefix(DIGEST)?;
        Some(Digest::from_bytes(URL_SAFE.decode(digest).ok()?.try_into().ok()?))
    }

    /// Whether content of this digest is its content.
    pub(super) fn matches(&self, digest: Sha256) -> bool {
        self.digest.as_ref().is_none_or(|expected| *expected == written(digest))
    }
}

/// Has a message end by itself, if it is to.
pub(super) fn set_ttl(headers: &mut Headers, ttl: Option<Duration>) {
    if let Some(ttl) = ttl {
        headers.set(TTL, ttl.as_secs().max(1).to_string());
    }
}

fn written(digest: Sha256) -> String {
    format!("{DIGEST}{}", URL_SAFE.encode(digest.finalize()))
}

#[cfg(test)]
mod tests {
    use saggar_model::{StoreKey, StoreName, TenantName};

    use super::*;
    use crate::encoding::{token, tokens};
    use crate::layout;

    /// What a line of the protocol may have, less what stands beside the subject: the verb, whom to answer, sizes.
    const SUBJECT_MAX_BYTES: usize = 4096 - 512;

    #[test]
    fn a_digest_reads_back() {
        let place = Place::new("store", "a".to_owned());
        let meta = Meta::new("store", &place, "n".to_owned(), 1, 1, Sha256::new().chain_update(b"x"));
        assert_eq!(meta.digest(), Some(Digest::of(b"x")));
        assert!(meta.matches(Sha256::new().chain_update(b"x")) && !meta.matches(Sha256::new()));
    }

    #[test]
    fn attack_63_the_longest_names_fit_into_a_line_of_the_protocol() {
        let tenant: TenantName = "t".repeat(63).parse().unwrap();
        let (name, key) = ("\0".repeat(StoreName::MAX_BYTES), "\0".repeat(StoreKey::MAX_BYTES));
        let object = Place::new(&layout::blobs_name(&tenant), format!("{}/{}", token(&name), tokens(&key)));
        assert!(object.subject.len() < SUBJECT_MAX_BYTES, "{}", object.subject.len());
        let value = format!("$KV.{}.{}.{}", layout::kv_name(&tenant), token(&name), tokens(&key));
        assert!(value.len() < SUBJECT_MAX_BYTES, "{}", value.len());
    }
}

//! A key-value bucket, of which every client of JetStream knows the format.

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use bytes::Bytes;

use crate::Nats;
use crate::api::RequestError;
use crate::direct::Kept;
use crate::headers::Headers;

/// The header that tells a removed key from one with an empty value.
pub(crate) const OPERATION: &str = "KV-Operation";

/// Entries listed at most. A bucket of ours has one entry for each tenant, version or host.
const LIST_MAX: usize = 1_000_000;

/// What a key must be for it to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// There is no value.
    Absent,
    /// The value has this revision.
    Revision(u64),
}

/// A bucket.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    nats: Nats,
    pub(crate) stream: String,
    pub(crate) prefix: String,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Bytes,
    pub(crate) revision: u64,
    /// The key was removed; this is what is left to say so.
    pub(crate) removed: bool,
}

impl Bucket {
    pub(crate) fn new(nats: &Nats, name: &str) -> Self {
        Self { nats: nats.clone(), stream: format!("KV_{name}"), prefix: format!("$KV.{name}.") }
    }

    pub(crate) fn nats(&self) -> &Nats {
        &self.nats
    }

    /// The entry of a key, the mark of a removed one included.
    async fn last(&self, doing: &'static str, key: &str) -> Result<Option<Entry>, RequestError> {
        let kept = self.nats.last_of(doing, &self.stream, &format!("{}{key}", self.prefix)).await?;
        Ok(kept.and_then(|kept| self.entry(kept)))
    }

    /// The entry of a key.
    pub(crate) async fn get(&self, doing: &'static str, key: &str) -> Result<Option<Entry>, RequestError> {
        Ok(self.last(doing, key).await?.filter(|entry| !entry.removed))
    }

    /// Writes a value if the key is as expected; the answer is the new revision, or nothing if the key is not.
    pub(crate) async fn put(
        &self,
        doing: &'static str,
        key: &str,
        value: Bytes,
        expected: Expected,
    ) -> Result<Option<u64>, RequestError> {
        let revision = match expected {
            Expected::Revision(revision) => revision,
            Expected::Absent => 0,
        };
        if let Some(revision) = self.write(doing, key, value.clone(), revision, false).await? {
            return Ok(Some(revision));
        }
        // A removed key leaves a mark, and the mark has a revision.
        match (expected, self.last(doing, key).await?) {
            (Expected::Absent, Some(Entry { removed: true, revision, .. })) => {
                self.write(doing, key, value, revision, false).await
            }
            _ => Ok(None),
        }
    }

    /// Removes a key if it has this revision; the answer says whether it had.
    pub(crate) async fn remove(
        &self,
        doing: &'static str,
        key: &str,
        revision: u64,
    ) -> Result<bool, RequestError> {
        Ok(self.write(doing, key, Bytes::new(), revision, true).await?.is_some())
    }

    async fn write(
        &self,
        doing: &'static str,
        key: &str,
        value: Bytes,
        revision: u64,
        remove: bool,
    ) -> Result<Option<u64>, RequestError> {
        let mut headers = Headers::new();
        headers.set_number(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, revision);
        if remove {
            headers.set(OPERATION, "DEL".to_owned());
        }
        let subject = format!("{}{key}", self.prefix);
        match self.nats.store(doing, subject, Some(headers.into_map()), value).await {
            Ok(stored) => Ok(Some(stored.sequence)),
            Err(error) if error.is_wrong_sequence() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The entries whose keys match `filter` (`>` for all), in the order they were written.
    pub(crate) async fn list(&self, doing: &'static str, filter: &str) -> Result<Vec<Entry>, RequestError> {
        let filter = format!("{}{filter}", self.prefix);
        let kept = self.nats.scan(doing, &self.stream, &filter, 0, LIST_MAX).await?;
        let mut entries: Vec<_> =
            kept.into_iter().filter_map(|kept| self.entry(kept)).filter(|entry| !entry.removed).collect();
        // A key written while it was being listed is found twice; the later one counts.
        let mut seen = std::collections::HashSet::new();
        entries.reverse();
        entries.retain(|entry| seen.insert(entry.key.clone()));
        entries.reverse();
        Ok(entries)
    }

    /// The keys, those that were removed a while ago among them as long as that is marked.
    pub(crate) async fn keys(&self, doing: &'static str) -> Result<Vec<String>, RequestError> {
        let subjects = self.nats.subjects(doing, &self.stream, &format!("{}>", self.prefix)).await?;
        Ok(subjects
            .keys()
            .filter_map(|subject| subject.strip_prefix(&self.prefix))
            .map(str::to_owned)
            .collect())
    }

    fn entry(&self, kept: Kept) -> Option<Entry> {
        let key = kept.subject.strip_prefix(&self.prefix)?.to_owned();
        let removed = kept.header(OPERATION).is_some_and(|operation| operation != "PUT");
        Some(Entry { key, revision: kept.sequence, value: kept.payload, removed })
    }
}

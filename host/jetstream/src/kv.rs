//! A tenant's keys and values: a bucket that every client of JetStream can read, one history of one value for each
//! key, and nothing left of a key that was removed.
//!
//! Values are read from the stream's leader, so that a value once written is what everybody reads from then on.

use bytes::Bytes;
use saggar_model::{
    Condition, NamePage, STORE_PAGE_MAX, StoreError, StoreKey, StoreKind, StoreName, TenantName,
    VALUE_RESERVE, Versioned,
};
use serde_json::json;

use crate::api::RequestError;
use crate::bucket::{Bucket, Expected, OPERATION};
use crate::encoding::{decoded, token, tokens};
use crate::layout;
use crate::stores::{Stores, failed, within};

/// What a part of a list may take of the host's memory: keys are read with their values.
const PAGE_BYTES: usize = 1 << 20;

/// A tenant's keys and values.
#[derive(Debug, Clone)]
pub struct Kv {
    stores: Stores,
    tenant: TenantName,
    bucket: Bucket,
}

impl Kv {
    pub(crate) fn new(stores: Stores, tenant: TenantName) -> Self {
        let bucket = Bucket::new(stores.nats(), &layout::kv_name(&tenant));
        Self { stores, tenant, bucket }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn get(&self, bucket: &StoreName, key: &StoreKey) -> Result<Option<Versioned>, StoreError> {
        within(async {
            let entry = self.entry(bucket, key).await.map_err(|error| self.failed(error))?;
            Ok(entry.filter(|entry| !entry.removed).map(|entry| entry.content))
        })
        .await
    }

    /// Writes the value of a key, and gives its revision.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the key is not as the condition says, [`StoreError::Full`] if the quota has no room
    /// for it. After [`StoreError::Unavailable`] it may have been written or not.
    pub async fn put(
        &self,
        bucket: &StoreName,
        key: &StoreKey,
        value: Bytes,
        condition: Condition,
    ) -> Result<u64, StoreError> {
        let most = self.value_max();
        if value.len() > most {
            return Err(StoreError::TooLarge { bytes: value.len() as u64, most: most as u64 });
        }
        within(async {
            match self.write(bucket, key, value.clone(), condition).await {
                Err(RequestError::NoResponders { .. }) => {
                    self.stores.make(&self.tenant, StoreKind::Kv).await?;
                    self.write(bucket, key, value, condition).await
                }
                done => done,
            }
            .map_err(|error| self.failed(error))?
            .ok_or(StoreError::Conflict)
        })
        .await
    }

    /// Removes a key, if it is there. It then takes nothing of the quota.
    ///
    /// # Errors
    /// The store does not answer in time. The key may have been removed or not.
    pub async fn delete(&self, bucket: &StoreName, key: &StoreKey) -> Result<(), StoreError> {
        const DOING: &str = "removing a key";
        within(async {
            let body = json!({ "filter": format!("{}{}", self.bucket.prefix, path(bucket, key)) });
            let purge = format!("STREAM.PURGE.{}", self.bucket.stream);
            match self.stores.nats().ask::<serde_json::Value>(DOING, &purge, &body).await {
                Ok(_) => Ok(()),
                Err(error) if error.is_not_found() => Ok(()),
                Err(error) => Err(self.failed(error)),
            }
        })
        .await
    }

    /// Keys of a bucket, in the order in which they were last written, from place `after` on. One that is written
    /// meanwhile may come again; one that was just written may be missing.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn keys(&self, bucket: &StoreName, after: u64) -> Result<NamePage, StoreError> {
        const DOING: &str = "listing keys";
        let prefix = format!("{}{}.", self.bucket.prefix, token(bucket.as_str()));
        let (stream, filter) = (&self.bucket.stream, format!("{prefix}>"));
        within(async {
            let page =
                self.stores.nats().scan_page(DOING, stream, &filter, after, STORE_PAGE_MAX, PAGE_BYTES);
            let (kept, more) = match page.await {
                Ok(page) => page,
                Err(error) if error.is_not_found() => return Ok(NamePage::default()),
                Err(error) => return Err(self.failed(error)),
            };
            let next = kept.last().map(|last| last.sequence).filter(|_| more);
            let there =
                kept.iter().filter(|kept| kept.header(OPERATION).is_none_or(|operation| operation == "PUT"));
            let names = there.filter_map(|kept| decoded(kept.subject.strip_prefix(&prefix)?)).collect();
            Ok(NamePage { names, next })
        })
        .await
    }

    /// The largest value in bytes.
    #[must_use]
    pub fn value_max(&self) -> usize {
        self.stores.nats().max_payload().saturating_sub(VALUE_RESERVE)
    }

    async fn entry(&self, bucket: &StoreName, key: &StoreKey) -> Result<Option<Entry>, RequestError> {
        let subject = format!("{}{}", self.bucket.prefix, path(bucket, key));
        let found = self.stores.nats().last_at_leader("reading a key", &self.bucket.stream, &subject).await?;
        Ok(found.map(|found| Entry {
            removed: found.header_is_other_than(OPERATION, "PUT"),
            content: Versioned { value: found.payload, revision: found.sequence },
        }))
    }

    /// Writes a value; nothing if the key is not as the condition says.
    async fn write(
        &self,
        bucket: &StoreName,
        key: &StoreKey,
        value: Bytes,
        condition: Condition,
    ) -> Result<Option<u64>, RequestError> {
        const DOING: &str = "writing a key";
        let path = path(bucket, key);
        let expected = match condition {
            Condition::Always => {
                let subject = format!("{}{path}", self.bucket.prefix);
                return Ok(Some(self.stores.nats().store(DOING, subject, None, value).await?.sequence));
            }
            Condition::Absent => Expected::Absent,
            Condition::Revision(revision) => Expected::Revision(revision),
        };
        self.bucket.put(DOING, &path, value, expected).await
    }

    fn failed(&self, error: RequestError) -> StoreError {
        failed(&self.tenant, StoreKind::Kv, error)
    }
}

/// What a subject has last; an operator's own tools leave a mark where they remove a key.
struct Entry {
    content: Versioned,
    removed: bool,
}

/// Where a key lies within the tenant's bucket of buckets.
fn path(bucket: &StoreName, key: &StoreKey) -> String {
    format!("{}.{}", token(bucket.as_str()), tokens(key.as_str()))
}

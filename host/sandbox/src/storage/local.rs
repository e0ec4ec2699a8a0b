//! Stores in this process's memory: for a task that is run or tested where there is no NATS. They behave as the
//! tenant's own would, quotas included, and are gone with the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use saggar_model::{
    Condition, NamePage, ObjectFacts, Quota, STORE_PAGE_MAX, StoreError, StoreKey, StoreKind, StoreName,
    VALUE_RESERVE, Versioned,
};

use super::{Blobs, Download, KeyValue, Upload};

/// The largest message of a server that nobody configured.
const MAX_PAYLOAD: usize = 1 << 20;

/// The stores of one tenant. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct LocalStores(Arc<Mutex<Stores>>);

#[derive(Debug, Default)]
struct Stores {
    quota: Quota,
    /// Of the last write.
    revision: u64,
    values: BTreeMap<(StoreName, StoreKey), Versioned>,
    containers: BTreeMap<StoreName, ObjectFacts>,
    objects: BTreeMap<(StoreName, StoreKey), Object>,
}

#[derive(Debug, Clone)]
struct Object {
    revision: u64,
    facts: ObjectFacts,
    chunks: Vec<Bytes>,
}

impl LocalStores {
    /// Empty stores with this quota.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self(Arc::new(Mutex::new(Stores { quota, ..Stores::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Stores> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stores {
    fn next_revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    /// Bytes of all keys and values but that of `place`.
    fn kv_bytes_beside(&self, place: &(StoreName, StoreKey)) -> u64 {
        let others = self.values.iter().filter(|(other, _)| *other != place);
        others.map(|((bucket, key), found)| size(bucket, key) + found.value.len() as u64).sum()
    }

    /// Bytes of all objects.
    fn blob_bytes(&self) -> u64 {
        self.objects
            .iter()
            .map(|((container, object), found)| size(container, object) + found.facts.size)
            .sum()
    }
}

fn size(name: &StoreName, key: &StoreKey) -> u64 {
    (name.as_str().len() + key.as_str().len()) as u64
}

/// The names that were written after place `after`.
fn page<'a>(found: impl Iterator<Item = (u64, &'a StoreKey)>, after: u64) -> NamePage {
    let mut found: Vec<_> = found.filter(|(revision, _)| *revision > after).collect();
    found.sort_unstable();
    let next =
        found.get(STORE_PAGE_MAX - 1).filter(|_| found.len() > STORE_PAGE_MAX).map(|(revision, _)| *revision);
    let names = found.into_iter().take(STORE_PAGE_MAX).map(|(_, key)| key.as_str().to_owned()).collect();
    NamePage { names, next }
}

#[async_trait]
impl KeyValue for LocalStores {
    async fn get(&self, bucket: &StoreName, key: &StoreKey) -> Result<Option<Versioned>, StoreError> {
        Ok(self.lock().values.get(&(bucket.clone(), key.clone())).cloned())
    }

    async fn put(
        &self,
        bucket: &StoreName,
        key: &StoreKey,
        value: Bytes,
        condition: Condition,
    ) -> Result<u64, StoreError> {
        let most = MAX_PAYLOAD - VALUE_RESERVE;
        if value.len() > most {
            return Err(StoreError::TooLarge { bytes: value.len() as u64, most: most as u64 });
        }
        let place = (bucket.clone(), key.clone());
        let mut stores = self.lock();
        let found = stores.values.get(&place).map(|found| found.revision);
        let fits = match condition {
            Condition::Always => true,
            Condition::Absent => found.is_none(),
            Condition::Revision(revision) => found == Some(revision),
        };
        if !fits {
            return Err(StoreError::Conflict);
        }
        if stores.kv_bytes_beside(&place) + size(bucket, key) + value.len() as u64 > stores.quota.kv {
            return Err(StoreError::Full(StoreKind::Kv));
        }
        let revision = stores.next_revision();
        stores.values.insert(place, Versioned { value, revision });
        Ok(revision)
    }

    async fn delete(&self, bucket: &StoreName, key: &StoreKey) -> Result<(), StoreError> {
        self.lock().values.remove(&(bucket.clone(), key.clone()));
        Ok(())
    }

    async fn keys(&self, bucket: &StoreName, after: u64) -> Result<NamePage, StoreError> {
        let stores = self.lock();
        let of_bucket = stores.values.iter().filter(|((name, _), _)| name == bucket);
        Ok(page(of_bucket.map(|((_, key), found)| (found.revision, key)), after))
    }
}

#[async_trait]
impl Blobs for LocalStores {
    async fn create_container(&self, container: &StoreName) -> Result<(), StoreError> {
        let facts = ObjectFacts { size: 0, created_at: SystemTime::now() };
        self.lock().containers.entry(container.clone()).or_insert(facts);
        Ok(())
    }

    async fn container(&self, container: &StoreName) -> Result<Option<ObjectFacts>, StoreError> {
        Ok(self.lock().containers.get(container).copied())
    }

    async fn clear_container(&self, container: &StoreName) -> Result<(), StoreError> {
        self.lock().objects.retain(|(name, _), _| name != container);
        Ok(())
    }

    async fn delete_container(&self, container: &StoreName) -> Result<(), StoreError> {
        self.clear_container(container).await?;
        self.lock().containers.remove(container);
        Ok(())
    }

    async fn object(
        &self,
        container: &StoreName,
        object: &StoreKey,
    ) -> Result<Option<ObjectFacts>, StoreError> {
        Ok(self.lock().objects.get(&(container.clone(), object.clone())).map(|found| found.facts))
    }

    async fn delete(&self, container: &StoreName, object: &StoreKey) -> Result<(), StoreError> {
        self.lock().objects.remove(&(container.clone(), object.clone()));
        Ok(())
    }

    async fn names(&self, container: &StoreName, after: u64) -> Result<NamePage, StoreError> {
        let stores = self.lock();
        let of_container = stores.objects.iter().filter(|((name, _), _)| name == container);
        Ok(page(of_container.map(|((_, object), found)| (found.revision, object)), after))
    }

    fn upload(&self) -> Box<dyn Upload> {
        Box::new(LocalUpload { stores: self.clone(), size: 0, chunks: Vec::new() })
    }

    async fn download(
        &self,
        container: &StoreName,
        object: &StoreKey,
        start: u64,
        end: u64,
    ) -> Result<Box<dyn Download>, StoreError> {
        if start > end {
            return Err(StoreError::BadRange);
        }
        let found = self.lock().objects.get(&(container.clone(), object.clone())).cloned();
        let Object { facts, chunks, .. } = found.ok_or(StoreError::NotFound("object"))?;
        let to = end.saturating_add(1).min(facts.size);
        let mut left =
            LocalDownload { skip: start.min(to), size: to - start.min(to), left: 0, chunks: chunks.into() };
        left.left = left.size;
        Ok(Box::new(left))
    }
}

struct LocalUpload {
    stores: LocalStores,
    size: u64,
    chunks: Vec<Bytes>,
}

#[async_trait]
impl Upload for LocalUpload {
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        let stores = self.stores.lock();
        self.size += chunk.len() as u64;
        if stores.blob_bytes() + self.size > stores.quota.blobs {
            return Err(StoreError::Full(StoreKind::Blobs));
        }
        if !chunk.is_empty() {
            self.chunks.push(chunk);
        }
        Ok(())
    }

    async fn finish(self: Box<Self>, container: &StoreName, object: &StoreKey) -> Result<(), StoreError> {
        let mut stores = self.stores.lock();
        if stores.blob_bytes() + size(container, object) + self.size > stores.quota.blobs {
            return Err(StoreError::Full(StoreKind::Blobs));
        }
        let facts = ObjectFacts { size: self.size, created_at: SystemTime::now() };
        let object_of = Object { revision: stores.next_revision(), facts, chunks: self.chunks };
        stores.objects.insert((container.clone(), object.clone()), object_of);
        Ok(())
    }
}

struct LocalDownload {
    skip: u64,
    size: u64,
    left: u64,
    chunks: std::collections::VecDeque<Bytes>,
}

#[async_trait]
impl Download for LocalDownload {
    fn size(&self) -> u64 {
        self.size
    }

    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        while self.left > 0 {
            let Some(mut chunk) = self.chunks.pop_front() else { break };
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(chunk.len());
            self.skip -= skipped as u64;
            let mut chunk = chunk.split_off(skipped);
            chunk.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            if !chunk.is_empty() {
                self.left -= chunk.len() as u64;
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }
}

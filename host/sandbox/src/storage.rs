//! What plugins keep between tasks, as the sandbox asks the world outside for it: plain data, no tenant. Whoever
//! answers knows whose task it is.
//!
//! Every call ends within [`STORE_CALL_MAX`](saggar_model::STORE_CALL_MAX) or so; one that is dropped because its task
//! ended may have been done or not.

mod local;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use saggar_model::{
    Condition, NamePage, ObjectFacts, STORE_TRIES_MAX, StoreError, StoreKey, StoreName, Versioned,
    incremented,
};

pub use local::LocalStores;

/// A tenant's keys and values.
#[async_trait]
pub trait KeyValue: Send + Sync {
    /// The value of a key.
    async fn get(&self, bucket: &StoreName, key: &StoreKey) -> Result<Option<Versioned>, StoreError>;

    /// Writes the value of a key if it is as the condition says, and gives its revision; [`StoreError::Conflict`] if
    /// it is not.
    async fn put(
        &self,
        bucket: &StoreName,
        key: &StoreKey,
        value: Bytes,
        condition: Condition,
    ) -> Result<u64, StoreError>;

    /// Removes a key, if it is there. It then takes nothing of the quota.
    async fn delete(&self, bucket: &StoreName, key: &StoreKey) -> Result<(), StoreError>;

    /// Some keys, in the order in which they were last written, from place `after` on.
    async fn keys(&self, bucket: &StoreName, after: u64) -> Result<NamePage, StoreError>;

    /// Adds to a counter, whoever else does; the answer is the sum.
    async fn increment(&self, bucket: &StoreName, key: &StoreKey, delta: u64) -> Result<u64, StoreError> {
        for tries in 0..STORE_TRIES_MAX {
            let found = self.get(bucket, key).await?;
            let (sum, value) = incremented(found.as_ref().map(|found| &*found.value), delta)?;
            let condition = found.map_or(Condition::Absent, |found| Condition::Revision(found.revision));
            match self.put(bucket, key, value, condition).await {
                Ok(_) => return Ok(sum),
                Err(StoreError::Conflict) => apart(tries).await,
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }
}

/// Lets those who got into each other's way come back at different times, after a few milliseconds.
async fn apart(tries: u32) {
    const SHORTEST: f64 = 0.5e-3;
    const DOUBLINGS_MAX: u32 = 5;
    let longest = SHORTEST * f64::from(1 << tries.min(DOUBLINGS_MAX));
    tokio::time::sleep(std::time::Duration::from_secs_f64(longest * rand::random::<f64>())).await;
}

/// Where a task had come.
#[async_trait]
pub trait Checkpoint: Send + Sync {
    /// What was kept last; nothing if nothing was.
    async fn load(&self) -> Result<Option<Bytes>, StoreError>;

    /// Keeps a checkpoint in place of the last one. When this returns it is stored.
    async fn save(&self, state: Bytes) -> Result<(), StoreError>;
}

/// A tenant's objects.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Makes a container; one that is there stays as it is.
    async fn create_container(&self, container: &StoreName) -> Result<(), StoreError>;

    /// What is known about a container, if there is one.
    async fn container(&self, container: &StoreName) -> Result<Option<ObjectFacts>, StoreError>;

    /// Removes all objects of a container; [`StoreError::Unfinished`] if there are very many.
    async fn clear_container(&self, container: &StoreName) -> Result<(), StoreError>;

    /// Removes a container with its objects, if it is there.
    async fn delete_container(&self, container: &StoreName) -> Result<(), StoreError>;

    /// What is known about an object, if there is one.
    async fn object(
        &self,
        container: &StoreName,
        object: &StoreKey,
    ) -> Result<Option<ObjectFacts>, StoreError>;

    /// Removes an object, if it is there.
    async fn delete(&self, container: &StoreName, object: &StoreKey) -> Result<(), StoreError>;

    /// Some names of objects, in the order in which they were last written, from place `after` on.
    async fn names(&self, container: &StoreName, after: u64) -> Result<NamePage, StoreError>;

    /// Begins to store an object, which has no name yet. Dropped before it is finished, it leaves nothing.
    fn upload(&self) -> Box<dyn Upload>;

    /// Opens an object for reading from byte `start` to byte `end`, both included.
    async fn download(
        &self,
        container: &StoreName,
        object: &StoreKey,
        start: u64,
        end: u64,
    ) -> Result<Box<dyn Download>, StoreError>;
}

/// An object on its way in.
#[async_trait]
pub trait Upload: Send {
    /// Stores the next part. After an error the upload is of no use.
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError>;

    /// Makes it an object, in place of one that has the name already.
    async fn finish(self: Box<Self>, container: &StoreName, object: &StoreKey) -> Result<(), StoreError>;
}

/// An object on its way out.
#[async_trait]
pub trait Download: Send {
    /// How many bytes there are to read.
    fn size(&self) -> u64;

    /// The next part, of some [`CHUNK_BYTES`](saggar_model::CHUNK_BYTES); nothing after the last one.
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError>;
}

/// Copies an object, part by part.
pub(crate) async fn copy(
    blobs: &Arc<dyn Blobs>,
    mut from: Box<dyn Download>,
    container: &StoreName,
    object: &StoreKey,
) -> Result<(), StoreError> {
    let mut upload = blobs.upload();
    while let Some(chunk) = from.next().await? {
        upload.write(chunk).await?;
    }
    upload.finish(container, object).await
}

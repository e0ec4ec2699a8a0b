//! Where long tasks had come: one object for each task, in a store of the tenant's that only hosts use.
//!
//! It is removed with the task's end. What a lost host could not remove ends by itself, with the store's age limit.

use bytes::{Bytes, BytesMut};
use saggar_model::{StoreError, StoreKey, StoreName, TaskRef};

use crate::blobs::Blobs;

/// The checkpoints of a tenant's tasks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Checkpoints(Blobs);

impl Checkpoints {
    pub(crate) fn new(blobs: Blobs) -> Self {
        Self(blobs)
    }

    /// The last checkpoint of a task, if it has one.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn load(&self, task: &TaskRef) -> Result<Option<Bytes>, StoreError> {
        let (queue, id) = names(task)?;
        let mut download = match self.0.download(&queue, &id, 0, u64::MAX).await {
            Ok(download) => download,
            Err(StoreError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut whole = BytesMut::new();
        while let Some(chunk) = download.next().await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(Some(whole.freeze()))
    }

    /// Keeps a checkpoint in place of the last one. When this returns it is stored.
    ///
    /// # Errors
    /// [`StoreError::Full`] if the quota has no room for it; the store does not answer in time.
    pub async fn save(&self, task: &TaskRef, state: Bytes) -> Result<(), StoreError> {
        let (queue, id) = names(task)?;
        let mut upload = self.0.upload();
        upload.write(state).await?;
        upload.finish(&queue, &id).await
    }

    /// Removes a task's checkpoint, if it has one.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn clear(&self, task: &TaskRef) -> Result<(), StoreError> {
        let (queue, id) = names(task)?;
        self.0.delete(&queue, &id).await
    }
}

/// A checkpoint is an object of the container of its queue.
fn names(task: &TaskRef) -> Result<(StoreName, StoreKey), StoreError> {
    Ok((StoreName::new(task.queue.as_str())?, StoreKey::new(task.id.as_str())?))
}

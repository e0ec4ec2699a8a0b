//! An object on its way in, chunk by chunk. It has no name before it is whole, so that nobody ever sees a part of it;
//! one that is given up is removed, by this host or, if this host is lost, by whoever finds the store full.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use saggar_model::{STORE_TRIES_MAX, StoreError, StoreKey, StoreName};
use sha2::{Digest as _, Sha256};

use super::Blobs;
use super::meta::{Meta, Place, set_ttl};
use super::sweep::LEFT_AFTER;
use crate::api::RequestError;
use crate::headers::Headers;
use crate::stores::within;

/// How long an upload may stand still. What stands still for twice as long is taken for left behind.
const STANDS_STILL_MAX: Duration = Duration::from_secs(LEFT_AFTER.as_secs() / 2);

/// An object on its way in.
#[derive(Debug)]
pub struct Upload {
    blobs: Blobs,
    nuid: String,
    digest: Sha256,
    size: u64,
    chunks: u64,
    /// When the last chunk was stored.
    last: Instant,
    /// There is content that no object has.
    loose: bool,
    /// How long the object is kept, if it is to end by itself.
    ttl: Option<Duration>,
}

impl Blobs {
    /// Begins to store an object.
    #[must_use]
    pub fn upload(&self) -> Upload {
        Upload {
            blobs: self.clone(),
            nuid: format!("{:032x}", rand::random::<u128>()),
            digest: Sha256::new(),
            size: 0,
            chunks: 0,
            last: Instant::now(),
            loose: false,
            ttl: None,
        }
    }

    /// Begins to store an object that ends by itself, in a store whose messages can.
    pub(super) fn upload_for(&self, ttl: Duration) -> Upload {
        let mut upload = self.upload();
        upload.ttl = Some(ttl);
        upload
    }
}

impl Upload {
    /// Stores the next chunk.
    ///
    /// # Errors
    /// [`StoreError::Full`] if the quota has no room for it. After any error the upload is of no use.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.digest.update(&chunk);
        self.size += chunk.len() as u64;
        let most = self.blobs.chunk_max();
        let mut rest = chunk;
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(most));
            self.loose = true;
            within(self.store(piece)).await?;
            self.chunks += 1;
            self.last = Instant::now();
        }
        Ok(())
    }

    /// Makes it an object, in place of one that has the name already.
    ///
    /// # Errors
    /// [`StoreError::Full`] if the quota has no room for its description. After [`StoreError::Unavailable`] it may be
    /// an object or not.
    pub async fn finish(self, container: &StoreName, object: &StoreKey) -> Result<(), StoreError> {
        let place = self.blobs.place(container, Some(object));
        self.finish_at(place, BTreeMap::new()).await
    }

    /// Makes it the object at this place, about which so much is said.
    pub(super) async fn finish_at(
        mut self,
        place: Place,
        metadata: BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        if self.last.elapsed() > STANDS_STILL_MAX {
            return Err(StoreError::Changed);
        }
        let blobs = self.blobs.clone();
        let nuid = if self.chunks == 0 { String::new() } else { self.nuid.clone() };
        let mut meta = Meta::new(&blobs.name, &place, nuid, self.size, self.chunks, self.digest.clone());
        meta.metadata = metadata;
        within(async {
            for _ in 0..STORE_TRIES_MAX {
                let replaced = blobs.place_taken_by(&place).await?;
                let revision = replaced.as_ref().map_or(0, |replaced| replaced.revision);
                // From here on it may be an object's content, also if this call ends before the answer comes.
                self.loose = false;
                match blobs.write_meta(&meta, &place, revision, self.ttl).await {
                    Ok(()) => {
                        return match replaced.filter(|old| old.nuid != self.nuid) {
                            Some(old) => blobs.purge(&old.nuid).await,
                            None => Ok(()),
                        };
                    }
                    Err(StoreError::Unavailable) => return Err(StoreError::Unavailable),
                    Err(error) => {
                        self.loose = self.chunks > 0;
                        if error != StoreError::Conflict {
                            return Err(error);
                        }
                    }
                }
            }
            Err(StoreError::Conflict)
        })
        .await
    }

    async fn store(&self, chunk: Bytes) -> Result<(), StoreError> {
        const DOING: &str = "storing content";
        let (blobs, subject) = (&self.blobs, self.blobs.chunks(&self.nuid));
        let headers = self.ttl.map(|ttl| {
            let mut headers = Headers::new();
            set_ttl(&mut headers, Some(ttl));
            headers.into_map()
        });
        let store = |chunk| blobs.stores.nats().store(DOING, subject.clone(), headers.clone(), chunk);
        let stored = match store(chunk.clone()).await {
            Err(RequestError::NoResponders { .. }) => {
                blobs.stores.make(&blobs.tenant, blobs.kind).await?;
                store(chunk).await
            }
            stored => stored,
        };
        let failed = stored.err().map(|error| blobs.failed(error));
        if failed == Some(StoreError::Full(blobs.kind)) {
            blobs.sweep_if_due();
        }
        failed.map_or(Ok(()), Err)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.loose {
            return;
        }
        // Whoever gave it up does not wait for this; without a runtime the process ends, and the sweep is left.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (blobs, nuid) = (self.blobs.clone(), std::mem::take(&mut self.nuid));
            runtime.spawn(async move {
                if let Err(error) = within(blobs.purge(&nuid)).await {
                    let tenant = &blobs.tenant;
                    tracing::warn!(%tenant, %error, "what an aborted upload left is removed later");
                }
            });
        }
    }
}

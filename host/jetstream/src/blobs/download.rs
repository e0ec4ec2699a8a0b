//! An object on its way out, chunk by chunk. What was read whole is checked against its digest; what is replaced or
//! removed meanwhile ends in an error, never in other content.

use std::collections::VecDeque;

use bytes::Bytes;
use saggar_model::{CHUNK_BYTES, StoreError, StoreKey, StoreName};
use sha2::{Digest as _, Sha256};

use super::Blobs;
use super::meta::{Meta, Place};
use crate::direct::expected;
use crate::stores::within;

/// Chunks fetched at once, and their bytes: the next one is there when one was read.
const AHEAD: usize = 2;
const AHEAD_BYTES: usize = AHEAD * CHUNK_BYTES;

/// An object, or a part of it, on its way out.
#[derive(Debug)]
pub struct Download {
    blobs: Blobs,
    meta: Meta,
    /// Bytes of the object that were read so far, the skipped ones included.
    position: u64,
    /// The bytes asked for: from the first to before the last.
    from: u64,
    to: u64,
    /// Where the last chunk that was fetched lies in the stream.
    after: u64,
    ahead: VecDeque<Bytes>,
    digest: Sha256,
}

impl Blobs {
    /// Opens an object for reading from byte `start` to byte `end`, both included. What lies behind the object's end
    /// is not there, and asking for it is no error.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::BadRange`], or the store does not answer in time.
    pub async fn download(
        &self,
        container: &StoreName,
        object: &StoreKey,
        start: u64,
        end: u64,
    ) -> Result<Download, StoreError> {
        if start > end {
            return Err(StoreError::BadRange);
        }
        self.open(&self.place(container, Some(object)), start, end).await
    }

    /// Opens the object at this place.
    pub(super) async fn open(&self, place: &Place, start: u64, end: u64) -> Result<Download, StoreError> {
        let meta = within(self.meta(place)).await?.ok_or(StoreError::NotFound("object"))?;
        let to = end.saturating_add(1).min(meta.size);
        Ok(Download {
            blobs: self.clone(),
            position: 0,
            from: start.min(to),
            to,
            after: 0,
            ahead: VecDeque::new(),
            digest: Sha256::new(),
            meta,
        })
    }
}

impl Download {
    /// How many bytes there are to read.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.to - self.from
    }

    /// The next chunk; nothing after the last one. A call that is dropped loses nothing.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if the object is not there any more or is not what was stored.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        if self.from == self.to {
            return Ok(None);
        }
        while self.position < self.to {
            if self.ahead.is_empty() {
                self.fetch().await?;
            }
            let Some(mut chunk) = self.ahead.pop_front() else { return Err(StoreError::Changed) };
            let begin = self.position;
            self.position += chunk.len() as u64;
            self.digest.update(&chunk);
            let whole = self.position == self.meta.size;
            if self.position > self.meta.size || (whole && !self.meta.matches(self.digest.clone())) {
                self.position = u64::MAX;
                self.ahead.clear();
                return Err(StoreError::Changed);
            }
            // What comes after the part that was asked for, and then what comes before it.
            let kept_to = usize::try_from(self.to - begin).unwrap_or(usize::MAX).min(chunk.len());
            chunk.truncate(kept_to);
            let skipped = usize::try_from(self.from.saturating_sub(begin)).unwrap_or(usize::MAX);
            if skipped < chunk.len() {
                return Ok(Some(chunk.split_off(skipped)));
            }
        }
        if self.position == u64::MAX { Err(StoreError::Changed) } else { Ok(None) }
    }

    /// Fetches what comes next. A replica that is behind the leader gets a moment to catch up.
    async fn fetch(&mut self) -> Result<(), StoreError> {
        const DOING: &str = "reading content";
        let (stream, subject) = (self.blobs.stream(), self.blobs.chunks(&self.meta.nuid));
        let (nats, after) = (self.blobs.stores.nats(), self.after);
        let fetching = expected(async || {
            let page = nats.scan_page(DOING, &stream, &subject, after, AHEAD, AHEAD_BYTES).await;
            let (kept, _) = page.map_err(|error| self.blobs.failed(error))?;
            Ok::<_, StoreError>(Some(kept).filter(|kept| !kept.is_empty()))
        });
        let kept = within(fetching).await?.ok_or(StoreError::Changed)?;
        self.after = kept.last().map_or(after, |last| last.sequence);
        self.ahead.extend(kept.into_iter().map(|kept| kept.payload).filter(|payload| !payload.is_empty()));
        Ok(())
    }
}

//! Keeping a key of a bucket whose keys die unless they are renewed: how a host proves that it lives.
//!
//! A write that timed out may have succeeded, and NATS may have been away for longer than a key lives, so that a key
//! is recognised by the instance its value names, not by its revision alone.

use bytes::Bytes;
use serde::Deserialize;

use crate::api::RequestError;
use crate::bucket::{Bucket, Entry, Expected};

/// A key that is ours, or that we would like to be ours.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) bucket: Bucket,
    pub(crate) key: String,
    /// Which process we are.
    pub(crate) instance: String,
    /// Of our last write.
    pub(crate) revision: Option<u64>,
}

/// Whose a key is.
#[derive(Debug)]
pub(crate) enum Holder {
    Us,
    /// Somebody else's, and this is what they wrote.
    Other(Entry),
}

#[derive(Deserialize)]
struct Owned {
    instance: String,
}

impl Hold {
    /// Writes `value`, if the key is ours or nobody's.
    pub(crate) async fn renew(&mut self, doing: &'static str, value: &Bytes) -> Result<Holder, RequestError> {
        /// Each round but the first follows a change by somebody else.
        const ROUNDS: usize = 4;
        for _ in 0..ROUNDS {
            let expected = self.revision.map_or(Expected::Absent, Expected::Revision);
            if let Some(revision) = self.bucket.put(doing, &self.key, value.clone(), expected).await? {
                self.revision = Some(revision);
                return Ok(Holder::Us);
            }
            match self.bucket.get(doing, &self.key).await? {
                None => self.revision = None,
                Some(entry) if self.is_ours(&entry) => self.revision = Some(entry.revision),
                Some(entry) => {
                    self.revision = None;
                    return Ok(Holder::Other(entry));
                }
            }
        }
        // A replica behind the others keeps telling what no longer is.
        Err(RequestError::NoResponders { doing })
    }

    /// Takes the key over from whoever let it lie at this revision; the answer says whether it still lay there.
    pub(crate) async fn take_over(
        &mut self,
        doing: &'static str,
        value: &Bytes,
        revision: u64,
    ) -> Result<bool, RequestError> {
        let expected = Expected::Revision(revision);
        self.revision = self.bucket.put(doing, &self.key, value.clone(), expected).await?;
        Ok(self.revision.is_some())
    }

    /// Gives the key up, if it is still ours.
    pub(crate) async fn release(&mut self, doing: &'static str) -> Result<(), RequestError> {
        if let Some(revision) = self.revision.take() {
            self.bucket.remove(doing, &self.key, revision).await?;
        }
        Ok(())
    }

    fn is_ours(&self, entry: &Entry) -> bool {
        serde_json::from_slice::<Owned>(&entry.value).is_ok_and(|owned| owned.instance == self.instance)
    }
}

//! Removing content that no object has: what is left where a host was lost over an upload, or over the removal of an
//! object.

use std::collections::HashSet;
use std::time::Duration;

use saggar_model::StoreError;

use super::Blobs;

/// Content without an object is left behind when nothing was added to it for so long. An upload that stands still for
/// half of that is given up by whoever makes it.
pub(super) const LEFT_AFTER: Duration = Duration::from_hours(2);

/// How long one sweep may take. It is nobody's wait.
const SWEEP_MAX: Duration = Duration::from_mins(2);

impl Blobs {
    /// Looks for what is left behind, unless it was looked for a short while ago. Nobody waits for it.
    pub(super) fn sweep_if_due(&self) {
        if self.stores.sweep_is_due(&self.name) {
            let blobs = self.clone();
            tokio::spawn(async move {
                let tenant = &blobs.tenant;
                match tokio::time::timeout(SWEEP_MAX, blobs.sweep(LEFT_AFTER)).await {
                    Ok(Ok(0)) => {}
                    Ok(Ok(removed)) => {
                        tracing::info!(%tenant, removed, "removed what aborted uploads left behind");
                    }
                    Ok(Err(error)) => {
                        tracing::warn!(%tenant, %error, "looking for what aborted uploads left behind");
                    }
                    Err(_) => {
                        tracing::warn!(%tenant, "looking for what aborted uploads left behind takes too long");
                    }
                }
            });
        }
    }

    /// Removes content that no object has and to which nothing was added for so long; says how much of it there was.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn sweep(&self, left_after: Duration) -> Result<usize, StoreError> {
        const DOING: &str = "looking for content without an object";
        let (nats, stream) = (self.stores.nats(), self.stream());
        let prefix = self.chunks("");
        // Content first: what becomes an object while we look is then known as one.
        let subjects = match nats.subjects(DOING, &stream, &format!("{prefix}>")).await {
            Ok(subjects) => subjects,
            Err(error) if error.is_not_found() => return Ok(0),
            Err(error) => return Err(self.failed(error)),
        };
        let mut owned = HashSet::new();
        let mut after = Some(0);
        while let Some(place) = after {
            let (metas, next) = self.metas(place).await?;
            owned.extend(metas.into_iter().map(|meta| meta.nuid));
            after = next;
        }
        let mut removed = 0;
        for subject in subjects.keys() {
            let Some(nuid) = subject.strip_prefix(&prefix).filter(|nuid| !owned.contains(*nuid)) else {
                continue;
            };
            let last =
                nats.last_at_leader(DOING, &stream, subject).await.map_err(|error| self.failed(error))?;
            let age = last.and_then(|last| nats.now().duration_since(last.time).ok());
            if age.is_some_and(|age| age >= left_after) {
                self.purge(nuid).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

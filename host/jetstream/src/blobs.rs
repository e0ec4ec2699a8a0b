//! A tenant's objects, in containers: an object store that every client of JetStream can read.
//!
//! An object is called `<container>/<name>`, and a container `<container>/`, an object without content. What is
//! removed is removed whole, since a mark of it would count against the quota for ever.

mod download;
mod meta;
mod parts;
mod payload_sweep;
mod payloads;
mod sweep;
mod upload;

use std::time::Duration;

use futures::StreamExt as _;
use saggar_model::{
    CHUNK_BYTES, NamePage, ObjectFacts, STORE_PAGE_MAX, STORE_TRIES_MAX, StoreError, StoreKey, StoreKind,
    StoreName, TenantName, VALUE_RESERVE,
};
use serde_json::json;

use crate::api::RequestError;
use crate::encoding::{decoded, token, tokens};
use crate::layout;
use crate::stores::{Stores, failed, within};

use meta::{Meta, Place};

pub use download::Download;
pub use parts::{PartError, PartRead};
pub use payload_sweep::PayloadSweep;
pub use payloads::Payloads;
pub(crate) use payloads::renew_payload;
pub use upload::Upload;

/// What a part of a list may take of the host's memory.
const PAGE_BYTES: usize = 1 << 20;

/// Objects removed by one call at most: what a server does within a second.
const REMOVED_MAX: usize = 4096;

/// Objects removed at once: enough that the wait for one covers the next, few enough that others get their turn.
const REMOVED_AT_ONCE: usize = 16;

/// A tenant's objects. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Blobs {
    stores: Stores,
    tenant: TenantName,
    kind: StoreKind,
    /// What the store is called.
    name: String,
}

impl Blobs {
    pub(crate) fn new(stores: Stores, tenant: TenantName) -> Self {
        let name = layout::blobs_name(&tenant);
        Self { stores, tenant, kind: StoreKind::Blobs, name }
    }

    /// The store of the tenant's checkpoints, which has the same form.
    pub(crate) fn of_checkpoints(stores: Stores, tenant: TenantName) -> Self {
        let name = layout::checkpoints_name(&tenant);
        Self { stores, tenant, kind: StoreKind::Checkpoints, name }
    }

    /// The store of the tenant's large payloads, which has the same form.
    pub(crate) fn of_payloads(stores: Stores, tenant: TenantName) -> Self {
        let name = layout::payloads_name(&tenant);
        Self { stores, tenant, kind: StoreKind::Payloads, name }
    }

    /// Makes a container; one that is there stays as it is. The answer is what is known about it then.
    ///
    /// # Errors
    /// [`StoreError::Full`] if the quota has no room for it.
    pub async fn create_container(&self, container: &StoreName) -> Result<ObjectFacts, StoreError> {
        within(async {
            let place = self.place(container, None);
            for _ in 0..STORE_TRIES_MAX {
                let revision = match self.place_taken_by(&place).await? {
                    Some(there) if !there.deleted => return Ok(there.facts()),
                    Some(mark) => mark.revision,
                    None => 0,
                };
                match self.write_meta(&Meta::empty(&self.name, &place), &place, revision, None).await {
                    Ok(()) | Err(StoreError::Conflict) => {}
                    Err(error) => return Err(error),
                }
            }
            Err(StoreError::Conflict)
        })
        .await
    }

    /// What is known about a container, if there is one.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn container(&self, container: &StoreName) -> Result<Option<ObjectFacts>, StoreError> {
        within(async { Ok(self.meta(&self.place(container, None)).await?.map(|meta| meta.facts())) }).await
    }

    /// Removes all objects of a container.
    ///
    /// # Errors
    /// [`StoreError::Unfinished`] if there are more than one call removes.
    pub async fn clear_container(&self, container: &StoreName) -> Result<(), StoreError> {
        let (mut removed, mut after) = (0, 0);
        loop {
            let page = self.names(container, after).await?;
            let objects: Vec<_> = page.names.iter().filter_map(|name| StoreKey::new(name).ok()).collect();
            let removing = objects.into_iter().map(|object| {
                let (blobs, container) = (self.clone(), container.clone());
                async move { blobs.delete(&container, &object).await }
            });
            let mut done = futures::stream::iter(removing).buffer_unordered(REMOVED_AT_ONCE);
            while let Some(done) = done.next().await {
                done?;
                removed += 1;
            }
            match page.next {
                None => return Ok(()),
                Some(_) if removed >= REMOVED_MAX => return Err(StoreError::Unfinished(removed)),
                Some(next) => after = next,
            }
        }
    }

    /// Removes a container with all its objects, if it is there.
    ///
    /// # Errors
    /// [`StoreError::Unfinished`] if there are more than one call removes.
    pub async fn delete_container(&self, container: &StoreName) -> Result<(), StoreError> {
        self.clear_container(container).await?;
        within(self.remove(&self.place(container, None))).await
    }

    /// What is known about an object, if there is one.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn object(
        &self,
        container: &StoreName,
        object: &StoreKey,
    ) -> Result<Option<ObjectFacts>, StoreError> {
        within(async { Ok(self.meta(&self.place(container, Some(object))).await?.map(|meta| meta.facts())) })
            .await
    }

    /// Removes an object, if it is there.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn delete(&self, container: &StoreName, object: &StoreKey) -> Result<(), StoreError> {
        within(self.remove(&self.place(container, Some(object)))).await
    }

    /// Names of a container's objects, in the order in which they were last written, from place `after` on.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn names(&self, container: &StoreName, after: u64) -> Result<NamePage, StoreError> {
        /// Pages looked through by one call: the store knows all objects by one list, whatever their container.
        const PAGES_MAX: usize = 16;
        let prefix = format!("{}/", token(container.as_str()));
        within(async {
            let mut page = NamePage { names: Vec::new(), next: Some(after) };
            for _ in 0..PAGES_MAX {
                let Some(after) = page.next else { break };
                let (metas, next) = self.metas(after).await?;
                page.next = next;
                let names = metas.iter().filter_map(|meta| meta.name.strip_prefix(&prefix));
                page.names.extend(names.filter(|name| !name.is_empty()).filter_map(decoded));
                if !page.names.is_empty() {
                    break;
                }
            }
            Ok(page)
        })
        .await
    }

    /// Some of what is known about all objects, and where the rest begins.
    async fn metas(&self, after: u64) -> Result<(Vec<Meta>, Option<u64>), StoreError> {
        let (stream, filter) = (self.stream(), format!("$O.{}.M.>", self.name));
        let nats = self.stores.nats();
        match nats.scan_page("listing objects", &stream, &filter, after, STORE_PAGE_MAX, PAGE_BYTES).await {
            Ok((kept, more)) => {
                let next = kept.last().map(|last| last.sequence).filter(|_| more);
                let metas =
                    kept.iter().filter_map(|kept| Meta::read(&kept.payload, kept.sequence, kept.time));
                Ok((metas.filter(|meta| !meta.deleted).collect(), next))
            }
            Err(error) if error.is_not_found() => Ok((Vec::new(), None)),
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn meta(&self, place: &Place) -> Result<Option<Meta>, StoreError> {
        Ok(self.place_taken_by(place).await?.filter(|meta| !meta.deleted))
    }

    /// What a place has last, the mark of a removed object included.
    async fn place_taken_by(&self, place: &Place) -> Result<Option<Meta>, StoreError> {
        let (stream, nats) = (self.stream(), self.stores.nats());
        let found = nats.last_at_leader("reading about an object", &stream, &place.subject).await;
        let found = found.map_err(|error| self.failed(error))?;
        Ok(found.map(|found| {
            // What nobody can read is replaced like anything else.
            let unread = || Meta::of_nothing(&self.name, place, found.sequence);
            Meta::read(&found.payload, found.sequence, found.time).unwrap_or_else(unread)
        }))
    }

    /// The largest chunk in bytes that is one message.
    fn chunk_max(&self) -> usize {
        self.stores.nats().max_payload().saturating_sub(VALUE_RESERVE).clamp(1, CHUNK_BYTES)
    }

    /// Writes what is known about an object in place of revision `replaced`, 0 for none, to end by itself after `ttl`.
    async fn write_meta(
        &self,
        meta: &Meta,
        place: &Place,
        replaced: u64,
        ttl: Option<Duration>,
    ) -> Result<(), StoreError> {
        let (headers, body) = (Meta::headers(replaced, ttl), meta.body());
        let write = || {
            self.stores.nats().store(
                "writing about an object",
                place.subject.clone(),
                Some(headers.clone()),
                body.clone(),
            )
        };
        let written = match write().await {
            Err(RequestError::NoResponders { .. }) => {
                self.stores.make(&self.tenant, self.kind).await?;
                write().await
            }
            written => written,
        };
        written.map(|_| ()).map_err(|error| self.failed(error))
    }

    /// Removes what is known about an object and then its content, unless another one takes its place meanwhile.
    async fn remove(&self, place: &Place) -> Result<(), StoreError> {
        for _ in 0..STORE_TRIES_MAX {
            let Some(meta) = self.meta(place).await? else { return Ok(()) };
            let nats = self.stores.nats();
            let removed = nats.delete_message("removing an object", &self.stream(), meta.revision).await;
            if removed.map_err(|error| self.failed(error))? {
                return self.purge(&meta.nuid).await;
            }
        }
        Err(StoreError::Conflict)
    }

    /// Removes content.
    async fn purge(&self, nuid: &str) -> Result<(), StoreError> {
        if nuid.is_empty() {
            return Ok(());
        }
        let body = json!({ "filter": self.chunks(nuid) });
        let purge = format!("STREAM.PURGE.{}", self.stream());
        match self.stores.nats().ask::<serde_json::Value>("removing content", &purge, &body).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn place(&self, container: &StoreName, object: Option<&StoreKey>) -> Place {
        let object = object.map(|object| tokens(object.as_str())).unwrap_or_default();
        Place::new(&self.name, format!("{}/{object}", token(container.as_str())))
    }

    fn stream(&self) -> String {
        format!("OBJ_{}", self.name)
    }

    /// The subject of some content.
    fn chunks(&self, nuid: &str) -> String {
        format!("$O.{}.C.{nuid}", self.name)
    }

    fn failed(&self, error: RequestError) -> StoreError {
        failed(&self.tenant, self.kind, error)
    }
}

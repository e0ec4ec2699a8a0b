//! `wasi:blobstore`: objects in containers, kept between tasks in the tenant's store and streamed both ways.
//!
//! A body takes at most two parts of 128 KiB of the host's memory, and there are few bodies open at once. Every call
//! is charged for its requests, and bodies for their bytes.

mod body;
mod container;
mod incoming;
mod outgoing;

use std::sync::Arc;

use saggar_model::{Capability, StoreError, StoreKey, StoreName};
use wasmtime::component::{HasSelf, Linker, Resource};

use crate::state::State;
use crate::storage::{Blobs, copy};
use bindings::wasi::blobstore::blobstore::Host;
use bindings::wasi::blobstore::types::ObjectId;

pub(crate) use body::Bodies;
use container::Container;

/// Generated from `wit/deps/wasi-blobstore`.
pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/deps/wasi-io", "../../wit/deps/wasi-blobstore"],
        world: "wasi:blobstore/imports",
        imports: { default: async | trappable },
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:blobstore/container.container": super::container::Container,
            "wasi:blobstore/container.stream-object-names": super::container::Names,
            "wasi:blobstore/types.incoming-value": super::incoming::IncomingValue,
            "wasi:blobstore/types.outgoing-value": super::outgoing::OutgoingValue,
        },
    });
}

/// What a guest is told about a call: an error is a text here.
type Answer<T> = Result<T, String>;

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use bindings::wasi::blobstore::{blobstore, container, types};
    blobstore::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    container::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    types::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

fn text(error: StoreError) -> String {
    error.text()
}

impl State {
    /// The tenant's objects, if the guest may have them.
    fn blobs(&mut self, target: &str) -> Answer<Arc<dyn Blobs>> {
        if !self.granted.grants.blobs {
            return Err(self.deny(Capability::Blobs, target));
        }
        self.services.blobs().ok_or_else(|| text(StoreError::Unavailable))
    }

    /// A call about one container: charges for it, and finds out what it is about.
    fn about_container(&mut self, name: &str) -> Answer<(Arc<dyn Blobs>, StoreName)> {
        self.charges.call();
        self.charges.requests(1);
        self.charges.bytes(name.len());
        let blobs = self.blobs(name)?;
        Ok((blobs, StoreName::new(name).map_err(text)?))
    }

    async fn copied(&mut self, from: ObjectId, to: ObjectId) -> Answer<()> {
        let (blobs, source) = self.about_container(&from.container)?;
        let (_, target) = self.about_container(&to.container)?;
        let (object, copied) =
            (StoreKey::new(&from.object).map_err(text)?, StoreKey::new(&to.object).map_err(text)?);
        if blobs.container(&target).await.map_err(text)?.is_none() {
            return Err(text(StoreError::NotFound("container")));
        }
        let download = blobs.download(&source, &object, 0, u64::MAX).await.map_err(text)?;
        // There and back.
        let bytes = download.size().saturating_mul(2);
        if !self.charges.may_afford(bytes) {
            return Err(text(StoreError::Misused("there is not enough fuel left to copy the object")));
        }
        self.charges.many_bytes(bytes);
        copy(&blobs, download, &target, &copied).await.map_err(text)
    }

    async fn moved(&mut self, from: ObjectId, to: ObjectId) -> Answer<()> {
        if (&from.container, &from.object) == (&to.container, &to.object) {
            return self.copied(from, to).await;
        }
        self.copied(from.clone(), to).await?;
        let (blobs, container) = self.about_container(&from.container)?;
        let object = StoreKey::new(&from.object).map_err(text)?;
        blobs.delete(&container, &object).await.map_err(text)
    }

    async fn container_of(&mut self, name: String) -> Answer<Option<Container>> {
        let (blobs, container) = self.about_container(&name)?;
        let there = blobs.container(&container).await.map_err(text)?;
        Ok(there.map(|_| Container { blobs, name: container }))
    }

    async fn created(&mut self, name: String) -> Answer<Container> {
        let (blobs, container) = self.about_container(&name)?;
        blobs.create_container(&container).await.map_err(text)?;
        Ok(Container { blobs, name: container })
    }

    fn handle(&mut self, container: Answer<Container>) -> wasmtime::Result<Answer<Resource<Container>>> {
        Ok(match container {
            Ok(container) => Ok(self.table.push(container)?),
            Err(error) => Err(error),
        })
    }
}

impl Host for State {
    async fn create_container(&mut self, name: String) -> wasmtime::Result<Answer<Resource<Container>>> {
        let created = self.created(name).await;
        self.handle(created)
    }

    async fn get_container(&mut self, name: String) -> wasmtime::Result<Answer<Resource<Container>>> {
        let found = self.container_of(name).await;
        self.handle(found.and_then(|found| found.ok_or_else(|| text(StoreError::NotFound("container")))))
    }

    async fn delete_container(&mut self, name: String) -> wasmtime::Result<Answer<()>> {
        Ok(match self.about_container(&name) {
            Ok((blobs, container)) => blobs.delete_container(&container).await.map_err(text),
            Err(error) => Err(error),
        })
    }

    async fn container_exists(&mut self, name: String) -> wasmtime::Result<Answer<bool>> {
        Ok(self.container_of(name).await.map(|found| found.is_some()))
    }

    async fn copy_object(&mut self, src: ObjectId, dest: ObjectId) -> wasmtime::Result<Answer<()>> {
        Ok(self.copied(src, dest).await)
    }

    async fn move_object(&mut self, src: ObjectId, dest: ObjectId) -> wasmtime::Result<Answer<()>> {
        Ok(self.moved(src, dest).await)
    }
}

//! `wasi:keyvalue`: values by key, kept between tasks in the tenant's store.
//!
//! A bucket is a name and nothing else: the store is asked with each call, and each call is charged for its requests
//! and for the bytes of keys and values.

mod atomics;
mod batch;

use std::sync::Arc;

use saggar_model::{Capability, Condition, StoreError, StoreKey, StoreName};
use wasmtime::component::{HasSelf, Linker, Resource};

use crate::state::State;
use crate::storage::KeyValue;
use bindings::wasi::keyvalue::store::{Error, Host, HostBucket, KeyResponse};

/// Generated from `wit/deps/wasi-keyvalue`.
pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/wasi-keyvalue",
        world: "imports",
        imports: { default: async | trappable },
        with: { "wasi:keyvalue/store.bucket": super::Bucket },
    });
}

/// An open bucket.
pub struct Bucket {
    store: Arc<dyn KeyValue>,
    name: StoreName,
}

/// What a guest is told about a call.
type Answer<T> = Result<T, Error>;

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use bindings::wasi::keyvalue::{atomics, batch, store};
    store::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    atomics::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    batch::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Other(error.text())
    }
}

impl State {
    /// A call about one key: charges for it, and finds out what it is about.
    fn about(
        &mut self,
        bucket: &Resource<Bucket>,
        key: &str,
    ) -> wasmtime::Result<Answer<(Arc<dyn KeyValue>, Place)>> {
        self.charges.call();
        self.charges.requests(1);
        self.charges.bytes(key.len());
        let bucket = self.table.get(bucket)?;
        Ok(match StoreKey::new(key) {
            Ok(key) => Ok((bucket.store.clone(), Place { bucket: bucket.name.clone(), key })),
            Err(error) => Err(error.into()),
        })
    }
}

/// A key in its bucket.
struct Place {
    bucket: StoreName,
    key: StoreKey,
}

impl Host for State {
    async fn open(&mut self, identifier: String) -> wasmtime::Result<Answer<Resource<Bucket>>> {
        self.charges.call();
        self.charges.bytes(identifier.len());
        if !self.granted.grants.kv {
            self.deny(Capability::Kv, &identifier);
            return Ok(Err(Error::AccessDenied));
        }
        let (Some(store), name) = (self.services.kv(), StoreName::new(&identifier)) else {
            return Ok(Err(StoreError::Unavailable.into()));
        };
        Ok(match name {
            Ok(name) => Ok(self.table.push(Bucket { store, name })?),
            Err(error) => Err(error.into()),
        })
    }
}

impl HostBucket for State {
    async fn get(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> wasmtime::Result<Answer<Option<Vec<u8>>>> {
        let (store, at) = match self.about(&bucket, &key)? {
            Ok(about) => about,
            Err(error) => return Ok(Err(error)),
        };
        let found = store.get(&at.bucket, &at.key).await;
        Ok(found.map_err(Error::from).map(|found| {
            let value = found.map(|found| Vec::from(found.value));
            self.charges.bytes(value.as_deref().map_or(0, <[u8]>::len));
            value
        }))
    }

    async fn set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Answer<()>> {
        self.charges.bytes(value.len());
        let (store, at) = match self.about(&bucket, &key)? {
            Ok(about) => about,
            Err(error) => return Ok(Err(error)),
        };
        let set = store.put(&at.bucket, &at.key, value.into(), Condition::Always).await;
        Ok(set.map(|_| ()).map_err(Error::from))
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Answer<()>> {
        Ok(match self.about(&bucket, &key)? {
            Ok((store, at)) => store.delete(&at.bucket, &at.key).await.map_err(Error::from),
            Err(error) => Err(error),
        })
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Answer<bool>> {
        Ok(match self.about(&bucket, &key)? {
            Ok((store, at)) => {
                store.get(&at.bucket, &at.key).await.map(|found| found.is_some()).map_err(Error::from)
            }
            Err(error) => Err(error),
        })
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<u64>,
    ) -> wasmtime::Result<Answer<KeyResponse>> {
        self.charges.call();
        self.charges.requests(1);
        let Bucket { store, name } = self.table.get(&bucket)?;
        let (store, name) = (store.clone(), name.clone());
        let page = store.keys(&name, cursor.unwrap_or(0)).await;
        Ok(page.map_err(Error::from).map(|page| {
            self.charges.bytes(page.names.iter().map(String::len).sum());
            KeyResponse { keys: page.names, cursor: page.next }
        }))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.charges.call();
        self.table.delete(bucket)?;
        Ok(())
    }
}

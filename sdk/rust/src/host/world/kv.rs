//! `wasi:keyvalue` in our words.

use super::bindings::wasi::keyvalue::{atomics, batch, store};
use crate::{StoreError, StoreErrorKind};

/// A bucket of the host's.
pub(crate) struct Bucket(store::Bucket);

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bucket")
    }
}

fn failed(error: store::Error) -> StoreError {
    match error {
        store::Error::NoSuchStore => StoreError::of(StoreErrorKind::Other, "there is no such store"),
        store::Error::AccessDenied => StoreError::of(
            StoreErrorKind::Denied,
            "the queue has no grant `kv`; an operator gives it by `kv = true` under [queue.grants]",
        ),
        store::Error::Other(text) => StoreError::read(&text),
    }
}

fn owned(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

impl Bucket {
    pub(crate) fn open(name: &str) -> Result<Self, StoreError> {
        store::open(name).map(Self).map_err(failed)
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(key).map_err(failed)
    }

    pub(crate) fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.0.set(key, value).map_err(failed)
    }

    pub(crate) fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.0.delete(key).map_err(failed)
    }

    pub(crate) fn exists(&self, key: &str) -> Result<bool, StoreError> {
        self.0.exists(key).map_err(failed)
    }

    pub(crate) fn list_keys(&self, cursor: Option<u64>) -> Result<(Vec<String>, Option<u64>), StoreError> {
        self.0.list_keys(cursor).map(|response| (response.keys, response.cursor)).map_err(failed)
    }

    pub(crate) fn increment(&self, key: &str, delta: u64) -> Result<u64, StoreError> {
        atomics::increment(&self.0, key, delta).map_err(failed)
    }

    pub(crate) fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let found = batch::get_many(&self.0, &owned(keys)).map_err(failed)?;
        Ok(found.into_iter().map(|pair| pair.map(|(_, value)| value)).collect())
    }

    pub(crate) fn set_many(&self, values: &[(&str, &[u8])]) -> Result<(), StoreError> {
        let values: Vec<_> = values.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect();
        batch::set_many(&self.0, &values).map_err(failed)
    }

    pub(crate) fn delete_many(&self, keys: &[&str]) -> Result<(), StoreError> {
        batch::delete_many(&self.0, &owned(keys)).map_err(failed)
    }
}

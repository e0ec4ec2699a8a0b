//! `wasi:keyvalue/batch`: several keys with one call, a few of them on their way at once.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use saggar_model::{Condition, StoreError, StoreKey, StoreName};
use wasmtime::component::Resource;

use super::bindings::wasi::keyvalue::batch::Host;
use super::{Answer, Bucket, Error};
use crate::state::State;
use crate::storage::KeyValue;

/// Keys of one call at most: as many as a store answers for within a second, whatever fuel is left to pay for them.
const KEYS_MAX: usize = 1000;

/// Requests of one call on their way at once: enough to hide the way there and back, few enough that a task does not
/// crowd out its neighbours.
const AT_ONCE: usize = 8;

type Asked = (Arc<dyn KeyValue>, StoreName, Vec<StoreKey>);

impl State {
    /// A call about several keys: charges for each, and finds out what they are.
    fn about_many<'a>(
        &mut self,
        bucket: &Resource<Bucket>,
        keys: impl ExactSizeIterator<Item = &'a str>,
    ) -> wasmtime::Result<Result<Asked, StoreError>> {
        self.charges.call();
        let Bucket { store, name } = self.table.get(bucket)?;
        let (store, name) = (store.clone(), name.clone());
        let asked = keys.len();
        if asked > KEYS_MAX {
            let (asked, most) = (asked as u64, KEYS_MAX as u64);
            return Ok(Err(StoreError::TooMany { what: "keys", asked, most }));
        }
        self.charges.requests(asked);
        let keys = keys.map(|key| {
            self.charges.bytes(key.len());
            StoreKey::new(key)
        });
        Ok(keys.collect::<Result<_, _>>().map(|keys| (store, name, keys)))
    }

    async fn values(&mut self, (store, bucket, keys): Asked) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let most = self.call_bytes_max;
        let (mut taken, mut values) = (0, Vec::with_capacity(keys.len()));
        let reading = keys.into_iter().map(|key| {
            let (store, bucket) = (store.clone(), bucket.clone());
            async move { store.get(&bucket, &key).await }
        });
        let mut reading = futures::stream::iter(reading).buffered(AT_ONCE);
        while let Some(found) = reading.try_next().await? {
            let value = found.map(|found| Vec::from(found.value));
            let bytes = value.as_deref().map_or(0, <[u8]>::len);
            self.charges.bytes(bytes);
            taken += bytes;
            if taken > most {
                return Err(StoreError::TooLarge { bytes: taken as u64, most: most as u64 });
            }
            values.push(value);
        }
        Ok(values)
    }
}

/// Does all of it, a few at once, until one fails.
async fn all(doing: impl Iterator<Item = impl Future<Output = Result<(), StoreError>>>) -> Answer<()> {
    let mut doing = futures::stream::iter(doing).buffer_unordered(AT_ONCE);
    while let Some(done) = doing.next().await {
        done?;
    }
    Ok(())
}

impl Host for State {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Answer<Vec<Option<(String, Vec<u8>)>>>> {
        let asked = match self.about_many(&bucket, keys.iter().map(String::as_str))? {
            Ok(asked) => asked,
            Err(error) => return Ok(Err(error.into())),
        };
        let values = self.values(asked).await.map_err(Error::from);
        Ok(values.map(|values| {
            keys.into_iter().zip(values).map(|(key, value)| value.map(|value| (key, value))).collect()
        }))
    }

    async fn set_many(
        &mut self,
        bucket: Resource<Bucket>,
        key_values: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Answer<()>> {
        self.charges.bytes(key_values.iter().map(|(_, value)| value.len()).sum());
        let (store, bucket, keys) =
            match self.about_many(&bucket, key_values.iter().map(|(key, _)| key.as_str()))? {
                Ok(asked) => asked,
                Err(error) => return Ok(Err(error.into())),
            };
        let setting = keys.into_iter().zip(key_values).map(|(key, (_, value))| {
            let (store, bucket) = (store.clone(), bucket.clone());
            async move { store.put(&bucket, &key, value.into(), Condition::Always).await.map(|_| ()) }
        });
        Ok(all(setting).await)
    }

    async fn delete_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Answer<()>> {
        Ok(match self.about_many(&bucket, keys.iter().map(String::as_str))? {
            Ok((store, bucket, keys)) => {
                let removing = keys.into_iter().map(|key| {
                    let (store, bucket) = (store.clone(), bucket.clone());
                    async move { store.delete(&bucket, &key).await }
                });
                all(removing).await
            }

            Err(error) => Err(error.into()),
        })
    }
}

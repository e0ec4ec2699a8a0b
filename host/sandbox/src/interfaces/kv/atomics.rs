//! `wasi:keyvalue/atomics`: changing a value that others change too.

use wasmtime::component::Resource;

use super::bindings::wasi::keyvalue::atomics::Host;
use super::{Answer, Bucket, Error};
use crate::state::State;

impl Host for State {
    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: u64,
    ) -> wasmtime::Result<Answer<u64>> {
        // A read and a write; what others cost it is not its own fault.
        self.charges.requests(1);
        Ok(match self.about(&bucket, &key)? {
            Ok((store, at)) => store.increment(&at.bucket, &at.key, delta).await.map_err(Error::from),
            Err(error) => Err(error),
        })
    }
}

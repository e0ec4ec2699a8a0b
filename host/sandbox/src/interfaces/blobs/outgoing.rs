//! A body on its way out of the guest: what it writes is stored part by part, and becomes an object when it is
//! finished.
//!
//! The value and its stream share the body, since a guest may drop either first. The lock is held for moments only:
//! a part that is on its way is a future within, and whoever needs it done polls it.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use saggar_model::{CHUNK_BYTES, StoreError, StoreKey};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynOutputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::bindings::wasi::blobstore::types::{Host, HostOutgoingValue};
use super::body::Permit;
use super::container::Container;
use super::{Answer, text};
use crate::journal::SharedJournal;
use crate::state::State;
use crate::storage::Upload;

/// A body that the guest writes, or is about to.
#[derive(Default)]
pub struct OutgoingValue {
    body: Option<Shared>,
    target: Option<(Container, StoreKey)>,
}

type Shared = Arc<Mutex<Body>>;

struct Body {
    here: BytesMut,
    stage: Stage,
    _permit: Permit,
}

type Sent = (Box<dyn Upload>, Result<(), StoreError>);

enum Stage {
    Waiting(Box<dyn Upload>),
    Sending(BoxFuture<'static, Sent>),
    Failed(StoreError),
    /// The value was finished or dropped.
    Closed,
}

/// The stream that a guest writes to.
struct Stream {
    journal: SharedJournal,
    body: Shared,
}

impl OutgoingValue {
    /// Says which object it is to be.
    pub(super) fn becomes(&mut self, container: Container, object: StoreKey) -> Result<(), StoreError> {
        if self.target.is_some() {
            return Err(StoreError::Misused("the value is to be another object already"));
        }
        self.target = Some((container, object));
        Ok(())
    }
}

fn lock(body: &Shared) -> MutexGuard<'_, Body> {
    body.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn send(mut upload: Box<dyn Upload>, part: Bytes) -> Sent {
    let sent = upload.write(part).await;
    (upload, sent)
}

/// Waits until nothing is on its way.
async fn idle(body: &Shared) {
    poll_fn(|context| lock(body).poll_idle(context)).await;
}

impl Body {
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Stage::Sending(sending) = &mut self.stage {
            let Poll::Ready((upload, sent)) = sending.poll_unpin(context) else { return Poll::Pending };
            self.stage = match sent {
                Ok(()) => Stage::Waiting(upload),
                Err(error) => Stage::Failed(error),
            };
        }
        Poll::Ready(())
    }

    fn write(&mut self, bytes: &[u8]) -> StreamResult<()> {
        if bytes.len() > self.room()? {
            return Err(StreamError::trap("more was written than there was room for"));
        }
        self.here.extend_from_slice(bytes);
        if self.here.len() == CHUNK_BYTES {
            self.begin();
        }
        Ok(())
    }

    /// Sends what is here.
    fn begin(&mut self) {
        if matches!(self.stage, Stage::Waiting(_)) && !self.here.is_empty() {
            let Stage::Waiting(upload) = std::mem::replace(&mut self.stage, Stage::Closed) else { return };
            self.stage = Stage::Sending(send(upload, self.here.split().freeze()).boxed());
        }
    }

    fn room(&self) -> StreamResult<usize> {
        match &self.stage {
            Stage::Waiting(_) => Ok(CHUNK_BYTES - self.here.len()),
            Stage::Sending(_) => Ok(0),
            Stage::Failed(error) => Err(StreamError::LastOperationFailed(wasmtime::Error::msg(error.text()))),
            Stage::Closed => Err(StreamError::Closed),
        }
    }
}

#[async_trait::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {
        idle(&self.body).await;
    }
}

#[async_trait::async_trait]
impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.journal.lock().owe(bytes.len());
        lock(&self.body).write(&bytes)
    }

    /// Nothing is there before the value is finished, so that small parts would be stored for nothing.
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        lock(&self.body).room()
    }
}

/// Stores the rest of a body, and gives the upload to be finished.
async fn whole(body: &Shared) -> Result<Box<dyn Upload>, StoreError> {
    idle(body).await;
    lock(body).begin();
    idle(body).await;
    match std::mem::replace(&mut lock(body).stage, Stage::Closed) {
        Stage::Waiting(upload) => Ok(upload),
        Stage::Failed(error) => Err(error),
        Stage::Sending(_) | Stage::Closed => Err(StoreError::Misused("the value was finished already")),
    }
}

impl State {
    async fn finished(&mut self, value: OutgoingValue) -> Result<(), StoreError> {
        let Some((container, object)) = &value.target else {
            return Err(StoreError::Misused("the value was not written to any container"));
        };
        // A value whose body nobody wrote is an empty object.
        let upload = match &value.body {
            Some(body) => whole(body).await?,
            None => container.blobs.upload(),
        };
        upload.finish(&container.name, object).await
    }
}

impl Drop for OutgoingValue {
    /// What the stream still has is of no use; the upload removes what it stored.
    fn drop(&mut self) {
        if let Some(body) = &self.body {
            lock(body).stage = Stage::Closed;
        }
    }
}

impl Host for State {}

impl HostOutgoingValue for State {
    async fn new_outgoing_value(&mut self) -> wasmtime::Result<Resource<OutgoingValue>> {
        self.charges.call();
        Ok(self.table.push(OutgoingValue::default())?)
    }

    async fn outgoing_value_write_body(
        &mut self,
        value: Resource<OutgoingValue>,
    ) -> wasmtime::Result<Result<Resource<DynOutputStream>, ()>> {
        self.charges.call();
        let Ok(blobs) = self.blobs("") else { return Ok(Err(())) };
        if self.table.get(&value)?.body.is_some() {
            return Ok(Err(()));
        }
        let Ok(permit) = self.bodies.open() else { return Ok(Err(())) };
        let stage = Stage::Waiting(blobs.upload());
        let body = Arc::new(Mutex::new(Body { here: BytesMut::new(), stage, _permit: permit }));
        self.table.get_mut(&value)?.body = Some(body.clone());
        let stream: DynOutputStream = Box::new(Stream { journal: self.journal.clone(), body });
        Ok(Ok(self.table.push(stream)?))
    }

    async fn finish(&mut self, value: Resource<OutgoingValue>) -> wasmtime::Result<Answer<()>> {
        self.charges.call();
        self.charges.requests(2);
        let value = self.table.delete(value)?;
        Ok(self.finished(value).await.map_err(text))
    }

    async fn drop(&mut self, value: Resource<OutgoingValue>) -> wasmtime::Result<()> {
        self.charges.call();
        self.table.delete(value)?;
        Ok(())
    }
}

//! A body on its way into the guest: one part of it is here, and the next one is fetched when that is read.

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use saggar_model::StoreError;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, InputStream, Pollable, StreamError, StreamResult};

use super::bindings::wasi::blobstore::types::HostIncomingValue;
use super::body::Permit;
use super::{Answer, text};
use crate::journal::SharedJournal;
use crate::state::State;
use crate::storage::Download;

/// An object that was opened for reading.
pub struct IncomingValue {
    pub(super) download: Box<dyn Download>,
    pub(super) permit: Permit,
}

/// The stream of one.
struct Body {
    journal: SharedJournal,
    here: Bytes,
    stage: Stage,
    _permit: Permit,
}

type Fetched = (Box<dyn Download>, Result<Option<Bytes>, StoreError>);

enum Stage {
    Waiting(Box<dyn Download>),
    Fetching(BoxFuture<'static, Fetched>),
    Failed(StoreError),
    Ended,
}

async fn fetch(mut download: Box<dyn Download>) -> Fetched {
    let next = download.next().await;
    (download, next)
}

impl Body {
    /// Begins to fetch the next part, unless there is one here.
    fn begin(&mut self) {
        if self.here.is_empty() && matches!(self.stage, Stage::Waiting(_)) {
            let Stage::Waiting(download) = std::mem::replace(&mut self.stage, Stage::Ended) else { return };
            self.stage = Stage::Fetching(fetch(download).boxed());
        }
    }
}

#[async_trait::async_trait]
impl Pollable for Body {
    /// Waits for the next part. What was begun goes on when this is dropped and called again.
    async fn ready(&mut self) {
        self.begin();
        while let Stage::Fetching(fetching) = &mut self.stage {
            let (download, next) = fetching.await;
            self.stage = match next {
                Ok(Some(part)) => {
                    self.here = part;
                    Stage::Waiting(download)
                }
                Ok(None) => Stage::Ended,
                Err(error) => Stage::Failed(error),
            };
            self.begin();
        }
    }
}

#[async_trait::async_trait]
impl InputStream for Body {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.here.is_empty() {
            match &self.stage {
                Stage::Failed(error) => {
                    return Err(StreamError::LastOperationFailed(wasmtime::Error::msg(error.text())));
                }
                Stage::Ended => return Err(StreamError::Closed),
                Stage::Waiting(_) | Stage::Fetching(_) => {}
            }
        }
        let part = self.here.split_to(size.min(self.here.len()));
        self.journal.lock().owe(part.len());
        Ok(part)
    }
}

impl State {
    async fn consumed(&mut self, value: IncomingValue) -> Result<Vec<u8>, StoreError> {
        let IncomingValue { mut download, permit: _permit } = value;
        let (bytes, most) = (download.size(), self.call_bytes_max as u64);
        if bytes > most {
            return Err(StoreError::TooLarge { bytes, most });
        }
        let mut body = Vec::new();
        while let Some(part) = download.next().await? {
            body.extend_from_slice(&part);
            self.charges.bytes(part.len());
        }
        Ok(body)
    }
}

impl HostIncomingValue for State {
    async fn incoming_value_consume_sync(
        &mut self,
        value: Resource<IncomingValue>,
    ) -> wasmtime::Result<Answer<Vec<u8>>> {
        self.charges.call();
        let value = self.table.delete(value)?;
        Ok(self.consumed(value).await.map_err(text))
    }

    async fn incoming_value_consume_async(
        &mut self,
        value: Resource<IncomingValue>,
    ) -> wasmtime::Result<Answer<Resource<DynInputStream>>> {
        self.charges.call();
        let IncomingValue { download, permit } = self.table.delete(value)?;
        let (journal, stage) = (self.journal.clone(), Stage::Waiting(download));
        let body: DynInputStream = Box::new(Body { journal, here: Bytes::new(), stage, _permit: permit });
        Ok(Ok(self.table.push(body)?))
    }

    async fn size(&mut self, value: Resource<IncomingValue>) -> wasmtime::Result<u64> {
        self.charges.call();
        Ok(self.table.get(&value)?.download.size())
    }

    async fn drop(&mut self, value: Resource<IncomingValue>) -> wasmtime::Result<()> {
        self.charges.call();
        self.table.delete(value)?;
        Ok(())
    }
}

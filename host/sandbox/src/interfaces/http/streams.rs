//! The streams of bodies, with a count of what goes through them.

use bytes::Bytes;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamResult};

use super::{Meter, failure};

/// The body of a response, as the guest reads it.
pub(super) struct MeteredInput {
    pub(super) inner: DynInputStream,
    pub(super) meter: Meter,
}

#[async_trait::async_trait]
impl Pollable for MeteredInput {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

#[async_trait::async_trait]
impl InputStream for MeteredInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let bytes = self.inner.read(size).map_err(failure::with_code)?;
        self.meter.add(bytes.len());
        Ok(bytes)
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

/// The body of a request, as the guest writes it.
pub(super) struct MeteredOutput {
    pub(super) inner: DynOutputStream,
    pub(super) meter: Meter,
}

#[async_trait::async_trait]
impl Pollable for MeteredOutput {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

#[async_trait::async_trait]
impl OutputStream for MeteredOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.is_empty() {
            // Nothing waits for the network to take nothing.
            return self.inner.flush();
        }
        self.meter.add(bytes.len());
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.inner.check_write()
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

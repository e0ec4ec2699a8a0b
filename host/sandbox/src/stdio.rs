//! Standard output and standard error of a guest, without a buffer that could grow.
//!
//! wasmtime's own stream collects empty writes without end; this one hands every write to the journal at once and
//! is always ready for the next.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::journal::{SharedJournal, Stream};

/// What may be written in one go: bounds what `write-zeroes` can make the host allocate.
const WRITE_MAX_BYTES: usize = 64 << 10;

/// A standard stream that ends in the journal.
#[derive(Clone)]
pub(crate) struct JournalStream {
    pub(crate) journal: SharedJournal,
    pub(crate) stream: Stream,
}

impl IsTerminal for JournalStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for JournalStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for JournalStream {
    async fn ready(&mut self) {}
}

impl OutputStream for JournalStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.journal.lock().write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_MAX_BYTES)
    }
}

impl AsyncWrite for JournalStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.journal.lock().write(self.stream, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

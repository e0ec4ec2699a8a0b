//! The standard streams of a guest, without a buffer that could grow.
//!
//! wasmtime's own stream collects empty writes without end. What is written here goes to the journal at once, or to
//! the output of a program, which has its limit; both are always ready for the next write.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use crate::journal::{SharedJournal, Stream};

/// What may be written to the journal in one go: bounds what `write-zeroes` can make the host allocate. To the output
/// goes what the output limit leaves.
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

/// Standard input of a program: its payload, once, whoever reads it.
#[derive(Clone)]
pub(crate) struct Input {
    left: Arc<Mutex<Bytes>>,
    journal: SharedJournal,
}

impl Input {
    pub(crate) fn new(payload: Bytes, journal: SharedJournal) -> Self {
        Self { left: Arc::new(Mutex::new(payload)), journal }
    }

    /// The next bytes, at most so many; none at the end.
    fn next(&self, most: usize) -> Bytes {
        let mut left = lock(&self.left);
        let length = most.min(left.len());
        self.journal.lock().charge(length);
        left.split_to(length)
    }
}

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Input {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {}
}

impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let bytes = self.next(size);
        // To ask for nothing is no error, and does not end the input.
        if bytes.is_empty() && lock(&self.left).is_empty() { Err(StreamError::Closed) } else { Ok(bytes) }
    }
}

impl AsyncRead for Input {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        buffer.put_slice(&self.next(buffer.remaining()));
        Poll::Ready(Ok(()))
    }
}

/// A program wrote more than its output limit.
#[derive(Debug, thiserror::Error)]
#[error("more than {0} bytes were written to standard output")]
pub(crate) struct TooMuch(u64);

/// Standard output of a program, where that is the result.
#[derive(Clone)]
pub(crate) struct Collector {
    limit: u64,
    written: Arc<Mutex<Vec<u8>>>,
    journal: SharedJournal,
}

impl Collector {
    pub(crate) fn new(limit: u64, journal: SharedJournal) -> Self {
        Self { limit, written: Arc::default(), journal }
    }

    /// What was written so far.
    pub(crate) fn take(&self) -> Bytes {
        std::mem::take(&mut *lock(&self.written)).into()
    }

    fn collect(&self, bytes: &[u8]) -> Result<(), TooMuch> {
        self.journal.lock().charge(bytes.len());
        let mut written = lock(&self.written);
        if (written.len() + bytes.len()) as u64 > self.limit {
            return Err(TooMuch(self.limit));
        }
        written.extend_from_slice(bytes);
        Ok(())
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl IsTerminal for Collector {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Collector {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Collector {
    async fn ready(&mut self) {}
}

impl OutputStream for Collector {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        // A trap and not an error: a program that ignores errors would go on for nothing.
        self.collect(&bytes).map_err(|error| StreamError::Trap(error.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        // As much as there is room for, and a bit more: Python takes a short write for the whole, and loses the rest.
        let left = self.limit.saturating_sub(lock(&self.written).len() as u64);
        Ok(usize::try_from(left).unwrap_or(usize::MAX).saturating_add(1).max(WRITE_MAX_BYTES))
    }
}

impl AsyncWrite for Collector {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(self.collect(bytes).map(|()| bytes.len()).map_err(std::io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

//! `wasi:blobstore` in our words.

use super::bindings::wasi::blobstore::types::{IncomingValue, OutgoingValue};
use super::bindings::wasi::blobstore::{blobstore, container};
use super::bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};
use crate::StoreError;

/// A container of the host's.
pub(crate) struct Container(container::Container);

/// A body on its way to the host.
pub(crate) struct Writer {
    // Dropped before the value.
    stream: OutputStream,
    value: OutgoingValue,
}

/// A body on its way from the host.
pub(crate) struct Reader {
    stream: InputStream,
    size: u64,
}

macro_rules! opaque {
    ($($name:ident),*) => {
        $(impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        })*
    };
}
opaque!(Container, Writer, Reader);

fn failed(text: String) -> StoreError {
    StoreError::read(&text)
}

/// Why a stream failed; nothing if it is over.
fn stream_failed(error: StreamError) -> Option<StoreError> {
    match error {
        StreamError::Closed => None,
        StreamError::LastOperationFailed(error) => {
            let text = error.to_debug_string();
            Some(StoreError::read(text.lines().next().unwrap_or_default()))
        }
    }
}

fn not_taken(error: StreamError) -> StoreError {
    stream_failed(error).unwrap_or_else(|| StoreError::read("the host takes no more of it"))
}

impl Container {
    pub(crate) fn create(name: &str) -> Result<Self, StoreError> {
        blobstore::create_container(name).map(Self).map_err(failed)
    }

    pub(crate) fn get(name: &str) -> Result<Self, StoreError> {
        blobstore::get_container(name).map(Self).map_err(failed)
    }

    pub(crate) fn remove(name: &str) -> Result<(), StoreError> {
        blobstore::delete_container(name).map_err(failed)
    }

    pub(crate) fn reader(&self, object: &str, start: u64, end: u64) -> Result<Reader, StoreError> {
        let value = self.0.get_data(object, start, end).map_err(failed)?;
        let size = value.size();
        let stream = IncomingValue::incoming_value_consume_async(value).map_err(failed)?;
        Ok(Reader { stream, size })
    }

    pub(crate) fn writer(&self, object: &str) -> Result<Writer, StoreError> {
        let value = OutgoingValue::new_outgoing_value();
        self.0.write_data(object, &value).map_err(failed)?;
        let stream = value
            .outgoing_value_write_body()
            .map_err(|()| StoreError::read("too-many: there are too many readers and writers open"))?;
        Ok(Writer { stream, value })
    }

    pub(crate) fn info(&self, object: &str) -> Result<Option<(u64, u64)>, StoreError> {
        match self.0.object_info(object).map_err(failed) {
            Ok(info) => Ok(Some((info.size, info.created_at))),
            Err(error) if error.kind() == crate::StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn delete(&self, object: &str) -> Result<(), StoreError> {
        self.0.delete_object(object).map_err(failed)
    }

    pub(crate) fn names(&self) -> Result<Vec<String>, StoreError> {
        let stream = self.0.list_objects().map_err(failed)?;
        let mut names = Vec::new();
        loop {
            let (page, last) = stream.read_stream_object_names(u64::MAX).map_err(failed)?;
            names.extend(page);
            if last {
                return Ok(names);
            }
        }
    }
}

impl Writer {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize, StoreError> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            let room = self.stream.check_write().map_err(not_taken)?;
            if room == 0 {
                self.stream.subscribe().block();
                continue;
            }
            let taken = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            self.stream.write(&bytes[..taken]).map_err(not_taken)?;
            return Ok(taken);
        }
    }

    pub(crate) fn finish(self) -> Result<(), StoreError> {
        let Self { stream, value } = self;
        drop(stream);
        OutgoingValue::finish(value).map_err(failed)
    }
}

impl Reader {
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        match self.stream.blocking_read(buffer.len() as u64) {
            Ok(bytes) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            Err(error) => stream_failed(error).map_or(Ok(0), |error| Err(error.into())),
        }
    }
}

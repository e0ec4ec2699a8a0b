//! Objects in containers, kept between tasks: what is too large for a value or for a result.
//!
//! The queue needs the grant `blobs`. All queues of a tenant share its containers and their quota; no other tenant's
//! can be reached. Objects are streamed: one of a gigabyte needs no more of the guest's memory than it is read into.
//!
//! ```
//! use std::io::{BufRead, BufReader, Write};
//!
//! use saggar_plugin::{Error, blobs, handler};
//!
//! /// Keeps the lines of an object that are not empty, and says how many there are.
//! #[handler]
//! fn tidy(name: String) -> Result<String, Error> {
//!     let (raw, tidied) = (blobs::container("raw")?, blobs::create("tidied")?);
//!     let mut kept = 0;
//!     let mut writer = tidied.writer(&name)?;
//!     for line in BufReader::new(raw.reader(&name)?).lines() {
//!         let line = line?;
//!         if !line.is_empty() {
//!             writeln!(writer, "{line}")?;
//!             kept += 1;
//!         }
//!     }
//!     writer.finish()?;
//!     Ok(kept.to_string())
//! }
//!
//! # use saggar_plugin::testing::Context;
//! let context = Context::new();
//! context.run(|| blobs::create("raw").unwrap().write("a", b"one\n\ntwo\n")).unwrap();
//! assert_eq!(context.call(tidy, "a").unwrap().payload, b"2");
//! let tidied = context.run(|| blobs::container("tidied").unwrap().read("a")).unwrap();
//! assert_eq!(tidied, b"one\ntwo\n");
//! ```

use std::io::{Read as _, Write as _};
use std::time::{Duration, SystemTime};

use crate::{StoreError, host};

/// A set of objects with a name each.
#[derive(Debug)]
pub struct Container(host::Container);

/// What is known about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Its size in bytes.
    pub size: u64,
    /// When it was last written, in whole seconds.
    pub written_at: SystemTime,
}

/// Makes a container and opens it; one that is there is opened as it is. Any text of up to 64 bytes names one.
///
/// # Errors
/// [`Denied`](crate::StoreErrorKind::Denied) without the grant `blobs`.
pub fn create(name: &str) -> Result<Container, StoreError> {
    host::Container::create(name).map(Container)
}

/// Opens a container that is there.
///
/// # Errors
/// [`NotFound`](crate::StoreErrorKind::NotFound), or [`Denied`](crate::StoreErrorKind::Denied) without the grant
/// `blobs`.
pub fn container(name: &str) -> Result<Container, StoreError> {
    host::Container::get(name).map(Container)
}

/// Removes a container with all its objects, whether it is there or not. With very many objects it may have to be
/// called again.
///
/// # Errors
/// [`Denied`](crate::StoreErrorKind::Denied) without the grant `blobs`, or the store does not answer.
pub fn delete(name: &str) -> Result<(), StoreError> {
    host::Container::remove(name)
}

impl Container {
    /// An object's whole content.
    ///
    /// # Errors
    /// [`NotFound`](crate::StoreErrorKind::NotFound), [`Changed`](crate::StoreErrorKind::Changed) if it is replaced
    /// meanwhile, or the store does not answer.
    pub fn read(&self, object: &str) -> Result<Vec<u8>, StoreError> {
        let mut content = Vec::new();
        self.reader(object)?.read_to_end(&mut content).map_err(from_io)?;
        Ok(content)
    }

    /// A reader of an object's content.
    ///
    /// # Errors
    /// [`NotFound`](crate::StoreErrorKind::NotFound), or the store does not answer.
    pub fn reader(&self, object: &str) -> Result<Reader, StoreError> {
        self.0.reader(object, 0, u64::MAX).map(Reader)
    }

    /// A reader of the bytes from `start` to `end`, both included. Those behind the object's end are not there. A
    /// part that begins late costs as much as all that comes before it.
    ///
    /// # Errors
    /// As with [`reader`](Self::reader), or the end comes before the start.
    pub fn part(&self, object: &str, start: u64, end: u64) -> Result<Reader, StoreError> {
        self.0.reader(object, start, end).map(Reader)
    }

    /// Stores an object, in place of one that has the name.
    ///
    /// # Errors
    /// [`Full`](crate::StoreErrorKind::Full), and then what was there before is there still; or the store does not
    /// answer.
    pub fn write(&self, object: &str, content: &[u8]) -> Result<(), StoreError> {
        let mut writer = self.writer(object)?;
        writer.write_all(content).map_err(from_io)?;
        writer.finish()
    }

    /// A writer whose content becomes the object when it is finished.
    ///
    /// # Errors
    /// The store does not answer, or there are 16 readers and writers already.
    pub fn writer(&self, object: &str) -> Result<Writer, StoreError> {
        self.0.writer(object).map(Writer)
    }

    /// What is known about an object, if there is one.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn info(&self, object: &str) -> Result<Option<Info>, StoreError> {
        let found = self.0.info(object)?;
        Ok(found.map(|(size, seconds)| Info {
            size,
            written_at: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        }))
    }

    /// Removes an object, whether it is there or not.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn delete(&self, object: &str) -> Result<(), StoreError> {
        self.0.delete(object)
    }

    /// The names of the objects, in the order in which they were last written.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn names(&self) -> Result<Vec<String>, StoreError> {
        self.0.names()
    }
}

/// Writes an object: bytes go to the store while they are written, and become the object when the writer is finished.
/// One that is dropped before leaves nothing.
#[derive(Debug)]
pub struct Writer(host::Writer);

impl Writer {
    /// Makes what was written the object.
    ///
    /// # Errors
    /// [`Full`](crate::StoreErrorKind::Full), or the store does not answer: then it may be the object or not.
    pub fn finish(self) -> Result<(), StoreError> {
        self.0.finish()
    }
}

impl std::io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(self.0.write(bytes)?)
    }

    /// Does nothing: nothing is there before the writer is finished.
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Reads an object. Content that was read to its end is what was stored; otherwise the last read is an error.
#[derive(Debug)]
pub struct Reader(host::Reader);

impl Reader {
    /// How many bytes there are in all.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.size()
    }
}

impl std::io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

/// The error of a store that went through the standard library.
fn from_io(error: std::io::Error) -> StoreError {
    match error.downcast::<StoreError>() {
        Ok(error) => error,
        Err(error) => StoreError::read(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::StoreErrorKind;
    use crate::testing::Context;

    #[test]
    fn an_object_is_there_when_it_is_finished_and_not_before() {
        Context::new().run(|| {
            assert_eq!(container("c").unwrap_err().kind(), StoreErrorKind::NotFound);
            let c = create("c").unwrap();
            assert_eq!(c.read("a").unwrap_err().kind(), StoreErrorKind::NotFound);
            let mut writer = c.writer("a").unwrap();
            writer.write_all(b"0123456789").unwrap();
            assert_eq!(c.info("a"), Ok(None));
            writer.finish().unwrap();
            c.writer("b").unwrap().write_all(b"dropped").unwrap();
            assert_eq!(c.names(), Ok(vec!["a".to_owned()]));
            assert_eq!(c.read("a").unwrap(), b"0123456789");
            assert_eq!(c.info("a").unwrap().unwrap().size, 10);
            let mut part = String::new();
            let mut reader = c.part("a", 3, 5).unwrap();
            assert_eq!(reader.size(), 3);
            reader.read_to_string(&mut part).unwrap();
            assert_eq!(part, "345");
            c.delete("a").unwrap();
            assert_eq!(c.names(), Ok(Vec::new()));
            delete("c").unwrap();
            assert!(container("c").is_err());
        });
    }

    #[test]
    fn a_test_can_take_the_grant_away() {
        Context::new().without_blobs().run(|| {
            assert_eq!(create("c").unwrap_err().kind(), StoreErrorKind::Denied);
            assert_eq!(container("c").unwrap_err().kind(), StoreErrorKind::Denied);
            assert_eq!(delete("c").unwrap_err().kind(), StoreErrorKind::Denied);
        });
    }
}

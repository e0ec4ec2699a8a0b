//! A task's payload, from the command line, a file or standard input: whole, or part by part where it may be large.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::failure::{Failure, Kind};

/// Where a payload comes from.
pub enum Source {
    /// It is here.
    Text(Bytes),
    /// A file, opened.
    File(File, PathBuf),
    /// Standard input.
    StandardInput,
}

impl Source {
    /// Opens a file, or standard input for `-`.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::StandardInput);
        }
        let opened = File::open(path).map_err(|error| Failure::file(path, "read", &error))?;
        Ok(Self::File(opened, path.to_owned()))
    }

    /// Reads the next `most` bytes, fewer only at the end. Waits, as reading does.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_part(&mut self, most: usize) -> Result<Bytes, Failure> {
        let mut part = Vec::new();
        let most_bytes = most as u64;
        match self {
            Self::Text(rest) => return Ok(rest.split_to(most.min(rest.len()))),
            Self::File(file, path) => file
                .take(most_bytes)
                .read_to_end(&mut part)
                .map_err(|error| Failure::file(path, "read", &error))?,
            Self::StandardInput => io::stdin().take(most_bytes).read_to_end(&mut part).map_err(|error| {
                Failure::new(Kind::Internal, format!("standard input cannot be read: {error}"))
            })?,
        };
        Ok(part.into())
    }
}

/// Reads a payload from a file, or from standard input for `-`.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> Result<Bytes, Failure> {
    Source::open(path)?.read_part(usize::MAX)
}

/// Reads standard input to its end.
///
/// # Errors
/// It cannot be read.
pub fn read_standard_input() -> Result<Bytes, Failure> {
    Source::StandardInput.read_part(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_read_in_parts_of_which_only_the_last_is_short() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"abcdefg").unwrap();
        let sources = [Source::open(file.path()).unwrap(), Source::Text(Bytes::from_static(b"abcdefg"))];
        for mut source in sources {
            let parts: Vec<_> = (0..4).map(|_| source.read_part(3).unwrap()).collect();
            assert_eq!(parts, ["abc", "def", "g", ""]);
        }
        assert!(Source::open(Path::new("/nowhere/at/all")).is_err());
    }
}

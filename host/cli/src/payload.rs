//! A task's payload, from a file or from standard input.

use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;

use crate::failure::{Failure, Kind};

/// Reads a payload from a file, or from standard input for `-`.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> Result<Bytes, Failure> {
    if path == Path::new("-") {
        return read_standard_input();
    }
    std::fs::read(path).map(Bytes::from).map_err(|error| Failure::file(path, "read", &error))
}

/// Reads standard input to its end.
///
/// # Errors
/// It cannot be read.
pub fn read_standard_input() -> Result<Bytes, Failure> {
    let mut bytes = Vec::new();
    match std::io::stdin().read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes.into()),
        Err(error) => Err(Failure::new(Kind::Internal, format!("standard input cannot be read: {error}"))),
    }
}

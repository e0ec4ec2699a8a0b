//! The key that entries are authenticated with: made once, and read by every process that uses the directory.

use std::fs;
use std::io;
use std::path::Path;

use rand::Rng;

use super::UNFINISHED;
use super::files::{read_plain, write_new};

/// As long as what it makes.
pub(super) type Key = [u8; 32];

/// The key in this file, which is made if it is not there.
pub(super) fn read_or_make(path: &Path) -> io::Result<Key> {
    if let Some(key) = read(path)? {
        return Ok(key);
    }
    let fresh: Key = rand::rng().random();
    let temporary = path.with_extension(format!("{:016x}.{UNFINISHED}", rand::rng().random::<u64>()));
    write_new(&temporary, &[&fresh])?;
    // A link is made only if there is no key yet, so that two processes that start together share one.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    read(path)?.ok_or_else(|| io::Error::other("its key cannot be kept"))
}

/// The key, if there is one. What a loss of power has cut short is no key; the entries made with it are lost.
fn read(path: &Path) -> io::Result<Option<Key>> {
    let key = match read_plain(path) {
        Ok(key) => Key::try_from(key).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if key.is_none() {
        fs::remove_file(path)?;
    }
    Ok(key)
}

//! Files that nobody else can have prepared.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The largest file that is read: more than any component's code.
const FILE_MAX_BYTES: u64 = (1 << 30) + 4096;

/// Refuses a directory in which somebody else could put a key of his own.
pub(super) fn check_owner(directory: &Path) -> io::Result<()> {
    let metadata = fs::metadata(directory)?;
    let denied = |reason| Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return denied("it belongs to another user");
    }
    if metadata.mode() & 0o022 != 0 {
        return denied("others may write to it; take that away with `chmod go-w`");
    }
    Ok(())
}

/// Reads a file that is neither a link nor anything else that is none, and not too large.
pub(super) fn read_plain(path: &Path) -> io::Result<Vec<u8>> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > FILE_MAX_BYTES {
        return Err(io::Error::other("this is no entry"));
    }
    let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    file.take(FILE_MAX_BYTES).read_to_end(&mut content)?;
    Ok(content)
}

/// Writes a file that was not there, for its owner alone.
pub(super) fn write_new(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))
}

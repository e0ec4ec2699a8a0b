//! Compiled components on disk, so that each is compiled once per machine and release.
//!
//! Loading compiled code runs it, so that an entry is trusted only with a code of authentication made with a key
//! that only the cache's owner can read: over the entry's name, the component's digest and the machine code, read
//! into memory first and verified there. Whatever is wrong with an entry, the component is compiled again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac};
use rand::Rng;
use saggar_model::Digest;
use sha2::Sha256;

use crate::component::{Compiled, Plugin, Refused};
use crate::sandbox::Sandbox;

/// Bytes of the key, and of the authentication code at the beginning of an entry.
const KEY_BYTES: usize = 32;

/// The cache cannot be used at all. A damaged entry is no error.
#[derive(Debug, thiserror::Error)]
#[error("the cache directory {} cannot be used: {error}", path.display())]
pub struct CacheError {
    path: PathBuf,
    error: io::Error,
}

/// Compiles components, or finds what was compiled before.
#[derive(Clone)]
pub struct PluginCache {
    sandbox: Sandbox,
    directory: PathBuf,
    key: [u8; KEY_BYTES],
}

impl PluginCache {
    /// Opens the cache in `directory`, which is made if it is not there, readable by its owner only.
    ///
    /// # Errors
    /// The directory or its key cannot be made or read.
    pub fn open(sandbox: Sandbox, directory: &Path) -> Result<Self, CacheError> {
        let fail = |error| CacheError { path: directory.to_owned(), error };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(fail)?;
        let key = read_or_make_key(&directory.join("key")).map_err(fail)?;
        Ok(Self { sandbox, directory: directory.to_owned(), key })
    }

    /// The plugin for `wasm`, compiled now or found. May take as long as compiling does; call it where blocking is
    /// allowed.
    ///
    /// # Errors
    /// The component is refused.
    pub fn prepare(&self, wasm: &[u8]) -> Result<Plugin, Refused> {
        let digest = Digest::of(wasm);
        if let Some(plugin) = self.find(digest) {
            return Ok(plugin);
        }
        let compiled = self.sandbox.compile(wasm)?;
        let plugin = self.sandbox.load(&compiled)?;
        if let Err(error) = self.store(&compiled) {
            tracing::warn!(%error, directory = %self.directory.display(), "compiled code could not be cached");
        }
        Ok(plugin)
    }

    /// The plugin of this digest, if it was compiled before.
    #[must_use]
    pub fn find(&self, digest: Digest) -> Option<Plugin> {
        let path = self.path(digest);
        let mut entry = Vec::new();
        open_plain(&path).and_then(|mut file| file.read_to_end(&mut entry)).ok()?;
        let verified = entry
            .split_at_checked(KEY_BYTES)
            .is_some_and(|(code, body)| self.authenticator(digest, body).verify_slice(code).is_ok());
        if !verified {
            tracing::warn!(entry = %path.display(), "a cache entry is damaged or not ours; compiling again");
            return None;
        }
        let compiled = Compiled { digest, code: entry.split_off(KEY_BYTES) };
        self.sandbox.load(&compiled).ok()
    }

    fn store(&self, compiled: &Compiled) -> io::Result<()> {
        let code = self.authenticator(compiled.digest, &compiled.code).finalize().into_bytes();
        let unique: u64 = rand::rng().random();
        let temporary = self.directory.join(format!("{unique:016x}.new"));
        let written = write_new(&temporary, &[&code, &compiled.code])
            // Renaming puts the whole entry there at once, whoever else reads or writes it.
            .and_then(|()| fs::rename(&temporary, self.path(compiled.digest)));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn name(&self, digest: Digest) -> String {
        format!("{}-{:016x}", digest.hex(), self.sandbox.compatibility())
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.directory.join(self.name(digest))
    }

    fn authenticator(&self, digest: Digest, code: &[u8]) -> Hmac<Sha256> {
        let mut authenticator =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("an HMAC takes a key of any length");
        authenticator.update(self.name(digest).as_bytes());
        authenticator.update(code);
        authenticator
    }
}

/// Opens a file, and nothing that a link points to.
fn open_plain(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(NO_FOLLOW).open(path)
}

/// `O_NOFOLLOW`.
const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

fn write_new(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))
}

fn read_or_make_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let fresh: [u8; KEY_BYTES] = rand::rng().random();
    let temporary = path.with_extension(format!("{:016x}", rand::rng().random::<u64>()));
    if !path.exists() {
        write_new(&temporary, &[&fresh])?;
        // A link is made only if there is no key yet, so that two processes that start together share one.
        let linked = fs::hard_link(&temporary, path);
        fs::remove_file(&temporary)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let mut key = [0; KEY_BYTES];
    open_plain(path)?.read_exact(&mut key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Options;

    fn sandbox() -> Sandbox {
        Sandbox::new(&Options { slots: 1, max_memory: 64 << 20, ..Options::default() }).unwrap()
    }

    fn hello() -> Vec<u8> {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/target/wasm32-wasip2/release/hello.wasm");
        fs::read(path).expect("plugins are built: run `make guests`")
    }

    #[test]
    fn what_was_compiled_once_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let cache = PluginCache::open(sandbox(), directory.path()).unwrap();
        let wasm = hello();
        assert!(cache.find(Digest::of(&wasm)).is_none());
        let plugin = cache.prepare(&wasm).unwrap();
        let other = PluginCache::open(sandbox(), directory.path()).unwrap();
        assert_eq!(other.find(Digest::of(&wasm)).unwrap().digest(), plugin.digest());
    }

    #[test]
    fn an_entry_that_was_touched_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let cache = PluginCache::open(sandbox(), directory.path()).unwrap();
        let wasm = hello();
        let digest = cache.prepare(&wasm).unwrap().digest();
        let path = cache.path(digest);
        let good = fs::read(&path).unwrap();

        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for bad in [flipped, good[..good.len() - 1].to_vec(), good[..10].to_vec(), Vec::new()] {
            fs::write(&path, bad).unwrap();
            assert!(cache.find(digest).is_none());
        }

        fs::remove_file(&path).unwrap();
        fs::write(directory.path().join("elsewhere"), &good).unwrap();
        std::os::unix::fs::symlink(directory.path().join("elsewhere"), &path).unwrap();
        assert!(cache.find(digest).is_none(), "a link is not followed");

        fs::remove_file(&path).unwrap();
        fs::write(cache.path(Digest::of(b"another component")), &good).unwrap();
        assert!(cache.find(Digest::of(b"another component")).is_none(), "an entry belongs to its digest");
    }

    #[test]
    fn the_directory_and_the_key_are_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("cache");
        PluginCache::open(sandbox(), &directory).unwrap();
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(directory.join("key")).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

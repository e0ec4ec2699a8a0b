//! Verdicts of the compiler on disk: machine code, or why there is none.
//!
//! Loading compiled code runs it, so that an entry is trusted only with a code of authentication made with a key that
//! only the cache's owner can read: over the entry's name, which holds the component's digest and the compiler's
//! release and settings, and over its content, read into memory first and verified there. Whatever is wrong with an
//! entry, it counts as damaged and the component is compiled again. Several processes may use one directory: entries
//! appear and disappear as a whole.

mod files;
mod key;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use hmac::{Hmac, Mac};
use rand::Rng;
use saggar_model::Digest;
use sha2::Sha256;

use key::Key;

/// Bytes of the authentication code at the beginning of an entry.
const CODE_BYTES: usize = 32;

/// The most entries, for the directory is read whenever there is a new one.
const ENTRIES_MAX: usize = 10_000;

/// What is being written has this name until it is whole; older ones were left by a process that died.
const UNFINISHED: &str = "new";
const UNFINISHED_MAX_AGE: Duration = Duration::from_hours(1);

/// The first byte of an entry's content.
const CODE: u8 = b'c';
const REFUSED: u8 = b'r';

/// The cache cannot be used at all. A damaged entry is no error.
#[derive(Debug, thiserror::Error)]
#[error("the cache directory {} cannot be used: {error}", path.display())]
pub struct CacheError {
    path: PathBuf,
    error: io::Error,
}

/// What has been looked up since the cache was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStats {
    /// Entries that were found, code or refusal.
    pub hits: u64,
    /// Components without an entry.
    pub misses: u64,
    /// Entries that were not what this host had written.
    pub damaged: u64,
    /// Entries that were removed to make room.
    pub evicted: u64,
}

/// A verdict of the compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Machine code.
    Code(Vec<u8>),
    /// Why there is none.
    Refused(String),
}

/// The directory.
pub(crate) struct Store {
    directory: PathBuf,
    key: Key,
    /// What the entries of this release with these settings are called after their digest.
    suffix: String,
    capacity: u64,
    stats: Stats,
}

#[derive(Default)]
struct Stats {
    hits: AtomicU64,
    misses: AtomicU64,
    damaged: AtomicU64,
    evicted: AtomicU64,
}

impl Store {
    /// Opens the store in `directory`, which is made if it is not there. `compatibility` differs whenever compiled
    /// code must not be shared; entries take at most `capacity` bytes together.
    ///
    /// # Errors
    /// The directory or its key cannot be made or read, or others may write to it.
    pub(crate) fn open(directory: &Path, compatibility: u64, capacity: u64) -> Result<Self, CacheError> {
        let fail = |error| CacheError { path: directory.to_owned(), error };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(fail)?;
        files::check_owner(directory).map_err(fail)?;
        let key = key::read_or_make(&directory.join("key")).map_err(fail)?;
        let suffix = format!("{compatibility:016x}");
        Ok(Self { directory: directory.to_owned(), key, suffix, capacity, stats: Stats::default() })
    }

    /// The verdict on the component of this digest, if there is one that can be trusted.
    pub(crate) fn find(&self, digest: Digest) -> Option<Verdict> {
        let path = self.path(digest);
        let found = match files::read_plain(&path) {
            Ok(entry) => self.verified(digest, entry),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.stats.misses.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            Err(_) => None,
        };
        if found.is_some() {
            self.stats.hits.fetch_add(1, Ordering::Relaxed);
        } else {
            self.damaged(digest);
        }
        found
    }

    /// An entry was not what this host had written.
    fn damaged(&self, digest: Digest) {
        self.stats.damaged.fetch_add(1, Ordering::Relaxed);
        let path = self.path(digest);
        tracing::warn!(entry = %path.display(), "a cache entry is damaged or not ours; compiling again");
        // So that it is not found again and again, should its place not be written.
        let _ = fs::remove_file(&path);
    }

    /// Keeps a verdict, and removes those that were not used for the longest time to make room for it.
    ///
    /// # Errors
    /// The file system refuses.
    pub(crate) fn put(&self, digest: Digest, verdict: &Verdict) -> io::Result<()> {
        let (kind, content) = match verdict {
            Verdict::Code(code) => (CODE, &code[..]),
            Verdict::Refused(reason) => (REFUSED, reason.as_bytes()),
        };
        let code = self.authenticator(digest, &[&[kind], content]).finalize().into_bytes();
        self.make_room((code.len() + 1 + content.len()) as u64);
        let unique: u64 = rand::rng().random();
        let temporary = self.directory.join(format!("{unique:016x}.{UNFINISHED}"));
        let written = files::write_new(&temporary, &[&code, &[kind], content])
            // Renaming puts the whole entry there at once, whoever else reads or writes it.
            .and_then(|()| fs::rename(&temporary, self.path(digest)));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    pub(crate) fn stats(&self) -> CacheStats {
        let Stats { hits, misses, damaged, evicted } = &self.stats;
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        CacheStats { hits: read(hits), misses: read(misses), damaged: read(damaged), evicted: read(evicted) }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    fn verified(&self, digest: Digest, mut entry: Vec<u8>) -> Option<Verdict> {
        let (code, body) = entry.split_at_checked(CODE_BYTES)?;
        self.authenticator(digest, &[body]).verify_slice(code).ok()?;
        // The time of use is what eviction goes by. Where it cannot be set, the time of writing is.
        let _ = File::open(self.path(digest)).and_then(|file| file.set_modified(SystemTime::now()));
        match *body.first()? {
            CODE => Some(Verdict::Code(entry.split_off(CODE_BYTES + 1))),
            REFUSED => Some(Verdict::Refused(String::from_utf8_lossy(&body[1..]).into_owned())),
            _ => None,
        }
    }

    fn make_room(&self, needed: u64) {
        let mut entries = self.entries().unwrap_or_default();
        entries.sort_by_key(|entry| entry.used);
        let mut total: u64 = entries.iter().map(|entry| entry.size).sum();
        let mut number = entries.len();
        for entry in entries {
            if total.saturating_add(needed) <= self.capacity && number < ENTRIES_MAX {
                return;
            }
            number -= 1;
            // Another process may have been faster.
            if fs::remove_file(&entry.path).is_ok() {
                self.stats.evicted.fetch_add(1, Ordering::Relaxed);
            }
            total = total.saturating_sub(entry.size);
        }
    }

    /// All entries, also those of other releases. Removes what a process that died has left half written.
    fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for file in fs::read_dir(&self.directory)? {
            let path = file?.path();
            let Ok(metadata) = path.symlink_metadata() else { continue };
            let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            if path.extension().is_some_and(|extension| extension == UNFINISHED) {
                if used.elapsed().is_ok_and(|age| age > UNFINISHED_MAX_AGE) {
                    let _ = fs::remove_file(&path);
                }
            } else if is_entry(&path) {
                entries.push(Entry { path, size: metadata.len(), used });
            }
        }
        Ok(entries)
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.directory.join(self.name(digest))
    }

    fn name(&self, digest: Digest) -> String {
        format!("{}-{}", digest.hex(), self.suffix)
    }

    fn authenticator(&self, digest: Digest, content: &[&[u8]]) -> Hmac<Sha256> {
        let mut authenticator =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("an HMAC takes a key of any length");
        authenticator.update(self.name(digest).as_bytes());
        for part in content {
            authenticator.update(part);
        }
        authenticator
    }
}

struct Entry {
    path: PathBuf,
    size: u64,
    used: SystemTime,
}

/// Whether a file is called as entries are: two numbers in hexadecimal digits.
fn is_entry(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.split_once('-').is_some_and(|(digest, suffix)| {
        let hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        digest.len() == 64 && suffix.len() == 16 && hexadecimal(digest) && hexadecimal(suffix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(directory: &Path) -> Store {
        Store::open(directory, 1, 1 << 20).unwrap()
    }

    fn code(bytes: &[u8]) -> Verdict {
        Verdict::Code(bytes.to_vec())
    }

    #[test]
    fn attack_48_what_was_put_is_found_by_every_process_with_the_same_settings_and_by_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"component");
        let refused = Verdict::Refused("too expensive".to_owned());
        for verdict in [code(b"machine code"), refused] {
            store(directory.path()).put(digest, &verdict).unwrap();
            assert_eq!(store(directory.path()).find(digest), Some(verdict));
        }
        assert_eq!(Store::open(directory.path(), 2, 1 << 20).unwrap().find(digest), None);
        assert_eq!(store(directory.path()).find(Digest::of(b"another")), None);
    }

    #[test]
    fn attack_46_an_entry_that_was_touched_is_not_believed_and_counted() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path());
        let digest = Digest::of(b"component");
        store.put(digest, &code(b"machine code")).unwrap();
        let path = store.path(digest);
        let good = fs::read(&path).unwrap();

        let mut damaged = 0;
        let mut expect_damaged = |digest| {
            assert_eq!(store.find(digest), None);
            damaged += 1;
            assert_eq!(store.stats().damaged, damaged);
        };
        for place in 0..good.len() {
            let mut flipped = good.clone();
            flipped[place] ^= 1;
            fs::write(&path, flipped).unwrap();
            expect_damaged(digest);
        }
        for length in 0..good.len() {
            fs::write(&path, &good[..length]).unwrap();
            expect_damaged(digest);
        }
        fs::write(directory.path().join("elsewhere"), &good).unwrap();
        std::os::unix::fs::symlink(directory.path().join("elsewhere"), &path).unwrap();
        expect_damaged(digest);
        fs::create_dir(&path).unwrap();
        expect_damaged(digest);
        fs::remove_dir(&path).unwrap();

        let other = Digest::of(b"another component");
        fs::write(store.path(other), &good).unwrap();
        expect_damaged(other);
        fs::write(&path, &good).unwrap();
        assert_eq!(store.find(digest), Some(code(b"machine code")), "nothing else was wrong");
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_makes_room() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), 1, 3 * 1100).unwrap();
        let digests = [b"a", b"b", b"c", b"d"].map(|name| Digest::of(name));
        let day = Duration::from_hours(24);
        for (days, digest) in (1..).zip(&digests[..3]) {
            store.put(*digest, &code(&[0; 1000])).unwrap();
            let file = File::options().write(true).open(store.path(*digest)).unwrap();
            file.set_modified(SystemTime::now() - day * (10 - days)).unwrap();
        }
        assert!(store.find(digests[0]).is_some(), "used now, though written first");
        store.put(digests[3], &code(&[0; 1000])).unwrap();
        let kept = digests.map(|digest| store.find(digest).is_some());
        assert_eq!(kept, [true, false, true, true]);
        assert_eq!(store.stats().evicted, 1);
    }

    #[test]
    fn what_others_could_have_prepared_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = Store::open(directory.path(), 1, 1).err().expect("anybody may write there").to_string();
        assert!(error.contains("chmod go-w"), "{error}");
    }

    #[test]
    fn the_directory_and_the_key_are_the_owners_alone_and_a_key_cut_short_is_made_anew() {
        use std::os::unix::fs::PermissionsExt as _;
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("cache");
        let digest = Digest::of(b"component");
        store(&directory).put(digest, &code(b"machine code")).unwrap();
        let key = directory.join("key");
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);

        fs::write(&key, b"short").unwrap();
        let store = store(&directory);
        assert_eq!(store.find(digest), None, "it was made with another key");
        assert_eq!(fs::metadata(&key).unwrap().len(), 32);
    }

    #[test]
    fn attack_47_an_entry_that_changes_all_the_time_is_found_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"component");
        let versions = [code(&[1; 5000]), code(&[2; 9000])];
        std::thread::scope(|scope| {
            for version in &versions {
                let store = store(directory.path());
                scope.spawn(move || (0..500).for_each(|_| store.put(digest, version).unwrap()));
            }
            let reader = store(directory.path());
            for _ in 0..2000 {
                assert!(reader.find(digest).is_none_or(|found| versions.contains(&found)));
            }
            assert_eq!(reader.stats().damaged, 0);
        });
    }
}

//! Keys in files: what plugins are signed with, and what hosts trust.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use saggar_model::config::PluginsConfig;
use saggar_model::{KeyError, PublicKey, SecretKey, TrustedKeys};

use crate::console::Console;
use crate::failure::{Failure, Kind};

/// A key in PEM has 120 bytes; whoever names something else should not wait until it was read.
const PEM_MAX_BYTES: u64 = 16 << 10;

/// Anybody but the owner.
const OTHERS: u32 = 0o077;

/// Reads a public key.
///
/// # Errors
/// There is no such file, or it holds something else.
pub fn public(path: &Path) -> Result<PublicKey, Failure> {
    PublicKey::from_pem(&read(path)?).map_err(|error| no_key(path, error))
}

/// Reads a private key, and says so if others can read it as well.
///
/// # Errors
/// There is no such file, or it holds something else.
pub fn secret(path: &Path, console: Console) -> Result<SecretKey, Failure> {
    let key = SecretKey::from_pem(&read(path)?).map_err(|error| no_key(path, error))?;
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & OTHERS != 0) {
        let path = path.display();
        console.warn(format!("others can read {path}, and could sign with it: `chmod 600 {path}`"));
    }
    Ok(key)
}

/// The keys that a host's configuration names; nothing if it names none.
///
/// # Errors
/// One of them cannot be read: a host that trusts nobody, or everybody, instead would be worse than none.
pub fn trusted(config: &PluginsConfig) -> Result<Option<TrustedKeys>, Failure> {
    let Some(paths) = &config.trusted_keys else { return Ok(None) };
    let (mut keys, mut failures) = (Vec::with_capacity(paths.len()), Vec::new());
    for path in paths {
        match public(path) {
            Ok(key) => keys.push(key),
            Err(failure) => failures.push(failure),
        }
    }
    match Failure::all(failures) {
        Some(failure) => Err(failure.advice("`plugins.trusted_keys` in the host's file names it.")),
        None => Ok(TrustedKeys::new(keys)),
    }
}

/// Writes a new file that only its owner can read, or that everybody can.
///
/// # Errors
/// There is something of that name, or it cannot be written.
pub fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(|error| not_written(path, &error))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| Failure::file(path, "written", &error))
}

/// What to say when a file could not be made.
pub fn not_written(path: &Path, error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::new(Kind::Conflict, format!("{} exists already, and is left as it is", path.display()))
        }
        std::io::ErrorKind::NotFound => {
            Failure::new(Kind::NotFound, format!("there is no directory for {}", path.display()))
        }
        _ => Failure::file(path, "written", error),
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::file(path, "read", &error);
    let mut text = String::new();
    std::fs::File::open(path)
        .map_err(failed)?
        .take(PEM_MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text)
}

fn no_key(path: &Path, error: KeyError) -> Failure {
    Failure::new(Kind::BadConfiguration, format!("{} is no key: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_49_a_host_does_not_start_without_the_keys_that_it_was_told_to_trust() {
        let folder = tempfile::tempdir().unwrap();
        let secret = SecretKey::from_random(&[7; 32]);
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let good = write("good.pem", &secret.public().to_pem());
        let config = |paths: &[&std::path::PathBuf]| PluginsConfig {
            trusted_keys: Some(paths.iter().map(|path| (*path).clone()).collect()),
        };
        assert_eq!(trusted(&PluginsConfig::default()), Ok(None));
        assert_eq!(trusted(&config(&[&good])).unwrap().unwrap().keys(), [secret.public()]);
        let private = write("private.pem", secret.to_pem().as_ref());
        let empty = write("empty.pem", "");
        let missing = folder.path().join("missing.pem");
        let refused = trusted(&config(&[&good, &private, &empty, &missing])).unwrap_err();
        let text = refused.to_string();
        for part in ["private.pem", "only the signer", "empty.pem", "missing.pem", "plugins.trusted_keys"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn a_key_is_written_for_its_owner_and_never_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        write_new(&path, "first", 0o600).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(write_new(&path, "second", 0o600).unwrap_err().kind, Kind::Conflict);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first");
    }
}

//! A directory with the keys of an installation, and what is made of them.
//!
//! The directory is what is known of hosts and tenants: a key that is there is used again, a tenant whose key is removed
//! is no longer one. Secrets are for their owner only, and never shown.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use saggar_jetstream::accounts::{KeyRole, Keys, NatsKey, OperatorKeys};
use saggar_model::TenantName;

use crate::failure::{Failure, Kind};
use crate::keys::write_new;

/// The ending of files with the seed of a key.
const SEED: &str = "nk";

/// Readable by its owner only, and by everybody.
pub const SECRET: u32 = 0o600;
pub const PUBLIC: u32 = 0o644;

/// The directory.
pub struct Keyring {
    dir: PathBuf,
}

impl Keyring {
    /// Opens the directory, and makes it if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        let keyring = Self { dir: dir.to_owned() };
        keyring.make_dir("tenants")?;
        Ok(keyring)
    }

    /// The tenants that have a key.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn tenants(&self) -> Result<Vec<TenantName>, Failure> {
        let dir = self.dir.join("tenants");
        let entries = fs::read_dir(&dir).map_err(|error| Failure::file(&dir, "read", &error))?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let seeds = paths.filter(|path| path.extension().is_some_and(|extension| extension == SEED));
        Ok(seeds.filter_map(|path| path.file_stem()?.to_str()?.parse().ok()).collect())
    }

    /// The keys of the users: those that are there, and new ones for whoever has none.
    ///
    /// # Errors
    /// A key cannot be read or written.
    pub fn users(&self, tenants: &[TenantName]) -> Result<Keys, Failure> {
        self.keys("", KeyRole::User, tenants)
    }

    /// The keys that sign: those that are there, and new ones.
    ///
    /// # Errors
    /// A key cannot be read or written.
    pub fn operator(&self, tenants: &[TenantName]) -> Result<OperatorKeys, Failure> {
        self.make_dir("keys/tenants")?;
        Ok(OperatorKeys {
            operator: self.key("keys/operator", KeyRole::Operator)?,
            system: self.key("keys/system", KeyRole::Account)?,
            accounts: self.keys("keys/", KeyRole::Account, tenants)?,
        })
    }

    /// Writes a file, in place of one of the same name. Nobody ever reads half of it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str, mode: u32) -> Result<PathBuf, Failure> {
        let path = self.path(name);
        let written = || {
            let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(&self.dir))?;
            file.write_all(text.as_bytes())?;
            file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
            file.as_file().sync_all()?;
            file.persist(&path).map(drop).map_err(io::Error::from)
        };
        written().map_err(|error| Failure::file(&path, "written", &error))?;
        Ok(path)
    }

    /// Where the seed of a user lies.
    #[must_use]
    pub fn seed_path(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.{SEED}"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn make_dir(&self, name: &str) -> Result<(), Failure> {
        let path = self.path(name);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|error| Failure::file(&path, "made", &error))
    }

    fn keys(&self, below: &str, role: KeyRole, tenants: &[TenantName]) -> Result<Keys, Failure> {
        let of_tenants = tenants
            .iter()
            .map(|tenant| Ok((tenant.clone(), self.key(&format!("{below}tenants/{tenant}"), role)?)));
        let tenants: BTreeMap<TenantName, NatsKey> = of_tenants.collect::<Result<_, Failure>>()?;
        Ok(Keys { hosts: self.key(&format!("{below}hosts"), role)?, tenants })
    }

    fn key(&self, name: &str, role: KeyRole) -> Result<NatsKey, Failure> {
        let path = self.seed_path(name);
        match fs::read_to_string(&path) {
            Ok(text) => NatsKey::from_seed(role, &text).map_err(|error| {
                Failure::new(Kind::BadConfiguration, format!("{}: {error}", path.display()))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = NatsKey::new(role);
                write_new(&path, &format!("{}\n", key.seed()), SECRET)?;
                Ok(key)
            }
            Err(error) => Err(Failure::file(&path, "read", &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<TenantName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn keys_are_made_once_for_their_owner_only_and_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::open(&folder.path().join("new")).unwrap();
        let first = keyring.users(&names(&["acme"])).unwrap();
        let again = keyring.users(&names(&["acme", "globex"])).unwrap();
        assert_eq!(again.hosts.public(), first.hosts.public());
        assert_eq!(
            again.tenants.values().next().unwrap().public(),
            first.tenants.values().next().unwrap().public()
        );
        let mut known = keyring.tenants().unwrap();
        known.sort();
        assert_eq!(known, names(&["acme", "globex"]));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&keyring.seed_path("tenants/acme")), SECRET);
        assert_eq!(mode(&folder.path().join("new")), 0o700);
    }

    #[test]
    fn attack_86_a_file_that_holds_no_key_is_named_and_its_text_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::open(folder.path()).unwrap();
        fs::write(keyring.seed_path("hosts"), "sesame").unwrap();
        let failure = keyring.users(&[]).unwrap_err().to_string();
        assert!(failure.contains("hosts.nk") && !failure.contains("sesame"), "{failure}");
    }
}

//! `saggar plugin keygen`: a pair of keys, for whoever has no other tool at hand.

use std::path::{Path, PathBuf};

use rand::TryRngCore as _;
use saggar_model::SecretKey;
use serde_json::json;

use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::keys;

const HELP: &str = "\
Writes the private key to FILE, which only you can read, and the public key beside it: `release.pem`
and `release.pub.pem`. Neither is written over. They are PEM (PKCS#8 and SPKI), as openssl has them:

  openssl genpkey -algorithm ed25519 -out release.pem
  openssl pkey -in release.pem -pubout -out release.pub.pem

Example:
  saggar plugin keygen release.pem";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Keygen {
    /// Where the private key goes.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Makes a pair.
///
/// # Errors
/// One of the files exists or cannot be written; then neither is there that was not before.
pub fn execute(keygen: &Keygen, console: Console) -> Result<Exit, Failure> {
    let (private, public) = (&keygen.file, beside(&keygen.file)?);
    let mut random = [0; 32];
    rand::rngs::OsRng.try_fill_bytes(&mut random).map_err(|error| Failure::new(Kind::Internal, error))?;
    let key = SecretKey::from_random(&random);
    random.fill(0);
    keys::write_new(private, key.to_pem().as_ref(), 0o600)?;
    keys::write_new(&public, &key.public().to_pem(), 0o644).inspect_err(|_| {
        // It was made a moment ago, and half a pair is of no use to anybody.
        let _ = std::fs::remove_file(private);
    })?;
    let data = json!({ "private": private, "public": public, "key": key.public() });
    let (private, public) = (private.display(), public.display());
    console.answer(data, format!("{private}, for signing\n{public}, for the hosts: {}", key.public()))?;
    Ok(Exit::Success)
}

/// `release.pub.pem` for `release.pem`.
fn beside(private: &Path) -> Result<PathBuf, Failure> {
    let stem = private.file_stem().ok_or_else(|| {
        Failure::new(Kind::Usage, format!("`{}` names no file to write a key to", private.display()))
    })?;
    let mut name = stem.to_owned();
    name.push(".pub");
    if let Some(extension) = private.extension() {
        name.push(".");
        name.push(extension);
    }
    Ok(private.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_key_lies_beside_the_private_one() {
        for (private, public) in [("a/release.pem", "a/release.pub.pem"), ("key", "key.pub")] {
            assert_eq!(beside(Path::new(private)).unwrap(), Path::new(public));
        }
        assert_eq!(beside(Path::new("..")).unwrap_err().kind, Kind::Usage);
    }

    #[test]
    fn neither_key_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let console = Console::new(crate::console::Format::Text);
        let make = |name: &str| execute(&Keygen { file: folder.path().join(name) }, console);
        assert_eq!(make("a.pem"), Ok(Exit::Success));
        let first = std::fs::read(folder.path().join("a.pem")).unwrap();
        assert_eq!(make("a.pem").unwrap_err().kind, Kind::Conflict);
        std::fs::write(folder.path().join("b.pub.pem"), "mine").unwrap();
        assert_eq!(make("b.pem").unwrap_err().kind, Kind::Conflict);
        assert_eq!(std::fs::read(folder.path().join("a.pem")).unwrap(), first);
        assert!(!folder.path().join("b.pem").exists(), "no half of a pair is left");
        let (private, public) = (folder.path().join("a.pem"), folder.path().join("a.pub.pem"));
        assert_eq!(keys::secret(&private, console).unwrap().public(), keys::public(&public).unwrap());
    }
}

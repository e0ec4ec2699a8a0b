//! The way to registries, and who we are there.

use std::path::{Path, PathBuf};

use saggar_registry::{Artifact, Bounds, Credentials, Reference, Registry};

use crate::failure::Failure;

/// Who we are in a registry. Without a name, whoever anybody is there.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Registry")]
pub struct RegistryFlags {
    /// Our name in the registry; it and the password are shown to the one that the reference names.
    #[arg(
        long = "registry-user",
        value_name = "NAME",
        env = "SAGGAR_REGISTRY_USER",
        hide_env_values = true,
        requires = "password_file"
    )]
    user: Option<String>,

    /// File with our password there, or with a token.
    #[arg(
        long = "registry-password-file",
        value_name = "FILE",
        env = "SAGGAR_REGISTRY_PASSWORD_FILE",
        hide_env_values = true,
        requires = "user"
    )]
    password_file: Option<PathBuf>,
}

impl RegistryFlags {
    /// Fetches a component.
    ///
    /// # Errors
    /// The password cannot be read, or the registry does not give what was asked for.
    pub async fn fetch(&self, reference: &Reference) -> Result<Artifact, Failure> {
        let credentials = match (&self.user, &self.password_file) {
            (Some(user), Some(file)) => Some(Credentials { user: user.clone(), password: password(file)? }),
            _ => None,
        };
        Ok(Registry::new(Bounds::default(), credentials).fetch(reference).await?)
    }
}

/// A password stands in a file of its own, mostly with a line break behind it.
fn password(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::file(file, "read", &error))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

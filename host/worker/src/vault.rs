//! The tenants' secrets, as far as this host has them: files that the operator named, read again every few seconds,
//! so that a secret can be renewed while tasks run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use saggar_model::{Grants, SecretFiles, SecretName, SecretValue, TenantName};
use tokio::io::AsyncReadExt as _;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Whoever renews a secret leaves the old one valid for longer than this.
const READ_AGAIN: Duration = Duration::from_secs(10);

/// Values of secrets by their names.
pub(crate) type SecretValues = Arc<BTreeMap<SecretName, SecretValue>>;

type Values = BTreeMap<TenantName, BTreeMap<SecretName, SecretValue>>;

/// All secrets of a host.
pub(crate) struct Vault {
    files: SecretFiles,
    values: Values,
    again: Interval,
}

impl Vault {
    /// Reads the files. What cannot be read is reported, and missing until it can be.
    pub(crate) async fn open(files: SecretFiles) -> Self {
        let mut again = interval(READ_AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        again.reset();
        let values = read(&files, &Values::new()).await;
        Self { files, values, again }
    }

    /// Waits until a value is another one than before.
    pub(crate) async fn changed(&mut self) {
        loop {
            self.again.tick().await;
            let values = read(&self.files, &self.values).await;
            if values != self.values {
                self.values = values;
                return;
            }
        }
    }

    /// The values of a tenant's secrets that these grants name.
    pub(crate) fn secrets(&self, tenant: &TenantName, grants: &Grants) -> SecretValues {
        let Some(values) = self.values.get(tenant) else { return SecretValues::default() };
        let granted = grants.secrets.iter().map(|grant| &grant.name);
        Arc::new(granted.filter_map(|name| Some((name.clone(), values.get(name)?.clone()))).collect())
    }
}

async fn read(files: &SecretFiles, before: &Values) -> Values {
    let mut values = Values::new();
    for (tenant, files) in files {
        let mut of_tenant = BTreeMap::new();
        for (name, path) in files {
            match read_file(path).await {
                Ok(value) => drop(of_tenant.insert(name.clone(), value)),
                Err(error) => {
                    let known = before.get(tenant).and_then(|values| values.get(name));
                    let path = path.display();
                    tracing::warn!(%tenant, secret = %name, %path, error, kept = known.is_some(), "cannot be read");
                    of_tenant.extend(known.map(|value| (name.clone(), value.clone())));
                }
            }
        }
        values.insert(tenant.clone(), of_tenant);
    }
    values
}

/// Reads no more of a file than a secret may have: somebody may have named the wrong one.
async fn read_file(path: &std::path::Path) -> Result<SecretValue, String> {
    let most = SecretValue::MAX_BYTES as u64 + 3;
    let mut bytes = Vec::new();
    let file = tokio::fs::File::open(path).await.map_err(|error| error.to_string())?;
    file.take(most).read_to_end(&mut bytes).await.map_err(|error| error.to_string())?;
    SecretValue::from_file(&bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault_files(directory: &std::path::Path) -> SecretFiles {
        let files = [("TOKEN".parse().unwrap(), directory.join("token"))].into();
        [("acme".parse().unwrap(), files)].into()
    }

    fn grants() -> Grants {
        serde_json::from_str(r#"{"secrets": ["TOKEN", "OTHER"]}"#).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewed_secret_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("token"), "first-value\n").unwrap();
        let mut vault = Vault::open(vault_files(directory.path())).await;
        let value = |vault: &Vault, tenant: &str| {
            let secrets = vault.secrets(&tenant.parse().unwrap(), &grants());
            secrets.get(&"TOKEN".parse().unwrap()).map(|value| value.reveal().to_owned())
        };
        assert_eq!(value(&vault, "acme").as_deref(), Some("first-value"));
        assert_eq!(value(&vault, "other"), None, "it is of another tenant");

        std::fs::write(directory.path().join("token"), "second-value").unwrap();
        vault.changed().await;
        assert_eq!(value(&vault, "acme").as_deref(), Some("second-value"));

        std::fs::remove_file(directory.path().join("token")).unwrap();
        assert!(
            tokio::time::timeout(READ_AGAIN * 3, vault.changed()).await.is_err(),
            "what was known is kept while the file is away"
        );
    }

    #[tokio::test]
    async fn a_secret_that_is_not_granted_is_not_given() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("token"), "first-value\n").unwrap();
        let vault = Vault::open(vault_files(directory.path())).await;
        assert!(vault.secrets(&"acme".parse().unwrap(), &Grants::default()).is_empty());
    }

    #[tokio::test]
    async fn a_file_that_is_no_secret_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("token"), vec![b'x'; 1 << 20]).unwrap();
        let vault = Vault::open(vault_files(directory.path())).await;
        assert!(vault.secrets(&"acme".parse().unwrap(), &grants()).is_empty());
    }
}

//! `[secrets.<tenant>]` of a host's file: the files that hold the tenants' secrets, `API_TOKEN_FILE = "/run/…"`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::{SecretFiles, SecretName};

use super::reader::{Item, Node};
use super::value::FromToml;

/// The end of a key whose value is a file that holds a secret. The secret itself never stands in a configuration.
const SUFFIX: &str = "_FILE";

impl FromToml for SecretFiles {
    fn from_toml(node: &Node) -> Result<Self, String> {
        let Item::Table(tenants) = &node.item else {
            return Err("must be tables: write [secrets.TENANT]".to_owned());
        };
        let tenants = tenants.iter().map(|(name, node)| {
            let tenant = name.parse().map_err(|error| format!("cannot be read: {error}"))?;
            let Item::Table(entries) = &node.item else {
                return Err(format!(
                    "must hold a table for each tenant, and `{name}` is {}",
                    node.item.kind()
                ));
            };
            Ok((tenant, entries.iter().map(|(key, node)| file(key, node)).collect::<Result<_, _>>()?))
        });
        tenants.collect::<Result<BTreeMap<_, _>, _>>()
    }
}

fn file(key: &str, node: &Node) -> Result<(SecretName, PathBuf), String> {
    let name = key.strip_suffix(SUFFIX).ok_or_else(|| {
        format!("names `{key}`; secrets come from files: write `{key}{SUFFIX} = \"/path/to/it\"`")
    })?;
    let name = name.parse().map_err(|error| format!("cannot be read: {error}"))?;
    let file = PathBuf::from_toml(node).map_err(|error| format!("`{key}` {error}"))?;
    Ok((name, file))
}

#[cfg(test)]
mod tests {
    use super::super::{HostConfig, Overrides};

    fn parse(text: &str) -> Result<HostConfig, String> {
        HostConfig::parse("host.toml", text, Overrides::default()).map_err(|problems| problems.to_string())
    }

    #[test]
    fn secrets_are_files_by_tenant_and_name() {
        let config = parse("[secrets.acme]\nAPI_TOKEN_FILE = '/run/secrets/token'").unwrap();
        let files = &config.secrets[&"acme".parse().unwrap()];
        assert_eq!(files[&"API_TOKEN".parse().unwrap()].to_str(), Some("/run/secrets/token"));
        assert!(parse("").unwrap().secrets.is_empty());
    }

    #[test]
    fn a_secret_that_stands_in_the_file_itself_is_refused_without_being_repeated() {
        let problems = parse("[secrets.acme]\nAPI_TOKEN = 'hunter22'").unwrap_err();
        assert!(problems.contains("write `API_TOKEN_FILE ="), "{problems}");
        assert!(!problems.contains("hunter22"), "{problems}");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("secrets = 1", "write [secrets.TENANT]"),
            ("[secrets]\nacme = 'x'", "`acme` is a text"),
            ("[secrets.Acme]\nA_FILE = 'x'", "`Acme` is not a valid tenant name"),
            ("[secrets.acme]\n'a-b_FILE' = 'x'", "`a-b` is not a valid secret name"),
            ("[secrets.acme]\nA_FILE = 1", "`A_FILE` must be a path"),
        ] {
            let problems = parse(text).unwrap_err();
            assert!(problems.contains(part), "{part}\nis not in\n{problems}");
        }
    }
}

//! `plugin.toml`: what a plugin is called, and what it would like to be granted.

use crate::{PluginName, PluginVersion};

use super::problem::Problems;
use super::reader::{Document, Item, Node};
use super::value::{FromToml, Parsed};

/// The manifest beside a plugin's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginFile {
    /// The plugin's name.
    pub name: PluginName,
    /// Its version.
    pub version: PluginVersion,
    /// What it asks for, for the operator to read; grants nothing.
    pub wants: Vec<String>,
}

/// A list of texts, or `true` for a capability without a scope.
struct Wish(Vec<String>);

impl FromToml for Wish {
    fn from_toml(node: &Node) -> Result<Self, String> {
        match &node.item {
            Item::Boolean(true) => Ok(Self(Vec::new())),
            Item::Array(nodes) => nodes.iter().map(String::from_toml).collect::<Result<_, _>>().map(Self),
            other => Err(format!("must be `true` or a list of texts, and is {}", other.kind())),
        }
    }
}

impl PluginFile {
    /// Reads a manifest.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let mut document = Document::parse(file, text)?;
        let mut root = document.root();
        let mut plugin = root.section("plugin");
        let name = plugin.required::<Parsed<_>>("name");
        let version = plugin.required::<Parsed<_>>("version");
        plugin.finish();
        let mut section = root.section("wants");
        let mut wants = Vec::new();
        for capability in ["config", "secrets", "kv", "blobs", "http", "submit", "clock"] {
            if let Some(Wish(scope)) = section.optional(capability) {
                let scope = scope.join(", ");
                wants.push(if scope.is_empty() {
                    capability.to_owned()
                } else {
                    format!("{capability}: {scope}")
                });
            }
        }
        section.finish();
        root.finish();
        document.finish(name.zip(version).map(|(Parsed(name), Parsed(version))| Self {
            name,
            version,
            wants,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_the_plugin_and_its_wishes() {
        let text = "[plugin]\nname = 'thumbnail'\nversion = '1.2.0'\n[wants]\nhttp = ['api.example.com']\nkv = true\n";
        let file = PluginFile::parse("plugin.toml", text).unwrap();
        assert_eq!((file.name.as_str(), file.version.as_str()), ("thumbnail", "1.2.0"));
        assert_eq!(file.wants, ["kv", "http: api.example.com"]);
    }

    #[test]
    fn a_manifest_with_mistakes_names_all_of_them() {
        let text = "[plugin]\nname = 'Thumb'\nverzion = '1'\n[wants]\nhtpp = []\n";
        let problems = PluginFile::parse("plugin.toml", text).unwrap_err().to_string();
        for part in ["`plugin.name`", "`plugin.version` is missing", "`version`", "`wants.htpp`", "`http`"] {
            assert!(problems.contains(part), "{part} in {problems}");
        }
    }
}

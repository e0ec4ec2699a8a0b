//! `plugin.toml`: finding the manifest that belongs to a component, and the component that belongs to a manifest.
//!
//! A component is mostly built far from its manifest, in the `target` directory of a workspace. There it is called
//! after the crate, with `_` for `-`, and so is the manifest found.

use std::path::{Path, PathBuf};

use saggar_model::PluginName;
use saggar_model::config::PluginFile;

use crate::failure::{Failure, Kind};

/// The name of a manifest.
const MANIFEST: &str = "plugin.toml";

/// Where cargo puts components.
const BUILT: &str = "wasm32-wasip2/release";

/// Reads a manifest.
///
/// # Errors
/// There is none, or it has mistakes.
pub fn read(path: &Path) -> Result<PluginFile, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::file(path, "read", &error)
            .advice("A plugin's manifest says `[plugin]`, `name = \"…\"` and `version = \"…\"`.")
    })?;
    Ok(PluginFile::parse(&path.display().to_string(), &text)?)
}

/// Reads the manifest of the plugin in `directory`.
///
/// # Errors
/// As [`read`].
pub fn read_in(directory: &Path) -> Result<PluginFile, Failure> {
    read(&directory.join(MANIFEST))
}

/// Whether `directory` holds a plugin.
#[must_use]
pub fn is_in(directory: &Path) -> bool {
    directory.join(MANIFEST).is_file()
}

/// The manifest of the component in `file`, if one can be found: beside the file; in the workspace whose `target`
/// directory holds the file, under the file's name; in the `working` directory.
#[must_use]
pub fn find(file: &Path, working: &Path) -> Option<PathBuf> {
    let file = std::path::absolute(file).ok()?;
    let directory = file.parent()?;
    let beside = [directory.join(MANIFEST)];
    let built = workspace_of(directory).and_then(|workspace| in_workspace(workspace, &file));
    let near = [working.join(MANIFEST)];
    beside.into_iter().chain(built).chain(near).find(|path| path.is_file())
}

/// The directory that holds the `target` directory that holds `directory`.
fn workspace_of(directory: &Path) -> Option<&Path> {
    directory.ancestors().find(|path| path.ends_with("target"))?.parent()
}

/// The manifest in the workspace itself, or in a directory of it, if it names the plugin that the file is named after.
fn in_workspace(workspace: &Path, file: &Path) -> Option<PathBuf> {
    let wanted = file.file_stem()?.to_str()?.replace('_', "-");
    let members = std::fs::read_dir(workspace).ok()?.flatten().map(|entry| entry.path());
    let mut found: Vec<_> = std::iter::once(workspace.to_owned())
        .chain(members)
        .map(|directory| directory.join(MANIFEST))
        .filter(|path| read(path).is_ok_and(|manifest| manifest.name.as_str() == wanted))
        .collect();
    found.sort();
    found.into_iter().next()
}

/// Where the component of the plugin in `directory` may be: in the `target` directories from there up to the
/// repository's root.
fn built_paths(directory: &Path, name: &PluginName) -> Vec<PathBuf> {
    let file = format!("{BUILT}/{}.wasm", name.as_str().replace('-', "_"));
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let mut paths = Vec::new();
    if let Some(target) = std::env::var_os("CARGO_TARGET_DIR") {
        paths.push(Path::new(&target).join(&file));
    }
    for ancestor in absolute.ancestors() {
        paths.push(ancestor.join("target").join(&file));
        if ancestor.join(".git").exists() {
            break;
        }
    }
    paths
}

/// The component of the plugin in `directory` that was built last: the one that is being worked on.
///
/// # Errors
/// There is none.
pub fn newest_built(directory: &Path, name: &PluginName) -> Result<PathBuf, Failure> {
    let paths = built_paths(directory, name);
    let built = |path: &PathBuf| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let newest = paths.iter().filter(|path| path.is_file()).max_by_key(|path| built(path));
    newest.cloned().ok_or_else(|| {
        let looked = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n");
        Failure::new(Kind::NotFound, format!("plugin {name} is not built; looked for\n{looked}"))
            .advice("Build it with `cargo build --release --target wasm32-wasip2`.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (directory, name) in [("csv-export", "csv-export"), ("hello", "hello")] {
            let directory = root.path().join(directory);
            std::fs::create_dir_all(&directory).unwrap();
            let text = format!("[plugin]\nname = '{name}'\nversion = '0.1.0'\n");
            std::fs::write(directory.join(MANIFEST), text).unwrap();
        }
        std::fs::create_dir_all(root.path().join("target").join(BUILT)).unwrap();
        root
    }

    #[test]
    fn a_built_component_finds_the_manifest_of_its_name() {
        let root = workspace();
        let built = root.path().join("target").join(BUILT);
        let elsewhere = root.path().join("nowhere");
        let found = |name: &str| find(&built.join(name), &elsewhere);
        assert_eq!(found("csv_export.wasm"), Some(root.path().join("csv-export").join(MANIFEST)));
        assert_eq!(found("unknown.wasm"), None);
        assert_eq!(
            find(&built.join("unknown.wasm"), &root.path().join("hello")),
            Some(root.path().join("hello").join(MANIFEST)),
            "the working directory is the last resort"
        );
    }

    #[test]
    fn a_plugin_finds_its_component_in_the_workspace_above() {
        let root = workspace();
        std::fs::create_dir(root.path().join(".git")).unwrap();
        let paths = built_paths(&root.path().join("csv-export"), &"csv-export".parse().unwrap());
        assert!(paths.contains(&root.path().join("target").join(BUILT).join("csv_export.wasm")));
        assert!(
            !paths.iter().any(|path| !path.starts_with(root.path())),
            "no further up than the repository"
        );
    }
}

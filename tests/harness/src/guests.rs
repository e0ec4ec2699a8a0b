//! The guests that tests run, as `make guests` builds them.

use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

/// What guests are made of, from the root of the repository.
const SOURCES: [&str; 5] = ["plugins", "tests/guests", "tests/foreign/rust", "sdk/rust", "wit"];

/// Where they are built to, from the root of the repository: plugins and test guests are one workspace.
const BUILT: &str = "plugins/target/wasm32-wasip2/release";

/// The component `name`, with or without `.wasm`.
///
/// # Panics
/// It is missing, or older than any source that it could be made of: then `make guests` has to be run.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let root = root();
    let file = format!("{}.wasm", name.strip_suffix(".wasm").unwrap_or(name));
    // Cargo names the file of a crate after it, and crate names have underscores.
    let files = [file.clone(), file.replace('-', "_")];
    // The tests' own guests are the examples of their package.
    let folders = [root.join(BUILT), root.join(BUILT).join("examples")];
    let found = folders
        .iter()
        .flat_map(|folder| files.iter().map(move |file| folder.join(file)))
        .find_map(|path| Some((modified(&path)?, path)));
    let Some((built_at, path)) = found else { panic!("there is no guest {file}: run `make guests`") };
    if let Some((changed_at, source)) = SOURCES.iter().filter_map(|dir| newest(&root.join(dir))).max()
        && changed_at > built_at
    {
        panic!("guest {} is older than {}: run `make guests`", path.display(), source.display());
    }
    path
}

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    // This crate lies two directories deep.
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").components().fold(PathBuf::new(), |mut path, part| {
        match part {
            Component::ParentDir => drop(path.pop()),
            _ => path.push(part),
        }
        path
    })
}

pub(crate) fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}

/// The file below `dir` that was changed last. What is built, and what is not under version control, does not count.
pub(crate) fn newest(dir: &Path) -> Option<(SystemTime, PathBuf)> {
    let mut newest = None;
    for entry in std::fs::read_dir(dir).ok()?.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if name == "target" || name.to_string_lossy().starts_with('.') {
            continue;
        }
        let found = match entry.file_type() {
            Ok(kind) if kind.is_dir() => self::newest(&path),
            Ok(kind) if kind.is_file() => modified(&path).map(|time| (time, path)),
            _ => None,
        };
        newest = newest.max(found);
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_where_the_contract_lies() {
        assert!(root().join("wit/task.wit").is_file(), "{}", root().display());
    }

    #[test]
    fn the_newest_source_is_found_and_what_is_built_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("src")).unwrap();
        std::fs::create_dir_all(dir.path().join("target")).unwrap();
        std::fs::write(dir.path().join("src/lib.rs"), "").unwrap();
        std::fs::write(dir.path().join("target/a.wasm"), "").unwrap();
        assert_eq!(newest(dir.path()).unwrap().1, dir.path().join("src/lib.rs"));
    }

    #[test]
    #[should_panic(expected = "make guests")]
    fn a_missing_guest_says_what_to_run() {
        drop(path("no-such-guest"));
    }
}

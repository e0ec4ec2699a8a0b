//! Programs in other languages that know nothing of Saggar, as `make foreign` builds them.

use std::path::PathBuf;

use crate::guests::{modified, newest, root};

/// The program in `language`.
///
/// # Panics
/// It is missing, or older than its source: then `make foreign` has to be run.
#[must_use]
pub fn path(language: &str) -> PathBuf {
    let (root, path) = (root(), root().join("target/foreign").join(format!("{language}.wasm")));
    let Some(built_at) = modified(&path) else {
        panic!("there is no {}: run `make foreign`", path.display())
    };
    let sources = [language, "wit"].map(|source| newest(&root.join("tests/foreign").join(source)));
    if let Some((changed_at, source)) = sources.into_iter().flatten().max()
        && changed_at > built_at
    {
        panic!("{} is older than {}: run `make foreign`", path.display(), source.display());
    }
    path
}

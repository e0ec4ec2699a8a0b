//! A component in a file, as binary or as text.

use std::path::Path;

use bytes::Bytes;
use saggar_sandbox::{Inspection, inspect};

use crate::failure::{Failure, Kind};

/// The bytes of a component that is a plugin, and what it says about itself.
#[derive(Debug)]
pub struct Component {
    /// The component.
    pub wasm: Bytes,
    /// What it imports and exports.
    pub inspection: Inspection,
}

/// Reads a plugin from a `.wasm` file, or from a `.wat` file in the text format.
///
/// # Errors
/// There is no such file, or what it holds is no plugin; the failure says what it is instead.
pub fn read(path: &Path) -> Result<Component, Failure> {
    let bytes =
        std::fs::read(path).map_err(|error| Failure::file(path, "read", &error).advice(HOW_TO_BUILD))?;
    let wasm = if is_text(path, &bytes) { assemble(path, &bytes)? } else { bytes };
    let inspection = inspect(&wasm).map_err(|refused| {
        Failure::new(Kind::BadConfiguration, format!("{} cannot be run: {refused}", path.display()))
    })?;
    Ok(Component { wasm: wasm.into(), inspection })
}

const HOW_TO_BUILD: &str = "Build a Rust plugin with `cargo build --release --target wasm32-wasip2`.";

fn is_text(path: &Path, bytes: &[u8]) -> bool {
    !bytes.starts_with(b"\0asm")
        && path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("wat"))
}

fn assemble(path: &Path, text: &[u8]) -> Result<Vec<u8>, Failure> {
    wat::parse_bytes(text).map(std::borrow::Cow::into_owned).map_err(|mut error| {
        error.set_path(path);
        Failure::new(Kind::BadConfiguration, format!("the text cannot be assembled: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &str, bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (directory, path)
    }

    #[test]
    fn a_missing_file_is_not_found_and_named() {
        let failure = read(Path::new("/nowhere/plugin.wasm")).unwrap_err();
        assert_eq!(failure.kind, Kind::NotFound);
        assert!(failure.to_string().contains("/nowhere/plugin.wasm"));
    }

    #[test]
    fn what_is_no_plugin_is_refused_with_what_it_is() {
        let (_guard, path) = written("a.wasm", b"#!/bin/sh");
        let failure = read(&path).unwrap_err();
        assert_eq!(failure.kind, Kind::BadConfiguration);
        assert!(failure.to_string().contains("not WebAssembly"), "{failure}");

        let world = "(component (component $c) (instance $i (instantiate $c)) (export \"a:b/c@1.0.0\" (instance $i)))";
        let (_guard, path) = written("a.wat", world.as_bytes());
        let text = read(&path).unwrap_err().to_string();
        assert!(text.contains("a:b/c@1.0.0") && text.contains("saggar:task/handler"), "{text}");
    }

    #[test]
    fn a_mistake_in_text_is_shown_with_its_place() {
        let (_guard, path) = written("a.wat", b"(component (nope))");
        assert!(read(&path).unwrap_err().to_string().contains("a.wat"));
    }
}

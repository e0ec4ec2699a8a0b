//! A component in a file: as binary, as text, or as the preview-1 module that one is made of.

use std::fmt::Display;
use std::path::Path;

use bytes::Bytes;
use saggar_sandbox::{Inspection, adapt, inspect};

use crate::failure::{Failure, Kind};

/// The bytes of a component that is a plugin, and what it says about itself.
#[derive(Debug)]
pub struct Component {
    /// The component.
    pub wasm: Bytes,
    /// What it imports and exports.
    pub inspection: Inspection,
}

/// Reads a plugin from a `.wasm` file, or from a `.wat` file in the text format. Of a module for
/// `wasi_snapshot_preview1` a component is made here: from now on it is a component like any other.
///
/// # Errors
/// There is no such file, or what it holds is no plugin; the failure says what it is instead.
pub fn read(path: &Path) -> Result<Component, Failure> {
    let bytes =
        std::fs::read(path).map_err(|error| Failure::file(path, "read", &error).advice(HOW_TO_BUILD))?;
    let wasm = if is_text(path, &bytes) { assemble(path, &bytes)? } else { bytes };
    look_at(wasm.into(), path.display())
}

/// Looks at bytes that should be a plugin, and makes a component of a module; `origin` is where they are from.
///
/// # Errors
/// They are something else.
pub fn look_at(wasm: Bytes, origin: impl Display) -> Result<Component, Failure> {
    let cannot_be_run =
        |refused| Failure::new(Kind::BadConfiguration, format!("{origin} cannot be run: {refused}"));
    let wasm = adapt(&wasm).map_err(cannot_be_run)?.map_or(wasm, |adapted| adapted.wasm.into());
    let inspection = inspect(&wasm).map_err(cannot_be_run)?;
    Ok(Component { wasm, inspection })
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
    fn of_a_preview_1_module_a_component_is_made_that_names_it() {
        let text = r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (func (export "_start") (call $exit (i32.const 75))))"#;
        let (_guard, path) = written("program.wat", text.as_bytes());
        let component = read(&path).unwrap();
        assert_eq!(component.inspection.world, saggar_sandbox::World::Command);
        let module = wat::parse_str(text).unwrap();
        assert_eq!(component.inspection.adapted_from, Some(saggar_model::Digest::of(&module)));
        assert_eq!(component.inspection.digest, saggar_model::Digest::of(&component.wasm));

        let (_guard, path) = written("library.wat", br#"(module (func (export "_initialize")))"#);
        assert!(read(&path).unwrap_err().to_string().contains("without `_start`"));
    }

    #[test]
    fn a_mistake_in_text_is_shown_with_its_place() {
        let (_guard, path) = written("a.wat", b"(component (nope))");
        assert!(read(&path).unwrap_err().to_string().contains("a.wat"));
    }
}

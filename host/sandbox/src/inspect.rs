//! Looks at a component without compiling it: what it imports, what it exports, whether it is a plugin at all.

use saggar_model::{Digest, escape_and_cut};
use wasmparser::{Parser, Payload};

use crate::component::Refused;
use crate::settings::{FEATURES, Options};
use crate::structure;

/// The interface that makes a component a plugin, without its patch number.
const HANDLER: &str = "saggar:task/handler@0.1.";

/// The largest component that is looked at.
pub(crate) const COMPONENT_MAX_BYTES: usize = 64 << 20;

/// How much of a name is shown.
const NAME_MAX_BYTES: usize = 256;

/// What a component says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// SHA-256 of the component.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes that its largest memory has from the start.
    pub memory: u64,
    /// Names of the interfaces and functions it needs.
    pub imports: Vec<String>,
    /// Names of the interfaces and functions it offers.
    pub exports: Vec<String>,
}

/// Reads what a component says about itself, and whether a host with the default settings would compile it.
///
/// # Errors
/// [`Refused`] if the bytes are no component, are too large or too expensive, or export no handler.
pub fn inspect(wasm: &[u8]) -> Result<Inspection, Refused> {
    inspect_for(wasm, Options::default().max_memory)
}

/// The same for a host whose memories hold so many bytes at most.
pub(crate) fn inspect_for(wasm: &[u8], most_memory: u64) -> Result<Inspection, Refused> {
    if !wasm.starts_with(b"\0asm") {
        return Err(Refused::NotWasm);
    }
    if wasm.len() > COMPONENT_MAX_BYTES {
        return Err(Refused::TooLarge { size: wasm.len(), most: COMPONENT_MAX_BYTES });
    }
    let memory = structure::check(wasm, FEATURES, most_memory)?;
    let mut found = Inspection {
        digest: Digest::of(wasm),
        size: wasm.len() as u64,
        memory,
        imports: Vec::new(),
        exports: Vec::new(),
    };
    read(wasm, &mut found)?;
    if !found.exports.iter().any(|export| export.starts_with(HANDLER)) {
        return Err(Refused::NotAPlugin { exports: found.exports });
    }
    Ok(found)
}

fn read(wasm: &[u8], found: &mut Inspection) -> Result<(), Refused> {
    let broken = |error: wasmparser::BinaryReaderError| Refused::Broken(error.to_string());
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(broken)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    found.imports.push(shown(import.map_err(broken)?.name.name));
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    found.exports.push(shown(export.map_err(broken)?.name.name));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn shown(name: &str) -> String {
    escape_and_cut(name, NAME_MAX_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wat(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn what_is_no_component_is_refused_with_the_reason() {
        assert!(matches!(inspect(b"#!/bin/sh"), Err(Refused::NotWasm)));
        assert!(matches!(inspect(b""), Err(Refused::NotWasm)));
        assert!(matches!(inspect(&wat("(module)")), Err(Refused::CoreModule)));
        let component = wat("(component (core module (memory 1)))");
        assert!(matches!(inspect(&component[..component.len() - 1]), Err(Refused::Broken(_))));
    }

    #[test]
    fn a_component_of_another_world_is_refused_with_what_it_exports() {
        let other = wat(
            "(component (component $c) (instance $i (instantiate $c)) (export \"wasi:cli/run@0.2.0\" (instance $i)))",
        );
        let Err(Refused::NotAPlugin { exports }) = inspect(&other) else { panic!("it is no plugin") };
        assert_eq!(exports, ["wasi:cli/run@0.2.0"]);
    }

    #[test]
    fn names_inside_nested_components_do_not_count() {
        let nested = wat("(component (component (component $c) (instance $i (instantiate $c)) \
             (export \"saggar:task/handler@0.1.0\" (instance $i))))");
        assert!(matches!(inspect(&nested), Err(Refused::NotAPlugin { .. })));
    }
}

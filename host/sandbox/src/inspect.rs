//! Looks at a component without compiling it: what it imports, what it exports, whether it is a plugin at all.

use saggar_model::{COMPONENT_MAX_BYTES, Digest, escape_and_cut};
use wasmparser::{Parser, Payload};

use crate::adapt::ADAPTED_FROM;
use crate::component::Refused;
use crate::settings::{FEATURES, Options};
use crate::structure;
use crate::world::World;

/// How much of a name is shown.
const NAME_MAX_BYTES: usize = 256;

/// What a component says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// SHA-256 of the component.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The world that it is for.
    pub world: World,
    /// Digest of the preview-1 module that it was made of, if it says so.
    pub adapted_from: Option<Digest>,
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
    let mut names = Names::default();
    read(wasm, &mut names)?;
    let Names { imports, exports, adapted_from } = names;
    let Some(world) = World::of_exports(exports.iter().map(String::as_str)) else {
        return Err(Refused::NotAPlugin { exports });
    };
    let (digest, size) = (Digest::of(wasm), wasm.len() as u64);
    Ok(Inspection { digest, size, world, adapted_from, memory, imports, exports })
}

/// What a component names.
#[derive(Default)]
struct Names {
    imports: Vec<String>,
    exports: Vec<String>,
    adapted_from: Option<Digest>,
}

fn read(wasm: &[u8], found: &mut Names) -> Result<(), Refused> {
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
            Payload::CustomSection(section) if depth == 0 && section.name() == ADAPTED_FROM => {
                found.adapted_from =
                    std::str::from_utf8(section.data()).ok().and_then(|text| text.parse().ok());
            }
            _ => {}
        }
    }
    Ok(())
}

/// A name that a stranger wrote.
pub(crate) fn shown(name: &str) -> String {
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
            "(component (component $c) (instance $i (instantiate $c)) (export \"wasi:cli/run@0.3.0\" (instance $i)))",
        );
        let Err(refused @ Refused::NotAPlugin { .. }) = inspect(&other) else { panic!("it is no plugin") };
        let text = refused.to_string();
        for part in [
            "exports wasi:cli/run@0.3.0",
            "saggar:task/handler@0.1.x",
            "wasi:http/incoming-handler@0.2.x",
            "wasi:cli/run@0.2.x",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn the_world_of_a_component_is_seen_without_compiling_it() {
        let program = wat(
            "(component (component $c) (instance $i (instantiate $c)) (export \"wasi:cli/run@0.2.3\" (instance $i)))",
        );
        let inspection = inspect(&program).unwrap();
        assert_eq!((inspection.world, inspection.adapted_from), (World::Command, None));
    }

    #[test]
    fn names_inside_nested_components_do_not_count() {
        let nested = wat("(component (component (component $c) (instance $i (instantiate $c)) \
             (export \"saggar:task/handler@0.1.0\" (instance $i))))");
        assert!(matches!(inspect(&nested), Err(Refused::NotAPlugin { .. })));
    }
}

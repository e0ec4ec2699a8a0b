//! Makes components of the modules that older toolchains build, which import `wasi_snapshot_preview1`.
//!
//! It happens before a component is looked at: whatever comes out of it is pushed, checked and compiled as any other,
//! under its own digest, and says of which module it was made. The module is a stranger's as well: it is checked as
//! a part of a component is before anything else reads it, and a panic over it is a refusal.

mod exit;
mod reserve;
mod sections;

use std::panic::{AssertUnwindSafe, catch_unwind};

use saggar_model::{COMPONENT_MAX_BYTES, Digest, panic_message};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{BinaryReaderError, ExternalKind, Parser, Payload, TypeRef};
use wit_component::ComponentEncoder;

use self::sections::Sections;
use crate::component::Refused;
use crate::settings::{FEATURES, Options};
use crate::structure;

/// The section of a component that names the digest of the module it was made of.
pub(crate) const ADAPTED_FROM: &str = "saggar:adapted-from";

/// What a program exports to be started.
const START: &str = "_start";

/// Sections that say which world a module is for begin so.
const WORLD_SECTION: &str = "component-type";

/// A section that every program of Go has.
const GO_SECTION: &str = "go:buildid";

/// A component that was made of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapted {
    /// The component.
    pub wasm: Vec<u8>,
    /// Digest of the module.
    pub from: Digest,
}

/// Makes a component of a module: a program of one with `_start`, else whatever world the module says it is for.
/// Nothing if the bytes are no module; what they are instead is not decided here.
///
/// # Errors
/// [`Refused`] if the module is too large, too expensive or broken, imports what no adapter has, or has no entry.
pub fn adapt(wasm: &[u8]) -> Result<Option<Adapted>, Refused> {
    if !Parser::is_core_wasm(wasm) {
        return Ok(None);
    }
    if wasm.len() > COMPONENT_MAX_BYTES {
        return Err(Refused::TooLarge { size: wasm.len(), most: COMPONENT_MAX_BYTES });
    }
    let most_memory = Options::default().max_memory;
    structure::check_module(wasm, FEATURES, most_memory)?;
    let found = look(wasm, most_memory)?;
    let adapter = match found.entry {
        Entry::Start => WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        Entry::World => WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
        Entry::None => return Err(Refused::NoStart),
    };
    let module = prepared(wasm, &found).map_err(|error| Refused::Broken(error.to_string()))?;
    let encoded = catch_unwind(AssertUnwindSafe(|| {
        ComponentEncoder::default()
            .module(&module)
            .and_then(|encoder| encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter))
            .and_then(|mut encoder| encoder.encode())
            .map_err(|error| format!("{error:#}"))
    }));
    let mut component = match encoded {
        Ok(Ok(component)) => component,
        Ok(Err(reason)) => return Err(Refused::NotAdaptable(reason)),
        Err(panic) => return Err(Refused::NotAdaptable(panic_message(&*panic).to_owned())),
    };
    let from = Digest::of(wasm);
    append_section(&mut component, ADAPTED_FROM, &from.to_string());
    Ok(Some(Adapted { wasm: component, from }))
}

/// The module as the adapter needs it.
fn prepared(wasm: &[u8], found: &Found) -> Result<Vec<u8>, BinaryReaderError> {
    let mut module = Sections::read(wasm)?;
    exit::keep_codes(&mut module, FEATURES)?;
    if found.is_go && !found.allocates {
        reserve::leave_room(&mut module, found.imported, FEATURES)?;
    }
    Ok(module.write())
}

/// What matters of a module.
struct Found {
    entry: Entry,
    is_go: bool,
    /// It has a function that the adapter can ask for memory.
    allocates: bool,
    /// Functions and globals that it imports.
    imported: (u32, u32),
}

/// How a module can be entered.
enum Entry {
    Start,
    World,
    None,
}

fn look(wasm: &[u8], most_memory: u64) -> Result<Found, Refused> {
    let broken = |error: BinaryReaderError| Refused::Broken(error.to_string());
    let mut found = Found { entry: Entry::None, is_go: false, allocates: false, imported: (0, 0) };
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(broken)? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    match import.map_err(broken)?.ty {
                        TypeRef::Func(_) => found.imported.0 += 1,
                        TypeRef::Global(_) => found.imported.1 += 1,
                        _ => {}
                    }
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.map_err(broken)?;
                    if export.name == START && export.kind == ExternalKind::Func {
                        found.entry = Entry::Start;
                    }
                    found.allocates |= export.name == reserve::ALLOCATE;
                }
            }
            Payload::CustomSection(section) if section.name() == GO_SECTION => found.is_go = true,
            Payload::CustomSection(section) if section.name().starts_with(WORLD_SECTION) => {
                // Types within types, which the encoder reads by functions that call themselves.
                structure::check(section.data(), FEATURES, most_memory)?;
                if !matches!(found.entry, Entry::Start) {
                    found.entry = Entry::World;
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Appends a custom section that is short enough for lengths of one byte.
fn append_section(wasm: &mut Vec<u8>, name: &str, data: &str) {
    const CUSTOM: u8 = 0;
    const ONE_BYTE: usize = 0x7f;
    let length = 1 + name.len() + data.len();
    debug_assert!(length <= ONE_BYTE, "a longer section has a longer length");
    #[expect(clippy::cast_possible_truncation, reason = "both are less than a byte holds")]
    wasm.extend([CUSTOM, length as u8, name.len() as u8]);
    wasm.extend(name.bytes().chain(data.bytes()));
}

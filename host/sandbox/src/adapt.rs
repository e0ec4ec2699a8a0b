//! Makes components of the modules that older toolchains build, which import `wasi_snapshot_preview1`.
//!
//! It happens before a component is looked at: whatever comes out of it is pushed, checked and compiled as any other,
//! under its own digest, and says of which module it was made. The module is a stranger's as well: it is checked as
//! a part of a component is before anything else reads it, and a panic over it is a refusal.

mod exit;

use std::panic::{AssertUnwindSafe, catch_unwind};

use saggar_model::{COMPONENT_MAX_BYTES, Digest, panic_message};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{ExternalKind, Parser, Payload};
use wit_component::ComponentEncoder;

use crate::component::Refused;
use crate::settings::{FEATURES, Options};
use crate::structure;

/// The section of a component that names the digest of the module it was made of.
pub(crate) const ADAPTED_FROM: &str = "saggar:adapted-from";

/// What a program exports to be started.
const START: &str = "_start";

/// Sections that say which world a module is for begin so.
const WORLD_SECTION: &str = "component-type";

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
    let broken = |error: wasmparser::BinaryReaderError| Refused::Broken(error.to_string());
    let module = exit::with_code(wasm, FEATURES).map_err(broken)?;
    let adapter = match entry(wasm, most_memory)? {
        Entry::Start => WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        Entry::World => WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
        Entry::None => return Err(Refused::NoStart),
    };
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

/// How a module can be entered.
enum Entry {
    Start,
    World,
    None,
}

fn entry(wasm: &[u8], most_memory: u64) -> Result<Entry, Refused> {
    let broken = |error: wasmparser::BinaryReaderError| Refused::Broken(error.to_string());
    let mut entry = Entry::None;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(broken)? {
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.map_err(broken)?;
                    if export.name == START && export.kind == ExternalKind::Func {
                        entry = Entry::Start;
                    }
                }
            }
            Payload::CustomSection(section) if section.name().starts_with(WORLD_SECTION) => {
                // Types within types, which the encoder reads by functions that call themselves.
                structure::check(section.data(), FEATURES, most_memory)?;
                if !matches!(entry, Entry::Start) {
                    entry = Entry::World;
                }
            }
            _ => {}
        }
    }
    Ok(entry)
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

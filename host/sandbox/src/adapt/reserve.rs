//! Keeps the adapter's memory out of the way of Go's heap.
//!
//! The adapter takes two pages of the program's memory when it is first called, behind whatever there is. Go believes
//! that all memory behind its heap is its own, whoever made it grow, so that its heap would run over those pages. A Go
//! program is therefore given a function that the adapter asks for memory instead of growing it itself: it leaves room
//! for a heap between the program's memory and those pages. The program's memory may never grow by more than that, and
//! a heap that wants to ends as Go ends without memory.
//!
//! The room is counted as memory that the program holds, though nothing is written to most of it.

use wasmparser::{BinaryReaderError, MemoryType, WasmFeatures};

use super::sections::{
    CODE, EXPORTS, FUNCTIONS, GLOBALS, MEMORIES, Sections, TYPES, push_name, push_number, reader,
};

/// Pages for the heap, 64 MiB: half of what a task may hold if nobody says otherwise, so that a program can use it.
pub(super) const ROOM: u32 = 1024;

/// What the adapter calls for memory.
pub(super) const ALLOCATE: &str = "cabi_realloc";

/// Bytes of the format: a function's type, a 32-bit number that can change, an empty block, an exported function.
const FUNCTION: u8 = 0x60;
const I32: u8 = 0x7f;
const MUTABLE: u8 = 1;
const EMPTY: u8 = 0x40;
const EXPORTED_FUNCTION: u8 = 0;

/// Adds the function and bounds the memory. `imported` are the functions and globals that the module imports. A module
/// without one of the sections that every Go program has stays as it is, and takes its chances.
pub(super) fn leave_room(
    module: &mut Sections,
    imported: (u32, u32),
    features: WasmFeatures,
) -> Result<(), BinaryReaderError> {
    let needed = [TYPES, FUNCTIONS, MEMORIES, GLOBALS, EXPORTS, CODE];
    if needed.into_iter().any(|id| module.get(id).is_none()) {
        return Ok(());
    }
    bound_memory(module, features)?;
    let signature = [FUNCTION, 4, I32, I32, I32, I32, 1, I32];
    let ty = module.append(TYPES, &signature)?.unwrap_or_default();
    // 0 until there is room.
    let global = module.append(GLOBALS, &[I32, MUTABLE, 0x41, 0, 0x0b])?.unwrap_or_default() + imported.1;
    let mut index = Vec::new();
    push_number(&mut index, ty as usize);
    let function = module.append(FUNCTIONS, &index)?.unwrap_or_default() + imported.0;
    let mut export = Vec::new();
    push_name(&mut export, ALLOCATE);
    export.push(EXPORTED_FUNCTION);
    push_number(&mut export, function as usize);
    module.append(EXPORTS, &export)?;
    module.append(CODE, &allocate(global))?;
    Ok(())
}

/// As much as the program has, the room twice over, once for the heap and once because growing cannot tell whose it is,
/// and a page: of the adapter's two the second cannot be counted on.
fn bound_memory(module: &mut Sections, features: WasmFeatures) -> Result<(), BinaryReaderError> {
    let Some(section) = module.get(MEMORIES) else { return Ok(()) };
    let mut reader = reader(section, features);
    if reader.read_var_u32()? != 1 {
        return Ok(());
    }
    let memory: MemoryType = reader.read()?;
    let most = memory.initial + 2 * u64::from(ROOM) + 1;
    let most = memory.maximum.map_or(most, |maximum| maximum.min(most)).max(memory.initial);
    // One memory, with a maximum.
    let mut bounded = vec![1, 1];
    for pages in [memory.initial, most] {
        push_number(&mut bounded, usize::try_from(pages).unwrap_or(usize::MAX));
    }
    *section = bounded;
    Ok(())
}

/// The function's body: grows by the room if that was not done, then by what is asked for, which is whole pages.
fn allocate(global: u32) -> Vec<u8> {
    const UNREACHABLE: u8 = 0x00;
    const IF: u8 = 0x04;
    const END: u8 = 0x0b;
    const LOCAL_GET: u8 = 0x20;
    const LOCAL_TEE: u8 = 0x22;
    const GLOBAL_GET: u8 = 0x23;
    const GLOBAL_SET: u8 = 0x24;
    const MEMORY_GROW: [u8; 2] = [0x40, 0];
    const CONST: u8 = 0x41;
    const MINUS_ONE: u8 = 0x7f;
    const EQUAL: u8 = 0x46;
    const IS_ZERO: u8 = 0x45;
    const ADD: u8 = 0x6a;
    const SHIFT_LEFT: u8 = 0x74;
    const SHIFT_RIGHT: u8 = 0x76;
    /// Two to the power of this is a page.
    const PAGE: u8 = 16;
    /// The fourth parameter: bytes asked for; then the pages they become, and where those begin.
    const SIZE: u8 = 3;

    let mut body = vec![0];
    let with_global = |body: &mut Vec<u8>, instruction| {
        body.push(instruction);
        push_number(body, global as usize);
    };
    with_global(&mut body, GLOBAL_GET);
    body.extend([IS_ZERO, IF, EMPTY, CONST]);
    push_signed(&mut body, ROOM);
    body.extend(MEMORY_GROW);
    body.extend([CONST, MINUS_ONE, EQUAL, IF, EMPTY, UNREACHABLE, END, CONST, 1]);
    with_global(&mut body, GLOBAL_SET);
    body.push(END);
    body.extend([LOCAL_GET, SIZE, CONST]);
    push_signed(&mut body, (1 << PAGE) - 1);
    body.extend([ADD, CONST, PAGE, SHIFT_RIGHT]);
    body.extend(MEMORY_GROW);
    body.extend([LOCAL_TEE, SIZE, CONST, MINUS_ONE, EQUAL, IF, EMPTY, UNREACHABLE, END]);
    body.extend([LOCAL_GET, SIZE, CONST, PAGE, SHIFT_LEFT, END]);

    let mut sized = Vec::new();
    push_number(&mut sized, body.len());
    sized.extend(body);
    sized
}

/// A constant that is not negative, as the format has it: a bit more than its own, so that it does not look negative.
fn push_signed(wasm: &mut Vec<u8>, number: u32) {
    let mut left = number;
    while left > 0x3f {
        wasm.push(0x80 | (left & 0x7f).to_le_bytes()[0]);
        left >>= 7;
    }
    wasm.push(left.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::FEATURES;

    fn with_room(text: &str, imported: (u32, u32)) -> Vec<u8> {
        let mut sections = Sections::read(&wat::parse_str(text).unwrap()).unwrap();
        leave_room(&mut sections, imported, FEATURES).unwrap();
        sections.write()
    }

    #[test]
    fn a_program_gets_the_function_and_a_bound() {
        let before = r#"(module
            (type (func))
            (import "a" "f" (func))
            (import "a" "g" (global i32))
            (func $start)
            (memory 3)
            (global i32 (i32.const 0))
            (export "_start" (func $start)))"#;
        let after = r#"(module
            (type (func))
            (type $allocate (func (param i32 i32 i32 i32) (result i32)))
            (import "a" "f" (func))
            (import "a" "g" (global i32))
            (func $start)
            (func $allocate (type $allocate)
                (if (i32.eqz (global.get $room)) (then
                    (if (i32.eq (memory.grow (i32.const 1024)) (i32.const -1)) (then unreachable))
                    (global.set $room (i32.const 1))))
                (if (i32.eq
                        (local.tee 3 (memory.grow (i32.shr_u (i32.add (local.get 3) (i32.const 65535)) (i32.const 16))))
                        (i32.const -1))
                    (then unreachable))
                (i32.shl (local.get 3) (i32.const 16)))
            (memory 3 2052)
            (global i32 (i32.const 0))
            (global $room (mut i32) (i32.const 0))
            (export "_start" (func $start))
            (export "cabi_realloc" (func $allocate)))"#;
        // Names are kept in a section of their own, which only the text with names has.
        let unnamed = |wasm: Vec<u8>| wasmparser_sections(&wasm);
        assert_eq!(unnamed(with_room(before, (1, 1))), unnamed(wat::parse_str(after).unwrap()));
    }

    /// All sections but custom ones.
    fn wasmparser_sections(wasm: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let parsed = wasmparser::Parser::new(0).parse_all(wasm).map(Result::unwrap);
        let sections = parsed.filter_map(|payload| payload.as_section());
        sections.filter(|(id, _)| *id != 0).map(|(id, range)| (id, wasm[range].to_vec())).collect()
    }

    #[test]
    fn a_maximum_that_is_lower_stays_and_a_module_without_globals_is_left_alone() {
        let lower = r#"(module (memory 3 7) (global i32 (i32.const 0)) (func (export "_start")))"#;
        let wasm = with_room(lower, (0, 0));
        let memory = wasmparser_sections(&wasm).into_iter().find(|(id, _)| *id == MEMORIES).unwrap();
        assert_eq!(memory.1, [1, 1, 3, 7]);
        let without = r#"(module (memory 3) (func (export "_start")))"#;
        assert_eq!(with_room(without, (0, 0)), wat::parse_str(without).unwrap());
    }
}

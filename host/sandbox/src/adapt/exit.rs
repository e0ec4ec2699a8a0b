//! Lets programs of preview 1 end with any code.
//!
//! The adapter passes on success or failure and no number. But `proc_exit` is the same function to a module as
//! `exit-with-code` is to a component, so that a module which imports that one in its place needs no adapter for it. A
//! code is a byte then, as everywhere else.

use wasmparser::{BinaryReader, BinaryReaderError, Parser, Payload, TypeRef, WasmFeatures};

/// What a module imports to be ended, and what it is given in its place.
const PREVIEW_1: (&str, &str) = ("wasi_snapshot_preview1", "proc_exit");
const PREVIEW_2: (&str, &str) = ("wasi:cli/exit@0.2.12", "exit-with-code");

/// The number of the section of imports.
const IMPORTS: u8 = 2;

/// The module with each import of `proc_exit` replaced.
pub(super) fn with_code(wasm: &[u8], features: WasmFeatures) -> Result<Vec<u8>, BinaryReaderError> {
    let mut replaced = Vec::with_capacity(wasm.len());
    // Up to where the module is copied, and where the section that is being read began.
    let (mut copied, mut begun) = (0, 0);
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        match &payload {
            Payload::Version { range, .. } => begun = range.end,
            Payload::ImportSection(section) => {
                let range = section.range();
                let imports = replace(wasm.get(range.clone()).unwrap_or_default(), range.start, features)?;
                replaced.extend_from_slice(&wasm[copied..begun]);
                replaced.push(IMPORTS);
                push_number(&mut replaced, imports.len());
                replaced.extend_from_slice(&imports);
                copied = range.end;
            }
            _ => {}
        }
        if let Some((_, range)) = payload.as_section() {
            begun = range.end;
        }
    }
    replaced.extend_from_slice(&wasm[copied..]);
    Ok(replaced)
}

/// The contents of a section of imports with each import of `proc_exit` replaced.
fn replace(section: &[u8], offset: usize, features: WasmFeatures) -> Result<Vec<u8>, BinaryReaderError> {
    let mut reader = BinaryReader::new_features(section, offset, features);
    let place = |reader: &BinaryReader<'_>| reader.original_position() - offset;
    let imports = reader.read_var_u32()?;
    let mut replaced = section[..place(&reader)].to_vec();
    for _ in 0..imports {
        let from = place(&reader);
        let names = (reader.read_string()?, reader.read_string()?);
        let ty = place(&reader);
        reader.read::<TypeRef>()?;
        if names == PREVIEW_1 {
            for name in [PREVIEW_2.0, PREVIEW_2.1] {
                push_number(&mut replaced, name.len());
                replaced.extend_from_slice(name.as_bytes());
            }
            replaced.extend_from_slice(&section[ty..place(&reader)]);
        } else {
            replaced.extend_from_slice(&section[from..place(&reader)]);
        }
    }
    Ok(replaced)
}

/// A number as the format has it: seven bits a byte, the lowest first.
fn push_number(wasm: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        wasm.push(0x80 | (number & 0x7f).to_le_bytes()[0]);
        number >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is seven bits long")]
    wasm.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::FEATURES;

    fn replaced(text: &str) -> Vec<u8> {
        let wasm = wat::parse_str(text).unwrap();
        let replaced = with_code(&wasm, FEATURES).unwrap();
        wasmparser::Validator::new_with_features(FEATURES).validate_all(&replaced).unwrap();
        replaced
    }

    #[test]
    fn a_program_imports_the_function_that_carries_a_code_and_nothing_else_changes() {
        let module = |(module, name): (&str, &str)| {
            format!(
                r#"(module
                    (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32)))
                    (import "{module}" "{name}" (func $exit (param i32)))
                    (import "env" "{}" (global i32))
                    (memory (export "memory") 1)
                    (func (export "_start") (call $exit (i32.const 7)))
                    (@custom "kept" "as it is"))"#,
                // Long enough for a length of two bytes.
                "x".repeat(200)
            )
        };
        assert_eq!(replaced(&module(PREVIEW_1)), wat::parse_str(module(PREVIEW_2)).unwrap());
    }

    #[test]
    fn a_module_without_imports_stays_as_it_is() {
        for text in ["(module)", r#"(module (func (export "_start")))"#] {
            assert_eq!(replaced(text), wat::parse_str(text).unwrap());
        }
    }

    #[test]
    fn numbers_of_every_length_read_back() {
        for number in [0_usize, 1, 127, 128, 300, 16_383, 16_384, 1 << 20] {
            let mut bytes = Vec::new();
            push_number(&mut bytes, number);
            assert_eq!(BinaryReader::new(&bytes, 0).read_var_u32().unwrap() as usize, number);
        }
    }
}

//! Lets programs of preview 1 end with any code.
//!
//! The adapter passes on success or failure and no number. But `proc_exit` is the same function to a module as
//! `exit-with-code` is to a component, so that a module which imports that one in its place needs no adapter for it. A
//! code is a byte then, as everywhere else.

use wasmparser::{BinaryReader, BinaryReaderError, TypeRef, WasmFeatures};

use super::sections::{IMPORTS, Sections, push_name, reader};

/// What a module imports to be ended, and what it is given in its place.
const PREVIEW_1: (&str, &str) = ("wasi_snapshot_preview1", "proc_exit");
const PREVIEW_2: (&str, &str) = ("wasi:cli/exit@0.2.12", "exit-with-code");

/// Replaces each import of `proc_exit`.
pub(super) fn keep_codes(module: &mut Sections, features: WasmFeatures) -> Result<(), BinaryReaderError> {
    if let Some(section) = module.get(IMPORTS) {
        *section = replaced(section, features)?;
    }
    Ok(())
}

fn replaced(section: &[u8], features: WasmFeatures) -> Result<Vec<u8>, BinaryReaderError> {
    let mut reader = reader(section, features);
    let place = BinaryReader::original_position;
    let imports = reader.read_var_u32()?;
    let mut replaced = section[..place(&reader)].to_vec();
    for _ in 0..imports {
        let from = place(&reader);
        let names = (reader.read_string()?, reader.read_string()?);
        let ty = place(&reader);
        reader.read::<TypeRef>()?;
        if names == PREVIEW_1 {
            push_name(&mut replaced, PREVIEW_2.0);
            push_name(&mut replaced, PREVIEW_2.1);
            replaced.extend_from_slice(&section[ty..place(&reader)]);
        } else {
            replaced.extend_from_slice(&section[from..place(&reader)]);
        }
    }
    Ok(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::FEATURES;

    #[test]
    fn a_program_imports_the_function_that_carries_a_code_and_nothing_else_changes() {
        let module = |(module, name): (&str, &str)| {
            let text = format!(
                r#"(module
                    (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32)))
                    (import "{module}" "{name}" (func $exit (param i32)))
                    (import "env" "{}" (global i32))
                    (memory (export "memory") 1)
                    (func (export "_start") (call $exit (i32.const 7)))
                    (@custom "kept" "as it is"))"#,
                // Long enough for a length of two bytes.
                "x".repeat(200)
            );
            wat::parse_str(text).unwrap()
        };
        let mut sections = Sections::read(&module(PREVIEW_1)).unwrap();
        keep_codes(&mut sections, FEATURES).unwrap();
        assert_eq!(sections.write(), module(PREVIEW_2));
    }
}

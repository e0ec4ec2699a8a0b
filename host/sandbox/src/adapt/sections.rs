//! The sections of a module, to be changed one by one and put together again. What is not changed stays as it is, to
//! the byte.

use wasmparser::{BinaryReader, BinaryReaderError, WasmFeatures};

/// Magic and version.
const HEADER: usize = 8;

/// The sections that are changed.
pub(super) const TYPES: u8 = 1;
pub(super) const IMPORTS: u8 = 2;
pub(super) const FUNCTIONS: u8 = 3;
pub(super) const MEMORIES: u8 = 5;
pub(super) const GLOBALS: u8 = 6;
pub(super) const EXPORTS: u8 = 7;
pub(super) const CODE: u8 = 10;

/// A module in parts.
#[derive(Debug, Clone)]
pub(super) struct Sections {
    header: Vec<u8>,
    sections: Vec<(u8, Vec<u8>)>,
}

impl Sections {
    pub(super) fn read(wasm: &[u8]) -> Result<Self, BinaryReaderError> {
        let mut reader = BinaryReader::new(wasm, 0);
        let header = reader.read_bytes(HEADER)?.to_vec();
        let mut sections = Vec::new();
        while !reader.eof() {
            let (id, length) = (reader.read_u8()?, reader.read_var_u32()?);
            sections.push((id, reader.read_bytes(length as usize)?.to_vec()));
        }
        Ok(Self { header, sections })
    }

    pub(super) fn write(self) -> Vec<u8> {
        let mut wasm = self.header;
        for (id, contents) in self.sections {
            wasm.push(id);
            push_number(&mut wasm, contents.len());
            wasm.extend(contents);
        }
        wasm
    }

    pub(super) fn get(&mut self, id: u8) -> Option<&mut Vec<u8>> {
        self.sections.iter_mut().find(|section| section.0 == id).map(|section| &mut section.1)
    }

    /// Appends to a section of things that it counts. Gives the number of those before; nothing if there is no such
    /// section.
    pub(super) fn append(&mut self, id: u8, thing: &[u8]) -> Result<Option<u32>, BinaryReaderError> {
        let Some(contents) = self.get(id) else { return Ok(None) };
        let mut reader = BinaryReader::new(contents, 0);
        let before = reader.read_var_u32()?;
        let mut appended = Vec::with_capacity(contents.len() + thing.len() + 1);
        push_number(&mut appended, before as usize + 1);
        appended.extend_from_slice(&contents[reader.original_position()..]);
        appended.extend_from_slice(thing);
        *contents = appended;
        Ok(Some(before))
    }
}

/// A reader of one section's contents.
pub(super) fn reader(contents: &[u8], features: WasmFeatures) -> BinaryReader<'_> {
    BinaryReader::new_features(contents, 0, features)
}

/// A number as the format has it: seven bits a byte, the lowest first.
pub(super) fn push_number(wasm: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        wasm.push(0x80 | (number & 0x7f).to_le_bytes()[0]);
        number >>= 7;
    }
    wasm.push(number.to_le_bytes()[0]);
}

/// A name, as the format has it.
pub(super) fn push_name(wasm: &mut Vec<u8>, name: &str) {
    push_number(wasm, name.len());
    wasm.extend_from_slice(name.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_nothing_is_changed_in_is_the_same() {
        let text =
            r#"(module (import "a" "b" (func)) (memory 1) (func (export "c")) (@custom "kept" "as it is"))"#;
        let wasm = wat::parse_str(text).unwrap();
        assert_eq!(Sections::read(&wasm).unwrap().write(), wasm);
        assert!(Sections::read(&wasm[..wasm.len() - 1]).is_err());
    }

    #[test]
    fn numbers_of_every_length_read_back() {
        for number in [0_u32, 1, 127, 128, 300, 16_383, 16_384, 1 << 20] {
            let mut bytes = Vec::new();
            push_number(&mut bytes, number as usize);
            assert_eq!(BinaryReader::new(&bytes, 0).read_var_u32().unwrap(), number);
        }
    }
}

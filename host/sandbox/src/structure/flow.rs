//! The branches of a function's body, whose number and shape a compiler's work depends on more than on their bytes.
//!
//! Its analysis of loops takes the third power of how deep they nest: a thousand, in 7 KB, take it a second, and
//! four thousand a minute and a half. It keeps the values of all locals for every place that can be branched to:
//! nine thousand of each, in 700 KB, are more than the memory of a machine.

use wasmparser::{BinaryReader, BinaryReaderError};

/// First bytes of the instructions that branch, or that can be branched to.
const BLOCK: u8 = 0x02;
const LOOP: u8 = 0x03;
const IF: u8 = 0x04;
const ELSE: u8 = 0x05;
const END: u8 = 0x0b;
const BR: u8 = 0x0c;
const BR_IF: u8 = 0x0d;
const BR_TABLE: u8 = 0x0e;

/// The branches of a body as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Whether each open block is a loop. The validator bounds how many there are.
    open: Vec<bool>,
    loops: u64,
    branches: u64,
}

impl Flow {
    /// Looks at the instruction that `reader` is about to read.
    pub(super) fn look(&mut self, reader: &BinaryReader<'_>) -> Result<(), BinaryReaderError> {
        let mut reader = reader.clone();
        match reader.read_u8()? {
            LOOP => self.open(true),
            BLOCK | IF => self.open(false),
            END => self.loops -= u64::from(self.open.pop() == Some(true)),
            ELSE | BR | BR_IF => self.branches += 1,
            BR_TABLE => self.branches += 1 + u64::from(reader.read_var_u32()?),
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, is_loop: bool) {
        self.open.push(is_loop);
        self.loops += u64::from(is_loop);
        self.branches += 1;
    }

    /// Blocks within each other at this place.
    pub(super) fn depth(&self) -> u64 {
        self.open.len() as u64
    }

    /// Loops within each other at this place.
    pub(super) fn loops(&self) -> u64 {
        self.loops
    }

    /// Branches and places to branch to so far.
    pub(super) fn branches(&self) -> u64 {
        self.branches
    }
}

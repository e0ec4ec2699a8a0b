//! D. After the compiler: components that are small and dear, or broken.
//!
//! Most are written byte by byte, for as text they would be too long to be read in good time.

use crate::Expected::Refused;
use crate::program::around_handler;
use crate::{Attack, Guest};

/// Sections of a module.
const TYPES: u8 = 1;
const FUNCTIONS: u8 = 3;
const CODE: u8 = 10;

/// The section of a component that holds a module.
const MODULE: u8 = 1;

/// Instructions.
const NOP: u8 = 0x01;
const BLOCK: [u8; 2] = [0x02, 0x40];
const LOOP: [u8; 2] = [0x03, 0x40];
const BRANCH_IF_ZERO: [u8; 4] = [0x41, 0, 0x0d, 0];
const END: u8 = 0x0b;

pub(super) fn attacks() -> Vec<Attack> {
    let refused = |id, name, bytes| Attack::new(id, name, Refused, Guest::Bytes(bytes));
    let neighbour = super::neighbour().build().unwrap_or_default();
    vec![
        Attack::new(
            "38-wide-signature",
            "calls a function of a thousand parameters two thousand times",
            Refused,
            around_handler(&wide_signature(1_000, 2_000)),
        ),
        refused("39-many-functions", "has half a million functions", functions(500_000, &body(0, &[]))),
        refused(
            "40-nested-loops",
            "has four thousand loops within each other: the time of compiling grows with the third power",
            functions(
                1,
                &body(
                    0,
                    &[LOOP.repeat(4_000), [&BRANCH_IF_ZERO[..], &[END]].concat().repeat(4_000)].concat(),
                ),
            ),
        ),
        refused(
            "41-long-function",
            "has a function of seven megabytes",
            functions(1, &body(0, &[NOP].repeat(7_000_000))),
        ),
        refused("42-many-locals", "has a function of 49,000 locals", functions(1, &body(49_000, &[]))),
        refused(
            "42b-locals-times-branches",
            "has nine thousand locals and as many branches: the compiler keeps them all for each",
            functions(1, &body(9_000, &[&BLOCK[..], &[END]].concat().repeat(9_000))),
        ),
        refused(
            "43-nested-blocks",
            "has a million blocks within each other",
            functions(1, &body(0, &[BLOCK.repeat(1_000_000), [END].repeat(1_000_000)].concat())),
        ),
        refused("44-truncated", "lacks its last quarter", neighbour[..neighbour.len() * 3 / 4].to_vec()),
        refused("44b-flipped", "has a bit flipped in its first module's head", flipped(&neighbour)),
        refused("44c-noise", "is noise behind the head of a component", noise(100_000)),
    ]
}

fn wide_signature(parameters: usize, calls: usize) -> String {
    let (types, call) =
        ("i32 ".repeat(parameters), format!("{} call $wide ", "i32.const 0 ".repeat(parameters)));
    format!("(core module (func $wide (param {types})) (func {}))", call.repeat(calls))
}

/// A component of one module that has so many functions of one body.
fn functions(count: usize, body: &[u8]) -> Vec<u8> {
    const ONE_TYPE_OF_NOTHING: [u8; 4] = [1, 0x60, 0, 0];
    let declared = [number(count), vec![0; count]].concat();
    let code = [number(count), body.repeat(count)].concat();
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(TYPES, &ONE_TYPE_OF_NOTHING),
        section(FUNCTIONS, &declared),
        section(CODE, &code),
    ];
    component_of(MODULE, &module.concat())
}

/// The body of a function with so many locals.
fn body(locals: usize, instructions: &[u8]) -> Vec<u8> {
    const I32: u8 = 0x7f;
    let locals = if locals == 0 { vec![0] } else { [vec![1], number(locals), vec![I32]].concat() };
    let bytes = [&locals, instructions, &[END]].concat();
    [number(bytes.len()), bytes].concat()
}

/// A component whose only section is this.
pub(super) fn component_of(id: u8, content: &[u8]) -> Vec<u8> {
    [b"\0asm\x0d\0\x01\0".to_vec(), section(id, content)].concat()
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [vec![id], number(content.len()), content.to_vec()].concat()
}

/// A number in the format's own encoding: seven bits a byte, the lowest first.
fn number(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

/// The same with one bit of its first module's version flipped.
fn flipped(component: &[u8]) -> Vec<u8> {
    const HEAD: &[u8] = b"\0asm\x01\0\0\0";
    let mut bytes = component.to_vec();
    if let Some(at) = component.windows(HEAD.len()).position(|window| window == HEAD) {
        bytes[at + HEAD.len() - 1] ^= 1;
    }
    bytes
}

/// Bytes that follow no rule, the same each time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    [b"\0asm\x0d\0\x01\0".to_vec(), (0..length).map(|_| next()).collect()].concat()
}

//! After the host's memory: guests that hold, or make the host hold, more than they may.

use saggar_model::Limits;
use saggar_model::Outcome::{OutOfMemory, OutputTooLarge, Succeeded, Trapped};

use super::{Program, RESULT, around_handler, does};
use crate::Expected::{Ends, Refused};
use crate::{Attack, Guest};

const RANDOM: &str = r#"
    (import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))"#;

const LOG: &str = r#"
    (import "wasi:logging/logging@0.1.0-draft" "log" (func $log (param i32 i32 i32 i32 i32)))"#;

const STDOUT: &str = r#"
    (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
    (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
        (func $write (param i32 i32 i32 i32)))"#;

#[expect(clippy::too_many_lines, reason = "a list")]
pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new(
            "grow-and-crash",
            "grows its memory to the limit and gives up when it gets no more",
            Ends(OutOfMemory),
            does("(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable"),
        ),
        Attack::new(
            "some-memories",
            "has six memories, each below the limit",
            Ends(OutOfMemory),
            many_memories(6, 240),
        ),
        Attack::new(
            "many-memories",
            "has 90 memories, each below the limit",
            Refused,
            many_memories(90, 240),
        ),
        Attack::new(
            "memory-from-the-start",
            "declares more memory than it may have",
            Ends(OutOfMemory),
            Program { pages: 2_000, ..Program::default() }.guest(),
        ),
        Attack::new(
            "huge-table",
            "grows a table to ten million entries",
            Ends(OutOfMemory),
            Program {
                body: "(if (i32.eq (table.grow $t (ref.null func) (i32.const 10000000)) (i32.const -1))
                    (then unreachable))",
                more: "(table $t 1 funcref)",
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "thousand-instances",
            "has a thousand instances",
            Refused,
            many_memories(1_000, 1),
        ),
        Attack::new(
            "output-of-the-limit",
            "returns as much as it may",
            Ends(Succeeded),
            returns(Limits::OUTPUT_DEFAULT),
        ),
        Attack::new(
            "output-too-large",
            "returns a byte more than it may",
            Ends(OutputTooLarge),
            returns(Limits::OUTPUT_DEFAULT + 1),
        ),
        Attack::new(
            "huge-string",
            "hands the host a string of 60 MiB",
            Ends(Trapped),
            Program {
                imports: LOG,
                pages: 961,
                body: "(call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 65536) (i32.const 62914560))",
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "string-beyond-memory",
            "hands the host a string of 4 GiB",
            Ends(Trapped),
            Program {
                imports: LOG,
                body: "(call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1))",
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "random-without-end",
            "asks for 2^63 random bytes",
            Ends(Trapped),
            Program {
                imports: RANDOM,
                body: "(call $random (i64.const 0x7fffffffffffffff) (i32.const 1024))",
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "empty-writes",
            "writes nothing to standard output, many times",
            Ends(Succeeded),
            Program {
                imports: STDOUT,
                body: "(local.set $handle (call $stdout))
                    (loop $l
                        (call $write (local.get $handle) (i32.const 0) (i32.const 0) (i32.const 1024))
                        (br_if $l (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 1)))
                            (i32.const 100000))))",
                ..Program::default()
            }
            .guest(),
        )
        .within(|limits| limits.fuel = 100_000_000_000),
        Attack::new(
            "stdout-flood",
            "writes 400 MiB to standard output",
            Ends(Succeeded),
            Program {
                imports: STDOUT,
                body: "(local.set $handle (call $stdout))
                    (loop $l
                        (call $write (local.get $handle) (i32.const 2048) (i32.const 4096) (i32.const 1024))
                        (br_if $l (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 1)))
                            (i32.const 100000))))",
                ..Program::default()
            }
            .guest(),
        )
        .within(|limits| limits.fuel = 100_000_000_000),
        Attack::new(
            "data-segments",
            "copies passive data into its memory again and again",
            Ends(saggar_model::Outcome::OutOfFuel),
            Program {
                body: "(loop $l (memory.init $d (i32.const 8192) (i32.const 0) (i32.const 1024)) (br $l))",
                more: &format!("(data $d \"{}\")", "x".repeat(1024)),
                ..Program::default()
            }
            .guest(),
        ),
    ]
}

/// A plugin whose output is so many zeros.
fn returns(bytes: u64) -> Guest {
    let (place, length) = (RESULT + 16, RESULT + 20);
    Program {
        pages: 32,
        body: &format!(
            "(i32.store (i32.const {place}) (i32.const 65536)) (i32.store (i32.const {length}) (i32.const {bytes}))"
        ),
        ..Program::default()
    }
    .guest()
}

/// A component of so many instances of a module whose memory has so many pages.
fn many_memories(instances: usize, pages: u32) -> Guest {
    let hoards = "(core instance (instantiate $hoard))".repeat(instances);
    around_handler(&format!("(core module $hoard (memory {pages})) {hoards}"))
}

//! B. After the host's memory and handles: guests that hold, or make the host hold, more than they may.

use saggar_model::Limits;
use saggar_model::Outcome::{OutOfFuel, OutOfMemory, OutputTooLarge, Succeeded, TimedOut, Trapped};

use super::patience;
use crate::Expected::{Ends, EndsEither, Refused};
use crate::imports::{EXIT, LOG, RANDOM, STREAMS, TIMER};
use crate::program::{
    Program, RESULT, SPACE, around_handler, calls, component_that_does, does, each, forever, times,
};
use crate::{Attack, Guest};

/// Grows the memory until there is no more.
const GROW: &str = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))";

/// Inner instances of an attack on the handles: with the others, as many as there may be.
const INNER: usize = 40;

#[expect(clippy::too_many_lines, reason = "a list")]
pub(super) fn attacks() -> Vec<Attack> {
    let logs = |pages, place: i64, length: i64| {
        let body = format!(
            "(call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const {place}) (i32.const {length}))"
        );
        Program { imports: LOG, pages, body: &body, ..Program::default() }.guest()
    };
    let resources = "(type $r (resource (rep i32))) (core func $new (canon resource.new $r))";
    vec![
        Attack::new(
            "15-grow-and-crash",
            "grows its memory to the limit and gives up when it gets no more",
            Ends(OutOfMemory),
            does(&format!("{GROW} unreachable")),
        ),
        Attack::new(
            "16-some-memories",
            "has six memories, each below the limit",
            Ends(OutOfMemory),
            many_memories(6, 240),
        ),
        Attack::new(
            "16b-many-memories",
            "has 90 memories, each below the limit",
            Refused,
            many_memories(90, 240),
        ),
        Attack::new(
            "17-memory-from-the-start",
            "declares more memory than it may have",
            Ends(OutOfMemory),
            Program { pages: 2_000, ..Program::default() }.guest(),
        ),
        Attack::new(
            "17b-memory-beyond-the-host",
            "declares more memory than any host has for one",
            Refused,
            many_memories(1, 65_537),
        ),
        Attack::new(
            "18-table-from-the-start",
            "declares a table of ten million entries",
            Refused,
            around_handler("(core module $m (table 10000000 funcref)) (core instance (instantiate $m))"),
        ),
        Attack::new(
            "18b-huge-table",
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
        Attack::new("19-thousand-instances", "has a thousand instances", Refused, many_memories(1_000, 1)),
        Attack::new(
            "19b-thousand-tables",
            "has a thousand tables",
            Refused,
            around_handler(&format!(
                "(core module $m {}) {}",
                "(table 1 funcref)".repeat(50),
                "(core instance (instantiate $m))".repeat(20)
            )),
        ),
        Attack::new(
            "19c-doubling-components",
            "has thirty components, each of two of the one before",
            Refused,
            around_handler(&doubling(30)),
        ),
        Attack::new(
            "20-endless-resources",
            "makes handles of its own without end",
            Ends(Trapped),
            component_that_does(
                resources,
                r#"(with "host" (instance (export "new" (func $new))))"#,
                r#"(import "host" "new" (func $new (param i32) (result i32)))"#,
                &forever("(drop (call $new (i32.const 1)))"),
            ),
        ),
        Attack::new(
            "20b-resources-in-many-places",
            "has inner instances make handles, each fewer than there may be",
            Ends(Trapped),
            many_makers(INNER, 1_000),
        ),
        Attack::new("21-huge-string", "hands the host a string of 60 MiB", Ends(Trapped), logs(961, 65_536, 60 << 20)),
        Attack::new(
            "21b-string-beyond-memory",
            "hands the host a string of 4 GiB",
            Ends(Trapped),
            logs(1, 0, -1),
        ),
        Attack::new(
            "21c-huge-list",
            "hands the host a list of fifteen million handles",
            Ends(Trapped),
            Program {
                imports: TIMER,
                pages: 961,
                body: &format!("(call $poll (i32.const 65536) (i32.const 15000000) (i32.const {SPACE}))"),
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "22-output-of-the-limit",
            "returns as much as it may",
            Ends(Succeeded),
            returns(Limits::OUTPUT_DEFAULT),
        ),
        Attack::new(
            "22b-output-too-large",
            "returns a byte more than it may",
            Ends(OutputTooLarge),
            returns(Limits::OUTPUT_DEFAULT + 1),
        ),
        Attack::new(
            "24-empty-writes",
            "writes nothing to its streams, ten million times",
            Ends(Succeeded),
            calls(
                STREAMS,
                &format!(
                    "(local.set $handle (call $stdout)) (local.set $n (call $stderr)) {}",
                    times(
                        5_000_000,
                        &format!(
                            "(call $write (local.get $handle) (i32.const 0) (i32.const 0) (i32.const {SPACE}))
                             (call $write (local.get $n) (i32.const 0) (i32.const 0) (i32.const {SPACE}))"
                        )
                    )
                ),
            ),
        )
        .within(patience),
        Attack::new(
            "24b-empty-writes-with-flush",
            "writes nothing and waits until it is written, a million times",
            Ends(Succeeded),
            calls(
                STREAMS,
                &format!(
                    "(local.set $handle (call $stdout)) {}",
                    times(
                        1_000_000,
                        &format!("(call $write-now (local.get $handle) (i32.const 0) (i32.const 0) (i32.const {SPACE}))")
                    )
                ),
            ),
        )
        .within(patience),
        Attack::new(
            "25-random-without-end",
            "asks for 2^63 random bytes",
            Ends(Trapped),
            calls(RANDOM, &format!("(call $random (i64.const 0x7fffffffffffffff) (i32.const {SPACE}))")),
        ),
        Attack::new(
            "25b-zeroes-without-end",
            "has the host write 2^63 zeros",
            Ends(Trapped),
            calls(
                STREAMS,
                &format!("(call $zeroes (call $stdout) (i64.const 0x7fffffffffffffff) (i32.const {SPACE}))"),
            ),
        ),
        Attack::new(
            "27-data-segments",
            "copies passive data into its memory again and again",
            Ends(OutOfFuel),
            Program {
                body: &forever("(memory.init $d (i32.const 8192) (i32.const 0) (i32.const 1024))"),
                more: &format!("(data $d \"{}\")", "x".repeat(1024)),
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "27b-many-data-segments",
            "has 32,000 segments of data, half of them written when it starts",
            EndsEither(OutOfFuel, TimedOut),
            Program {
                body: &forever("(memory.init 0 (i32.const 8192) (i32.const 0) (i32.const 1))"),
                more: &r#"(data "x") (data (i32.const 40000) "x")"#.repeat(16_000),
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "28-exit-without-memory",
            "grows its memory to the limit and ends itself when it gets no more",
            Ends(OutOfMemory),
            calls(EXIT, &format!("{GROW} (call $exit (i32.const 1))")),
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

/// Components of which each instantiates the one before it twice.
fn doubling(levels: usize) -> String {
    let level = |n: usize| {
        let before = n - 1;
        format!(
            "(component $c{n} (alias outer 1 $c{before} (component $b)) (instance (instantiate $b)) (instance (instantiate $b)))"
        )
    };
    format!("(component $c0) {}", (1..=levels).map(level).collect::<String>())
}

/// A component whose handler has so many inner components make so many handles each.
fn many_makers(makers: usize, handles: u32) -> Guest {
    let inner = format!(
        r#"(component $maker
            (type $r (resource (rep i32)))
            (core func $new (canon resource.new $r))
            (core module $m
                (import "host" "new" (func $new (param i32) (result i32)))
                (func (export "make") (local $i i32)
                    {}))
            (core instance $i (instantiate $m (with "host" (instance (export "new" (func $new))))))
            (func (export "make") (canon lift (core func $i "make"))))"#,
        times(handles, "(drop (call $new (i32.const 1)))"),
    );
    let instances = each(makers, |n| {
        format!(
            "(instance $i{n} (instantiate $maker)) (core func $make{n} (canon lower (func $i{n} \"make\")))"
        )
    });
    let given = each(makers, |n| format!("(export \"make{n}\" (func $make{n}))"));
    let imports = each(makers, |n| format!("(import \"inner\" \"make{n}\" (func $make{n}))"));
    let body = each(makers, |n| format!("(call $make{n})"));
    component_that_does(
        &format!("{inner} {instances}"),
        &format!("(with \"inner\" (instance {given}))"),
        &imports,
        &body,
    )
}

//! C. After the host's stack and the border between guest and host: recursion, and values that are none.

use saggar_model::Outcome::{Invalid, OutOfFuel, Succeeded, Trapped};

use crate::Expected::{Ends, EndsEither, Refused};
use crate::imports::{EXIT, EXIT_CODE, LOG, STREAMS, TASK_ID, TCP, TIMER};
use crate::program::{Program, RESULT, SPACE, around_handler, calls, component_that_does, does, times};
use crate::{Attack, Guest};

#[expect(clippy::too_many_lines, reason = "a list")]
pub(super) fn attacks() -> Vec<Attack> {
    // The host writes a text into the guest, and asks it for memory.
    let asks = format!("(call $id (i32.const {SPACE}))");
    let allocates = |id, name, expected, allocate: &str| {
        let program = Program { imports: TASK_ID, body: &asks, allocate, ..Program::default() };
        Attack::new(id, name, expected, program.guest())
    };
    let log = |level: u32, length: u32| {
        format!(
            "(call $log (i32.const {level}) (i32.const 0) (i32.const 0) (i32.const {SPACE}) (i32.const {length}))"
        )
    };
    let store = |place: u32, value: &str| format!("(i32.store (i32.const {place}) (i32.const {value}))");
    vec![
        Attack::new(
            "29-recursion",
            "calls itself without end",
            Ends(Trapped),
            Program {
                body: "(drop (call $deeper (i32.const 1)))",
                more: "(func $deeper (param i32) (result i32)
                    (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (local.get 0)))",
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "29b-recursion-at-start",
            "calls itself without end before its handler is called",
            Ends(Trapped),
            Program { more: "(func $s (call $s) (call $s)) (start $s)", ..Program::default() }.guest(),
        ),
        allocates(
            "30-call-while-allocating",
            "calls the host while the host asks for memory",
            Ends(Trapped),
            &format!("(call $id (i32.const {})) (i32.const 4096)", 2 * SPACE),
        ),
        Attack::new("30b-calls-itself", "calls its own export through the host", Ends(Trapped), calls_itself()),
        Attack::new(
            "31-deep-declarations",
            "declares a hundred thousand types within each other",
            Refused,
            Guest::Bytes(deep_declarations(100_000)),
        ),
        Attack::new(
            "31b-deep-values",
            "has a type of values that are two hundred levels deep",
            Refused,
            around_handler(
                &(1..200).fold("(type $t0 (option u8))".to_owned(), |text, n| {
                    text + &format!("(type $t{n} (option $t{}))", n - 1)
                }),
            ),
        ),
        Attack::new(
            "31c-wide-values",
            "has a type that doubles with each of thirty levels",
            Refused,
            around_handler(
                &(1..30).fold("(type $t0 (tuple u8 u8))".to_owned(), |text, n| {
                    text + &format!("(type $t{n} (tuple $t{b} $t{b}))", b = n - 1)
                }),
            ),
        ),
        allocates(
            "32-allocate-outside",
            "lets the host write behind the end of its memory",
            Ends(Trapped),
            "(i32.const 0x7ffffff0)",
        ),
        allocates(
            "32b-allocate-at-the-end",
            "lets the host write across the end of its memory",
            Ends(Trapped),
            "(i32.const 65535)",
        ),
        allocates(
            "32c-allocate-on-top",
            "lets the host write over what it is writing: the guest harms itself only",
            EndsEither(Succeeded, Trapped),
            &format!("(i32.const {SPACE})"),
        ),
        Attack::new(
            "32d-allocate-askew",
            "lets the host write numbers where none may lie",
            Ends(Trapped),
            Program {
                imports: TIMER,
                allocate: "(i32.const 4097)",
                body: &format!(
                    "{} (call $poll (i32.const 2048) (i32.const 1) (i32.const {SPACE}))",
                    "(i32.store (i32.const 2048) (call $timer (i64.const 0)))"
                ),
                ..Program::default()
            }
            .guest(),
        ),
        allocates("32e-allocate-and-trap", "traps when the host asks for memory", Ends(Trapped), "unreachable"),
        allocates(
            "32f-allocate-for-ever",
            "loops when the host asks for memory",
            Ends(OutOfFuel),
            "(loop $l (br $l)) unreachable",
        ),
        Attack::new("33-unreachable", "traps", Ends(Trapped), does("unreachable")),
        Attack::new(
            "33b-exit",
            "ends itself with an exit code",
            Ends(Trapped),
            calls(EXIT, "(call $exit (i32.const 1))"),
        ),
        Attack::new(
            "33c-exit-well",
            "ends itself, claims success and returns nothing",
            Ends(Trapped),
            calls(EXIT, "(call $exit (i32.const 0))"),
        ),
        Attack::new(
            "33d-exit-with-code",
            "ends itself with the code of a refusal, which counts for commands only",
            Ends(Trapped),
            calls(EXIT_CODE, "(call $exit (i32.const 65))"),
        ),
        Attack::new(
            "33e-last-words",
            "writes a MiB of control characters before it traps",
            Ends(Trapped),
            calls(
                STREAMS,
                &format!(
                    "(memory.fill (i32.const 8192) (i32.const 0x1b) (i32.const 4096))
                     (local.set $handle (call $stderr)) {} unreachable",
                    times(
                        256,
                        &format!(
                            "(call $write (local.get $handle) (i32.const 8192) (i32.const 4096) (i32.const {SPACE}))"
                        )
                    )
                ),
            ),
        ),
        Attack::new(
            "34-text-that-is-none",
            "hands the host bytes that are no UTF-8",
            Ends(Trapped),
            calls(LOG, &(store(SPACE, "0xffc0edff") + &log(2, 4))),
        ),
        Attack::new(
            "34b-half-a-character",
            "hands the host one half of a surrogate pair",
            Ends(Trapped),
            calls(LOG, &(store(SPACE, "0x0080a0ed") + &log(2, 3))),
        ),
        Attack::new(
            "34c-level-that-is-none",
            "hands the host an enum that does not exist",
            Ends(Trapped),
            calls(LOG, &log(99, 0)),
        ),
        Attack::new(
            "34d-result-that-is-none",
            "returns neither an output nor an error",
            Ends(Trapped),
            does(&store(RESULT, "7")),
        ),
        Attack::new(
            "34e-error-that-is-none",
            "returns an error of a kind that does not exist",
            Ends(Trapped),
            does(&(store(RESULT, "1") + &store(RESULT + 8, "9"))),
        ),
        Attack::new(
            "34f-output-outside",
            "returns an output that lies outside its memory",
            Ends(Trapped),
            does(&(store(RESULT + 16, "0x7fff0000") + &store(RESULT + 20, "16"))),
        ),
        Attack::new(
            "34g-family-that-is-none",
            "opens a socket of an address family that does not exist",
            Ends(Trapped),
            calls(TCP, &format!("(call $tcp (i32.const 77) (i32.const {SPACE}))")),
        ),
        Attack::new(
            "37-another-world",
            "exports another world than a plugin's",
            Refused,
            Guest::Component(
                r#"(component (component $c) (instance $i (instantiate $c)) (export "wasi:cli/run@0.3.0" (instance $i)))"#
                    .to_owned(),
            ),
        ),
        Attack::new(
            "37b-nothing-within",
            "exports the interface of a world with nothing in it",
            Refused,
            Guest::Component(
                r#"(component (component $c) (instance $i (instantiate $c)) (export "wasi:cli/run@0.2.0" (instance $i)))"#
                    .to_owned(),
            ),
        ),
        Attack::new(
            "37c-another-shape",
            "exports the interface of a world with another function in it",
            Ends(Invalid),
            Guest::Component(
                r#"(component
                    (core module $main (func (export "run") (param i32)))
                    (core instance $main (instantiate $main))
                    (func $run (param "x" u32) (canon lift (core func $main "run")))
                    (instance $exported (export "run" (func $run)))
                    (export "wasi:cli/run@0.2.0" (instance $exported)))"#
                    .to_owned(),
            ),
        ),
        Attack::new(
            "37d-no-component",
            "is a module that asks for nothing but to be started",
            Refused,
            Guest::Component(r#"(module (memory (export "memory") 1) (func (export "_start")))"#.to_owned()),
        ),
    ]
}

/// A component whose handler calls a function that the component itself exports.
fn calls_itself() -> Guest {
    component_that_does(
        r#"(core module $inner (func (export "f")))
        (core instance $inner (instantiate $inner))
        (func $own (canon lift (core func $inner "f")))
        (core func $own (canon lower (func $own)))"#,
        r#"(with "own" (instance (export "f" (func $own))))"#,
        r#"(import "own" "f" (func $f))"#,
        "(call $f)",
    )
}

/// A component that holds nothing but types of instances within each other.
fn deep_declarations(levels: usize) -> Vec<u8> {
    const TYPES: u8 = 7;
    const ONE_INSTANCE_TYPE: [u8; 3] = [0x42, 1, 1];
    let mut content = vec![1];
    content.extend(ONE_INSTANCE_TYPE.repeat(levels));
    super::loading::component_of(TYPES, &content)
}

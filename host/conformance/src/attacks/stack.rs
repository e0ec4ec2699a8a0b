//! After the host's stack and the borders between guest and host: recursion, and values that are none.

use saggar_model::Outcome::{Succeeded, Trapped};

use super::{Program, RESULT, does};
use crate::Attack;
use crate::Expected::Ends;

const LOG: &str = r#"
    (import "wasi:logging/logging@0.1.0-draft" "log" (func $log (param i32 i32 i32 i32 i32)))"#;

const HEADER: &str = r#"
    (import "saggar:task/context@0.1.0" "task-id" (func $id (param i32)))"#;

const EXIT: &str = r#"
    (import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))"#;

#[expect(clippy::too_many_lines, reason = "a list")]
pub(super) fn attacks() -> Vec<Attack> {
    let realloc = |place: &str| {
        format!(
            r#"(module {HEADER}
                (memory (export "memory") 1)
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {place})
                (func (export "saggar:task/handler@0.1.0#handle") (param i32 i32) (result i32)
                    (call $id (i32.const 1024))
                    (i32.const {RESULT})))"#
        )
    };
    let hostile =
        |id, name, place: &str| Attack::new(id, name, Ends(Trapped), crate::Guest::Module(realloc(place)));
    vec![
        Attack::new(
            "recursion",
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
            "recursion-at-start",
            "calls itself without end before its handler is called",
            Ends(Trapped),
            Program { more: "(func $s (call $s) (call $s)) (start $s)", ..Program::default() }.guest(),
        ),
        Attack::new("unreachable", "traps", Ends(Trapped), does("unreachable")),
        Attack::new(
            "exit",
            "ends itself with an exit code",
            Ends(Trapped),
            Program { imports: EXIT, body: "(call $exit (i32.const 1))", ..Program::default() }.guest(),
        ),
        Attack::new(
            "exit-well",
            "ends itself, claims success and returns nothing",
            Ends(Trapped),
            Program { imports: EXIT, body: "(call $exit (i32.const 0))", ..Program::default() }.guest(),
        ),
        hostile(
            "allocate-outside",
            "lets the host write behind the end of its memory",
            "(i32.const 0x7ffffff0)",
        ),
        hostile(
            "allocate-at-the-end",
            "lets the host write across the end of its memory",
            "(i32.const 65535)",
        ),
        hostile("allocate-and-trap", "traps when the host asks for memory", "unreachable"),
        hostile(
            "allocate-for-ever-deep",
            "calls the host while the host asks for memory",
            "(call $id (i32.const 2048)) (i32.const 4096)",
        ),
        Attack::new(
            "text-that-is-none",
            "hands the host bytes that are no UTF-8",
            Ends(Trapped),
            Program {
                imports: LOG,
                body: "(i32.store (i32.const 512) (i32.const 0xffc0edff))
                    (call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 512) (i32.const 4))",
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "level-that-is-none",
            "hands the host an enum that does not exist",
            Ends(Trapped),
            Program {
                imports: LOG,
                body: "(call $log (i32.const 99) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))",
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "result-that-is-none",
            "returns neither an output nor an error",
            Ends(Trapped),
            does(&format!("(i32.store8 (i32.const {RESULT}) (i32.const 7))")),
        ),
        Attack::new(
            "output-outside",
            "returns an output that lies outside its memory",
            Ends(Trapped),
            does(&format!(
                "(i32.store (i32.const {}) (i32.const 0x7fff0000)) (i32.store (i32.const {}) (i32.const 16))",
                RESULT + 16,
                RESULT + 20
            )),
        ),
        Attack::new("nothing-wrong", "does nothing at all", Ends(Succeeded), does("")),
    ]
}

//! After the host's time: guests that do not end by themselves.

use std::time::Duration;

use saggar_model::Outcome::{OutOfFuel, Succeeded, TimedOut, Trapped};

use super::{Program, does};
use crate::Attack;
use crate::Expected::{Ends, EndsEither};

const CLOCK: &str = r#"
    (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64) (result i32)))
    (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop (param i32)))"#;

const LOG: &str = r#"
    (import "wasi:logging/logging@0.1.0-draft" "log" (func $log (param i32 i32 i32 i32 i32)))"#;

const PROGRESS: &str = r#"
    (import "saggar:task/progress@0.1.0" "report" (func $report (param f64 i32 i32)))"#;

const FOR_EVER: u64 = 1_000_000_000_000_000;

#[expect(clippy::too_many_lines, reason = "a list")]
pub(super) fn attacks() -> Vec<Attack> {
    let quickly = |attack: Attack| attack.within(|limits| limits.timeout = Duration::from_millis(500));
    vec![
        Attack::new("endless-loop", "loops without end", Ends(OutOfFuel), does("(loop $l (br $l))")),
        Attack::new(
            "free-instructions",
            "loops over instructions that cost nothing",
            Ends(OutOfFuel),
            does(&format!("(loop $l {} (br $l))", "(block (nop) (drop (i32.const 0)))".repeat(1_000))),
        ),
        Attack::new(
            "fill-memory",
            "fills 60 MiB in a loop",
            Ends(OutOfFuel),
            Program {
                pages: 961,
                body: "(loop $l (memory.fill (i32.const 65536) (i32.const 7) (i32.const 62914560)) (br $l))",
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "copy-memory",
            "copies 30 MiB in a loop",
            Ends(OutOfFuel),
            Program {
                pages: 962,
                body: "(loop $l (memory.copy (i32.const 65536) (i32.const 31523072) (i32.const 31457280)) (br $l))",
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "fill-table",
            "fills a table in a loop",
            Ends(OutOfFuel),
            Program {
                body: "(loop $l (table.fill $t (i32.const 0) (ref.null func) (i32.const 90000)) (br $l))",
                more: "(table $t 90000 funcref)",
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "grow-by-nothing",
            "grows its memory by nothing, ten million times",
            Ends(OutOfFuel),
            does("(loop $l (drop (memory.grow (i32.const 0)))
                (br_if $l (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000000))))"),
        ),
        Attack::new(
            "grow-too-far",
            "grows its memory beyond every limit in a loop",
            Ends(OutOfFuel),
            does("(loop $l (drop (memory.grow (i32.const 60000))) (br $l))"),
        ),
        Attack::new(
            "loop-at-start",
            "loops before its handler is called",
            Ends(OutOfFuel),
            Program { more: "(func $s (loop $l (br $l))) (start $s)", ..Program::default() }.guest(),
        ),
        quickly(Attack::new(
            "sleep",
            "sleeps for ever",
            Ends(TimedOut),
            Program {
                imports: CLOCK,
                body: &format!("(call $block (call $timer (i64.const {FOR_EVER})))"),
                ..Program::default()
            }
            .guest(),
        )),
        Attack::new(
            "timers-of-zero",
            "waits for timers of no time in a loop",
            EndsEither(OutOfFuel, TimedOut),
            Program {
                imports: CLOCK,
                body: "(loop $l (call $block (local.tee $handle (call $timer (i64.const 0))))
                    (call $drop (local.get $handle)) (br $l))",
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "million-timers",
            "makes a million timers",
            Ends(Trapped),
            Program {
                imports: CLOCK,
                body: &format!("(loop $l (drop (call $timer (i64.const {FOR_EVER}))) (br $l))"),
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "endless-log",
            "logs single bytes without end",
            Ends(OutOfFuel),
            Program {
                imports: LOG,
                body: "(loop $l (call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 32) (i32.const 1))
                    (br $l))",
                ..Program::default()
            }
            .guest(),
        ),
        quickly(Attack::new(
            "progress-for-ever",
            "reports progress to be kept alive",
            EndsEither(TimedOut, OutOfFuel),
            Program {
                imports: PROGRESS,
                body: "(loop $l (call $report (f64.const 0.5) (i32.const 0) (i32.const 0)) (br $l))",
                ..Program::default()
            }
            .guest(),
        )),
        Attack::new(
            "hostile-numbers",
            "gives the host numbers that are none",
            Ends(Succeeded),
            Program {
                imports: PROGRESS,
                body: "(call $report (f64.const nan) (i32.const 0) (i32.const 0))
                    (call $report (f64.const inf) (i32.const 0) (i32.const 0))
                    (call $report (f64.const -inf) (i32.const 0) (i32.const 0))",
                ..Program::default()
            }
            .guest(),
        ),
    ]
}

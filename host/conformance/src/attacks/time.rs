//! A. After the host's time: guests that do not end by themselves.

use std::time::Duration;

use saggar_model::Outcome::{OutOfFuel, Succeeded, TimedOut, Trapped};

use super::{PLENTY, patience};
use crate::Attack;
use crate::Expected::{Ends, EndsEither};
use crate::imports::{LOG, NOW, PROGRESS, TIMER};
use crate::program::{Program, SPACE, calls, does, forever, times};

/// Nanoseconds, some days.
const FOR_EVER: u64 = 1_000_000_000_000_000;

#[expect(clippy::too_many_lines, reason = "a list")]
pub(super) fn attacks() -> Vec<Attack> {
    let quickly = |attack: Attack| attack.within(|limits| limits.timeout = Duration::from_millis(500));
    let one_byte =
        format!("(call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const {SPACE}) (i32.const 1))");
    vec![
        Attack::new("1-endless-loop", "loops without end", Ends(OutOfFuel), does(&forever(""))),
        Attack::new(
            "2-free-instructions",
            "loops over instructions that cost nothing",
            Ends(OutOfFuel),
            does(&forever(&"(block (nop) (drop (i32.const 0)))".repeat(1_000))),
        ),
        Attack::new(
            "3-fill-memory",
            "fills 60 MiB in a loop",
            Ends(OutOfFuel),
            Program {
                pages: 961,
                body: &forever("(memory.fill (i32.const 65536) (i32.const 7) (i32.const 62914560))"),
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "3b-copy-memory",
            "copies 30 MiB in a loop",
            Ends(OutOfFuel),
            Program {
                pages: 962,
                body: &forever("(memory.copy (i32.const 65536) (i32.const 31523072) (i32.const 31457280))"),
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "3c-fill-table",
            "fills a table in a loop",
            Ends(OutOfFuel),
            Program {
                body: &forever("(table.fill $t (i32.const 0) (ref.null func) (i32.const 90000))"),
                more: "(table $t 90000 funcref)",
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "4-grow-by-nothing",
            "grows its memory by nothing, without end",
            Ends(OutOfFuel),
            does(&forever("(drop (memory.grow (i32.const 0)))")),
        ),
        Attack::new(
            "4b-grow-too-far",
            "grows its memory beyond every limit in a loop",
            Ends(OutOfFuel),
            does(&forever("(drop (memory.grow (i32.const 60000)))")),
        ),
        Attack::new(
            "5-loop-at-start",
            "loops before its handler is called",
            Ends(OutOfFuel),
            Program { more: "(func $s (loop $l (br $l))) (start $s)", ..Program::default() }.guest(),
        ),
        Attack::new(
            "6-call-at-start",
            "calls the host without end before its handler is called",
            Ends(OutOfFuel),
            Program {
                imports: NOW,
                more: "(func $s (loop $l (drop (call $now)) (br $l))) (start $s)",
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "6c-wrong-handle-at-start",
            "hands the host a handle that is none before its handler is called",
            Ends(Trapped),
            Program {
                imports: TIMER,
                more: "(func $s (call $block (i32.const 0))) (start $s)",
                ..Program::default()
            }
            .guest(),
        ),
        quickly(Attack::new(
            "6b-sleep-at-start",
            "sleeps for ever before its handler is called",
            Ends(TimedOut),
            Program {
                imports: TIMER,
                more: &format!("(func $s (call $block (call $timer (i64.const {FOR_EVER})))) (start $s)"),
                ..Program::default()
            }
            .guest(),
        )),
        quickly(Attack::new(
            "7-sleep",
            "sleeps for ever",
            Ends(TimedOut),
            calls(TIMER, &format!("(call $block (call $timer (i64.const {FOR_EVER})))")),
        )),
        quickly(Attack::new(
            "7b-sleep-until-the-end-of-time",
            "waits for the last moment that a clock can show",
            Ends(TimedOut),
            calls(TIMER, "(call $block (call $alarm (i64.const -1)))"),
        )),
        Attack::new(
            "8-timers-of-zero",
            "waits for timers of no time in a loop",
            EndsEither(OutOfFuel, TimedOut),
            calls(
                TIMER,
                &forever(
                    "(call $block (local.tee $handle (call $timer (i64.const 0)))) (call $drop (local.get $handle))",
                ),
            ),
        ),
        Attack::new(
            "9-million-timers",
            "makes a million timers",
            Ends(Trapped),
            calls(TIMER, &forever(&format!("(drop (call $timer (i64.const {FOR_EVER})))"))),
        ),
        Attack::new(
            "11-spent-in-a-call",
            "has fuel for a few calls of the host, and calls on",
            Ends(OutOfFuel),
            calls(LOG, &forever(&one_byte)),
        )
        .within(|limits| limits.fuel = 1_001),
        quickly(Attack::new(
            "14-progress-for-ever",
            "reports progress to be kept alive",
            Ends(TimedOut),
            calls(PROGRESS, &forever("(call $report (f64.const 0.5) (i32.const 0) (i32.const 0))")),
        ))
        .within(|limits| limits.fuel = PLENTY),
        Attack::new(
            "35-hostile-numbers",
            "gives the host numbers that are none",
            Ends(Succeeded),
            calls(
                PROGRESS,
                &["nan", "inf", "-inf", "-1", "1e308"]
                    .map(|number| format!("(call $report (f64.const {number}) (i32.const 0) (i32.const 0))"))
                    .concat(),
            ),
        ),
        Attack::new(
            "35b-hostile-times",
            "makes timers of all numbers that are hard to add to the time, and waits for none",
            Ends(Succeeded),
            calls(
                TIMER,
                &["0", "1", "-1", "-9223372036854775808", "9223372036854775807"]
                    .map(|number| {
                        format!(
                            "(call $drop (call $timer (i64.const {number}))) (call $drop (call $alarm (i64.const {number})))"
                        )
                    })
                    .concat(),
            ),
        ),
        Attack::new(
            "23-endless-log",
            "logs single bytes without end",
            Ends(OutOfFuel),
            calls(LOG, &forever(&one_byte)),
        ),
        Attack::new(
            "23b-ten-million-logs",
            "logs ten million single bytes",
            Ends(Succeeded),
            calls(LOG, &times(10_000_000, &one_byte)),
        )
        .within(patience),
    ]
}

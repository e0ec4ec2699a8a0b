//! A. After the host's time through the functions it has for guests: calls that cost a guest little and the host much.

use saggar_model::Outcome::{OutOfFuel, Trapped};

use crate::Expected::Ends;
use crate::imports::{HEADER, LOG, NOW, RANDOM, TIMER};
use crate::program::{Program, forever};
use crate::{Attack, Guest};

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new(
            "10-endless-calls",
            "calls a cheap function of the host's without end",
            Ends(OutOfFuel),
            Program { imports: NOW, body: "(loop $l (drop (call $now)) (br $l))", ..Program::default() }
                .guest(),
        ),
        Attack::new(
            "10b-costly-calls",
            "asks for 64 KiB of random bytes without end",
            Ends(OutOfFuel),
            Program {
                imports: RANDOM,
                // The same memory each time: what is asked for is the host's time.
                body: "(loop $l (global.set $heap (i32.const 4096))
                    (call $random (i64.const 65536) (i32.const 1024)) (br $l))",
                pages: 4,
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "10c-calls-in-a-row",
            "asks for random bytes again and again, in code without a loop",
            Ends(OutOfFuel),
            Program {
                imports: RANDOM,
                body:
                    &"(global.set $heap (i32.const 4096)) (call $random (i64.const 65536) (i32.const 1024))"
                        .repeat(20_000),
                pages: 4,
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "10d-poll-the-same",
            "waits for one timer a thousand times at once, without end",
            Ends(OutOfFuel),
            polls(1_000),
        ),
        Attack::new(
            "10e-poll-too-many",
            "waits for one timer a hundred thousand times at once",
            Ends(Trapped),
            polls(100_000),
        ),
        Attack::new(
            "10f-poll-nothing",
            "waits for nothing at all",
            Ends(Trapped),
            Program {
                imports: TIMER,
                body: "(call $poll (i32.const 0) (i32.const 0) (i32.const 1024))",
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "10g-long-names",
            "asks for a header whose name is a megabyte long, without end",
            Ends(OutOfFuel),
            Program {
                imports: HEADER,
                pages: 17,
                body: "(loop $l (call $header (i32.const 0) (i32.const 1048576) (i32.const 1024)) (br $l))",
                ..Program::default()
            }
            .guest(),
        ),
        Attack::new(
            "10h-long-messages",
            "logs messages of 4 MiB without end",
            Ends(OutOfFuel),
            Program {
                imports: LOG,
                pages: 80,
                body: &forever(
                    "(call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 65536) (i32.const 4194304))",
                ),
                ..Program::default()
            }
            .guest(),
        ),
    ]
}

/// A plugin that waits for so many pollables at once, which are one and the same, without end.
fn polls(pollables: u32) -> Guest {
    Program {
        imports: TIMER,
        pages: 32,
        body: &format!(
            "(local.set $handle (call $timer (i64.const 0)))
            (loop $fill
                (i32.store (i32.add (i32.const 65536) (i32.mul (local.get $i) (i32.const 4))) (local.get $handle))
                (br_if $fill (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {pollables}))))
            (loop $l (global.set $heap (i32.const 1048576))
                (call $poll (i32.const 65536) (i32.const {pollables}) (i32.const 1024)) (br $l))"
        ),
        ..Program::default()
    }
    .guest()
}

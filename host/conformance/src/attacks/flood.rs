//! F. After those who watch: more text and more reports than anybody can read.

use saggar_model::Outcome::Succeeded;

use super::patience;
use crate::Attack;
use crate::Expected::Ends;
use crate::imports::{LOG, PROGRESS, STREAMS};
use crate::program::{Program, SPACE, calls, times};

pub(super) fn attacks() -> Vec<Attack> {
    let patiently = |attack: Attack| attack.within(patience);
    vec![
        patiently(Attack::new(
            "65-stdout-flood",
            "writes a GiB to standard output, in lines",
            Ends(Succeeded),
            writes("a line of clay, and another\\n", 1 << 30),
        )),
        patiently(Attack::new(
            "65b-log-flood",
            "logs a GiB in messages of a MiB",
            Ends(Succeeded),
            Program {
                imports: LOG,
                pages: 32,
                body: &times(
                    1_024,
                    "(call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 65536) (i32.const 1048576))",
                ),
                ..Program::default()
            }
            .guest(),
        )),
        patiently(Attack::new(
            "66-endless-line",
            "writes a line of 100 MiB that would command a terminal",
            Ends(Succeeded),
            writes("\\1b[2J\\e2\\80\\aegnp\\00\\0d ", 100 << 20),
        )),
        patiently(Attack::new(
            "68-progress-flood",
            "reports its progress a million times",
            Ends(Succeeded),
            calls(
                PROGRESS,
                &times(1_000_000, "(call $report (f64.const 0.5) (i32.const 0) (i32.const 0))"),
            ),
        )),
    ]
}

/// A plugin that writes so many bytes of a text over and over, 4 KiB at a time.
fn writes(text: &str, bytes: u32) -> crate::Guest {
    const AT_ONCE: u32 = 4096;
    Program {
        imports: STREAMS,
        body: &format!(
            "(local.set $handle (call $stdout)) {}",
            times(
                bytes / AT_ONCE,
                &format!(
                    "(call $write (local.get $handle) (i32.const 8192) (i32.const {AT_ONCE}) (i32.const {SPACE}))"
                )
            )
        ),
        more: &format!("(data (i32.const 8192) \"{}\")", text.repeat(AT_ONCE as usize / 12)),
        ..Program::default()
    }
    .guest()
}

//! How far a set of tasks is: one line that is written over on a terminal, a few plain lines anywhere else.

use std::io::{IsTerminal as _, Write as _};

/// Where there is no terminal, so many lines per set: enough to see that it moves, few enough to read.
const PLAIN_LINES: usize = 4;
/// So few tasks are worth one line.
const FEW: usize = 20;
/// The bar's width in characters.
const BAR: usize = 30;

/// Shows one set of tasks.
pub struct Progress {
    total: usize,
    terminal: bool,
    shown: usize,
}

impl Progress {
    /// Begins with nothing done.
    pub fn new(total: usize) -> Self {
        Self { total, terminal: std::io::stdout().is_terminal(), shown: 0 }
    }

    /// Shows that so many tasks have their result.
    pub fn update(&mut self, done: usize) {
        if self.terminal {
            let filled = BAR * done / self.total;
            let line = format!("{}{}", "█".repeat(filled), "·".repeat(BAR - filled));
            print!("\r  {line} {done} of {} tasks have their result", self.total);
            if done == self.total {
                println!();
            }
            // A terminal that has gone away is no reason to stop.
            std::io::stdout().flush().ok();
        } else {
            let lines = if self.total < FEW { 1 } else { PLAIN_LINES };
            let part = done * lines / self.total;
            if part > self.shown {
                self.shown = part;
                println!("  {done} of {} tasks have their result", self.total);
            }
        }
    }
}

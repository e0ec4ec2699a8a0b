//! `wasi:logging/logging`: messages for people.

use super::bindings::wasi::logging::logging::{Host, Level};
use crate::services::LogLevel;
use crate::state::State;

impl Host for State {
    fn log(&mut self, level: Level, context: String, message: String) {
        self.charges.call();
        self.journal.lock().log(level.into(), &context, &message);
    }
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
            Level::Critical => Self::Critical,
        }
    }
}

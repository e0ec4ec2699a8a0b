//! The task's log.
//!
//! Use what you are used to: the `log` crate (on by default, re-exported as `saggar_plugin::log`), the `tracing` crate
//! (feature `tracing`), or the functions here, which need neither. `println!` and `eprintln!` work too. All of it
//! counts against one limit, 256 KiB a task by default; the host drops what is beyond. Logging never fails and never
//! waits.
//!
//! Only messages of [`Level::Info`] and above are passed on until [`set_level`] says otherwise: a dependency that
//! traces its every step would use up the limit before the plugin itself says a word.
//!
//! ```
//! use saggar_plugin::logging::{self, Level};
//!
//! logging::warn("the glaze is 3 °C too cold");
//! logging::write(Level::Critical, "kiln", "the door is open");
//! ```

#[cfg(feature = "tracing")]
mod events;
mod level;
#[cfg(feature = "log")]
mod records;

use std::cell::Cell;
use std::sync::Once;

pub use level::Level;

use crate::host;

thread_local! {
    /// A guest has one thread. Natively each test has its own, so that tests do not change each other's level.
    static LEAST: Cell<Level> = const { Cell::new(Level::Info) };
}

/// Passes on messages of this level and above from now on. It holds for all three ways to log.
pub fn set_level(least: Level) {
    LEAST.set(least);
}

/// Whether a message of this level would be passed on. Worth asking before composing a costly one.
#[must_use]
pub fn enabled(level: Level) -> bool {
    level >= LEAST.get()
}

/// Logs a message. `context` names the part of the plugin that speaks and may be empty.
pub fn write(level: Level, context: &str, message: &str) {
    if enabled(level) {
        host::log(level, context, message);
    }
}

/// Logs a step that matters only while hunting a fault, without a context.
pub fn debug(message: &str) {
    write(Level::Debug, "", message);
}

/// Logs what the task did, without a context.
pub fn info(message: &str) {
    write(Level::Info, "", message);
}

/// Logs something unexpected that the task could work around, without a context.
pub fn warn(message: &str) {
    write(Level::Warn, "", message);
}

/// Logs something that made part of the work fail, without a context.
pub fn error(message: &str) {
    write(Level::Error, "", message);
}

/// Connects the `log` and `tracing` crates, where the features are on. The first call counts. A logger that the
/// plugin has installed itself stays.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        #[cfg(feature = "log")]
        records::install();
        #[cfg(feature = "tracing")]
        events::install();
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Context;

    #[test]
    fn messages_below_the_level_are_dropped() {
        let context = Context::new();
        context.run(|| {
            debug("dropped");
            info("kept");
            set_level(Level::Debug);
            debug("kept now");
        });
        let kept: Vec<String> = context.logs().into_iter().map(|log| log.message).collect();
        assert_eq!(kept, ["kept", "kept now"]);
    }
}

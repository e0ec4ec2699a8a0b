//! From the `log` crate to the task's log: level, target as the context, message.

use log::{LevelFilter, Log, Metadata, Record};

use super::{Level, enabled, write};

struct Records;

pub(super) fn install() {
    if log::set_logger(&Records).is_ok() {
        // The level is decided in `enabled`, which can be changed for one thread; see `set_level`.
        log::set_max_level(LevelFilter::Trace);
    }
}

impl Log for Records {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        enabled(metadata.level().into())
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            write(record.level().into(), record.target(), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

impl From<log::Level> for Level {
    fn from(level: log::Level) -> Self {
        match level {
            log::Level::Trace => Self::Trace,
            log::Level::Debug => Self::Debug,
            log::Level::Info => Self::Info,
            log::Level::Warn => Self::Warn,
            log::Level::Error => Self::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Context, Log};

    #[test]
    fn a_record_arrives_with_its_target_as_the_context() {
        let context = Context::new();
        let handler = || {
            log::debug!("dropped");
            log::warn!(target: "kiln", "{} °C", 1280);
        };
        context.call(handler, "").unwrap();
        assert_eq!(context.logs(), [Log::new(Level::Warn, "kiln", "1280 °C")]);
    }
}

//! From the `tracing` crate to the task's log: level, target as the context, message followed by the fields.
//!
//! Spans are taken and forgotten: an attempt is one span already, and the host knows it.

use std::fmt::{Debug, Write};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, Subscriber, set_global_default};
use tracing::{Event, Metadata};

use super::{Level, enabled, write};

struct Events;

pub(super) fn install() {
    // Fails only if the plugin has set a subscriber of its own, which then stays.
    let _ = set_global_default(Events);
}

impl Subscriber for Events {
    fn register_callsite(&self, _metadata: &'static Metadata<'static>) -> Interest {
        // Asked again for every event, because `set_level` may be called at any time.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && enabled(metadata.level().into())
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let metadata = event.metadata();
        write(metadata.level().into(), metadata.target(), &(line.message + &line.fields));
    }

    fn new_span(&self, _attributes: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// One event as text. `message` is a field like the others and may come last, so the two are kept apart.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a `String` does not fail; a `Debug` that does loses its own text only.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

impl From<&tracing::Level> for Level {
    fn from(level: &tracing::Level) -> Self {
        match *level {
            tracing::Level::TRACE => Self::Trace,
            tracing::Level::DEBUG => Self::Debug,
            tracing::Level::INFO => Self::Info,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::ERROR => Self::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Context, Log};

    #[test]
    fn an_event_arrives_with_its_fields_after_the_message() {
        let context = Context::new();
        let handler = || {
            let _span = tracing::info_span!("firing", kiln = 3).entered();
            tracing::debug!("dropped");
            tracing::info!(target: "kiln", celsius = 1280, glaze = "celadon", "hot");
        };
        context.call(handler, "").unwrap();
        assert_eq!(context.logs(), [Log::new(Level::Info, "kiln", r#"hot celsius=1280 glaze="celadon""#)]);
    }
}

//! What a guest says while it runs, shown as it says it, or kept for later.

use std::sync::{Arc, Mutex, PoisonError};

use owo_colors::{OwoColorize, Style};
use saggar_model::{Capability, escape};
use saggar_sandbox::{
    Blobs, Children, KeyValue, LocalChildren, LocalStores, LogLevel, LogLine, LogSource, Services,
};
use serde_json::json;

use crate::console::Console;
use crate::submitted::Shown;

/// Shows every line on standard error at once: for programs, one object a line. What the guest keeps is in memory.
pub struct Live {
    console: Console,
    stores: LocalStores,
    children: LocalChildren,
}

impl Live {
    /// Shows on this console.
    #[must_use]
    pub fn new(console: Console) -> Self {
        Self { console, stores: LocalStores::default(), children: LocalChildren::default() }
    }
}

impl Services for Live {
    fn progress(&self, fraction: Option<f64>, message: &str) {
        if self.console.is_json() {
            self.console.event(&json!({ "event": "progress", "fraction": fraction, "message": message }));
        } else {
            let share = fraction.map(|fraction| format!("{:.0} % ", fraction * 100.0)).unwrap_or_default();
            let shown = format!("progress {share}{}", escape(message));
            self.console.note(shown.trim_end().style(Style::new().dimmed()).to_string());
        }
    }

    fn log(&self, line: LogLine<'_>) {
        if self.console.is_json() {
            let LogLine { source, context, message } = line;
            let level = label(source);
            self.console
                .event(&json!({ "event": "log", "level": level, "context": context, "message": message }));
        } else {
            self.console.note(shown(line).style(colour(line.source)).to_string());
        }
    }

    fn cancelled(&self) -> bool {
        false
    }

    fn denied(&self, _: Capability, _: &str) {}

    fn kv(&self) -> Option<Arc<dyn KeyValue>> {
        Some(Arc::new(self.stores.clone()))
    }

    fn blobs(&self) -> Option<Arc<dyn Blobs>> {
        Some(Arc::new(self.stores.clone()))
    }

    fn children(&self) -> Option<Arc<dyn Children>> {
        Some(Arc::new(Shown::new(self.console, self.children.clone())))
    }
}

/// Keeps every line, for the case that somebody asks. What the guest keeps is in memory, and no other case sees it.
#[derive(Default)]
pub struct Kept {
    lines: Mutex<Vec<String>>,
    stores: LocalStores,
    children: LocalChildren,
}

impl Kept {
    /// The lines so far, escaped.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Services for Kept {
    fn progress(&self, _fraction: Option<f64>, _message: &str) {}

    fn log(&self, line: LogLine<'_>) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(shown(line));
    }

    fn cancelled(&self) -> bool {
        false
    }

    fn denied(&self, _: Capability, _: &str) {}

    fn kv(&self) -> Option<Arc<dyn KeyValue>> {
        Some(Arc::new(self.stores.clone()))
    }

    fn blobs(&self) -> Option<Arc<dyn Blobs>> {
        Some(Arc::new(self.stores.clone()))
    }

    fn children(&self) -> Option<Arc<dyn Children>> {
        Some(Arc::new(self.children.clone()))
    }
}

fn label(source: LogSource) -> &'static str {
    match source {
        LogSource::Log(level) => level.as_str(),
        LogSource::Stdout => "stdout",
        LogSource::Stderr => "stderr",
    }
}

fn shown(line: LogLine<'_>) -> String {
    let context = if line.context.is_empty() { String::new() } else { format!("{}: ", escape(line.context)) };
    format!("{} {context}{}", label(line.source), escape(line.message))
}

fn colour(source: LogSource) -> Style {
    match source {
        LogSource::Log(LogLevel::Warn) => Style::new().yellow(),
        LogSource::Log(LogLevel::Error | LogLevel::Critical) => Style::new().red(),
        LogSource::Log(LogLevel::Trace | LogLevel::Debug | LogLevel::Info)
        | LogSource::Stdout
        | LogSource::Stderr => Style::new().dimmed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_with_its_level_and_without_its_tricks() {
        let line =
            LogLine { source: LogSource::Log(LogLevel::Info), context: "main", message: "a\u{1b}[2Jb" };
        assert_eq!(shown(line), "info main: a\\u{1b}[2Jb");
        let kept = Kept::default();
        kept.log(LogLine { source: LogSource::Stderr, context: "", message: "oh" });
        assert_eq!(kept.take(), ["stderr oh"]);
    }
}

//! Where a command's words go: data to standard output, everything said about it to standard error.
//!
//! With `--output json` exactly one object is written to standard output, and a failure as one object to standard
//! error. Colours appear only on a terminal, and not with `NO_COLOR`. A reader that goes away ends nothing badly.

use std::io::{self, IsTerminal, Write};

use anstream::AutoStream;
use owo_colors::{OwoColorize, Style};
use saggar_model::{escape, format_bytes};
use serde::Serialize;
use serde_json::{Value, json};

use crate::failure::{Failure, Kind};

/// How a command's output looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object, for programs.
    Json,
    /// Lines of cells, for spreadsheets: of `saggar tenant usage` only.
    Csv,
}

/// Writes what a command has to say.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    format: Format,
}

impl Console {
    /// A console that writes in this format.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    /// Whether programs read the output.
    #[must_use]
    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Whether a spreadsheet reads the output.
    #[must_use]
    pub fn is_csv(self) -> bool {
        self.format == Format::Csv
    }

    /// Writes the one object of a command, to programs only.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn object(self, data: impl Serialize, meta: &Value) -> Result<(), Failure> {
        if self.is_json() { print(&json!({ "data": data, "meta": meta }).to_string()) } else { Ok(()) }
    }

    /// Writes one of several objects that come one after another, each in a line, to programs only.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn object_line(self, object: &Value) -> Result<(), Failure> {
        if self.is_json() { print(&object.to_string()) } else { Ok(()) }
    }

    /// Writes one of many objects that come one after another, each in a line, to programs only. Whether somebody still
    /// reads them.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn is_read(self, object: &Value) -> Result<bool, Failure> {
        if !self.is_json() {
            return Ok(true);
        }
        let mut out = io::stdout().lock();
        match writeln!(out, "{object}").and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            result => written(result).map(|()| true),
        }
    }

    /// Writes an object for programs, or a line for people.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn answer(self, data: impl Serialize, text: impl AsRef<str>) -> Result<(), Failure> {
        self.object(data, &json!({}))?;
        self.line(text)
    }

    /// Writes a line to standard output, to people only.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn line(self, text: impl AsRef<str>) -> Result<(), Failure> {
        if self.is_json() { Ok(()) } else { print(text.as_ref()) }
    }

    /// Says something beside the data, to people only.
    pub fn note(self, text: impl AsRef<str>) {
        if !self.is_json() {
            // Nobody is left to be told when standard error cannot be written.
            let _ = writeln!(AutoStream::auto(io::stderr()).lock(), "{}", text.as_ref());
        }
    }

    /// Says something that went wrong without ending the command.
    pub fn warn(self, text: impl AsRef<str>) {
        self.note(format!("{} {}", "warning:".style(Style::new().yellow().bold()), text.as_ref()));
    }

    /// Says something beside the data to programs, as one object in a line.
    pub fn event(self, event: &Value) {
        if self.is_json() {
            let _ = writeln!(io::stderr().lock(), "{event}");
        }
    }

    /// Writes bytes as they are, to people only, unless they could harm or confuse their terminal.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn payload(self, content_type: &str, payload: &[u8]) -> Result<(), Failure> {
        if self.is_json() {
            return Ok(());
        }
        let terminal = io::stdout().is_terminal();
        if terminal && !is_printable(payload) {
            let (size, kind) = (format_bytes(payload.len() as u64), escape(content_type));
            self.note(format!("{size} of {kind} are not shown on a terminal; add `> FILE` to keep them"));
            return Ok(());
        }
        let mut out = io::stdout().lock();
        let line_break: &[u8] =
            if terminal && !payload.is_empty() && !payload.ends_with(b"\n") { b"\n" } else { b"" };
        written(out.write_all(payload).and_then(|()| out.write_all(line_break)).and_then(|()| out.flush()))
    }

    /// Reports why the command failed.
    pub fn failure(self, failure: &Failure) {
        let mut out = AutoStream::auto(io::stderr()).lock();
        let _ = if self.is_json() {
            writeln!(out, "{}", failure.problem())
        } else {
            writeln!(out, "{} {failure}", "error:".style(Style::new().red().bold()))
        };
    }
}

/// Whether bytes are text that a terminal shows and does not obey.
fn is_printable(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.split(['\n', '\t']).all(|part| escape(part) == part))
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = AutoStream::auto(io::stdout()).lock();
    written(writeln!(out, "{text}").and_then(|()| out.flush()))
}

fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Kind::Internal, format!("standard output cannot be written: {error}")))
        }
        // Whoever read the output has read enough, as `head` does.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_text_reaches_a_terminal() {
        assert!(is_printable(b"") && is_printable("größe\n\t漢字\n".as_bytes()));
        for bad in [&b"\x1b[2J"[..], b"\0", b"\xff\xd8", b"a\rb", "a\u{202e}b".as_bytes()] {
            assert!(!is_printable(bad), "{bad:?}");
        }
    }
}

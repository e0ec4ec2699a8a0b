//! The payload as a series of records, each of which should be a JSON object.
//!
//! A record is a slice of the payload. Where it stands is worked out from its address, and only when it is to blame
//! for something.

use saggar_plugin::Error;
use serde_json::value::RawValue;

use crate::row::Fault;

/// The code of the rejection of a payload that is not a series of objects.
const BAD_INPUT: &str = "bad-input";

pub struct Input<'a> {
    text: &'a str,
    shape: Shape<'a>,
}

enum Shape<'a> {
    /// One object per line; empty lines do not count.
    Lines,
    /// One array of objects.
    Array(Vec<&'a RawValue>),
    /// A single object, which may stretch over several lines.
    Object,
}

impl<'a> Input<'a> {
    /// Tells the shape by the content type where that decides it, otherwise by the first character.
    pub fn new(text: &'a str, content_type: Option<&str>) -> Result<Self, Error> {
        // Some editors and spreadsheets put a byte order mark before UTF-8.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let media_type = content_type.and_then(|value| value.split(';').next()).map(str::trim);
        let shape = match media_type {
            Some("application/x-ndjson" | "application/ndjson" | "application/jsonl") => Shape::Lines,
            _ if text.trim_start().starts_with('[') => {
                Shape::Array(serde_json::from_str(text).map_err(|error| {
                    Error::reject(format!("the payload is not a JSON array: {error}")).code(BAD_INPUT)
                })?)
            }
            Some("application/json") if !text.trim_start().is_empty() => Shape::Object,
            _ => Shape::Lines,
        };
        Ok(Self { text, shape })
    }

    pub fn records(&self) -> Box<dyn Iterator<Item = &'a str> + '_> {
        match &self.shape {
            Shape::Lines => Box::new(self.text.lines().map(str::trim).filter(|line| !line.is_empty())),
            Shape::Array(elements) => Box::new(elements.iter().map(|element| element.get())),
            Shape::Object => Box::new(std::iter::once(self.text)),
        }
    }

    /// The rejection of the whole payload for what is wrong in one place.
    pub fn blame(&self, Fault { json, error }: Fault<'_>) -> Error {
        let before = &self.text[..self.offset(json)];
        let line = before.matches('\n').count() + error.line().max(1);
        let line_begins = before.rfind('\n').map_or(0, |end| end + 1);
        let indent = if error.line() > 1 { 0 } else { before.len() - line_begins };
        let column = indent + error.column().max(1);
        let text = error.to_string();
        // The place within the slice would contradict the place within the payload.
        let what = text.split(" at line ").next().unwrap_or(&text);
        let hint = match self.shape {
            Shape::Lines if error.is_eof() => "; each line must be a whole object",
            _ => "",
        };
        Error::reject(format!("line {line}, column {column}: {what}{hint}")).code(BAD_INPUT)
    }

    /// How much of the payload lies before a record, from 0 to 1.
    pub fn fraction_before(&self, record: &str) -> f64 {
        self.offset(record) as f64 / self.text.len() as f64
    }

    /// Records are slices of the text, so the difference of the addresses is the offset.
    fn offset(&self, record: &str) -> usize {
        record.as_ptr() as usize - self.text.as_ptr() as usize
    }
}

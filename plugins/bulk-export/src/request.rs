//! What to export, as the payload says it.

use saggar_plugin::Error;
use serde::Deserialize;

/// Enough rows for a part of some megabytes.
const ROWS_PER_PART: u64 = 50_000;

/// A part is the work that an interruption repeats.
const ROWS_PER_PART_MAX: u64 = 1_000_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    from: String,
    to: String,
    columns: Vec<String>,
    #[serde(default = "rows_per_part")]
    rows_per_part: u64,
}

fn rows_per_part() -> u64 {
    ROWS_PER_PART
}

/// A request that makes sense.
#[derive(Debug, PartialEq)]
pub struct Checked {
    pub from: Place,
    pub to: Place,
    pub columns: Vec<String>,
    pub rows_per_part: u64,
}

/// An object, or the beginning of the names of several.
#[derive(Debug, PartialEq)]
pub struct Place {
    pub container: String,
    pub object: String,
}

impl Request {
    pub fn checked(self) -> Result<Checked, Error> {
        let Self { from, to, columns, rows_per_part } = self;
        if columns.is_empty() {
            return Err(Error::reject("`columns` names no column"));
        }
        if !(1..=ROWS_PER_PART_MAX).contains(&rows_per_part) {
            return Err(Error::reject(format!("`rows_per_part` must be from 1 to {ROWS_PER_PART_MAX}")));
        }
        Ok(Checked { from: place("from", &from)?, to: place("to", &to)?, columns, rows_per_part })
    }
}

fn place(key: &str, text: &str) -> Result<Place, Error> {
    match text.split_once('/') {
        Some((container, object)) if !container.is_empty() && !object.is_empty() => {
            Ok(Place { container: container.to_owned(), object: object.to_owned() })
        }
        _ => Err(Error::reject(format!("`{key}` must be CONTAINER/OBJECT, and is `{text}`"))),
    }
}

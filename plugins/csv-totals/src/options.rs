//! What the headers of a task ask for.

use saggar_plugin::tasks::Task;
use saggar_plugin::{Error, context};

/// The column to add up.
const COLUMN: &str = "Totals-Column";
/// The column to group by.
const BY: &str = "Totals-By";
/// Rows in a part.
const ROWS: &str = "Totals-Rows";

/// A part that takes a few milliseconds: less would be more work to hand on than to do.
const ROWS_DEFAULT: usize = 10_000;

/// What a task asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) column: String,
    pub(crate) by: String,
    pub(crate) rows: usize,
}

impl Options {
    pub(crate) fn read() -> Result<Self, Error> {
        let wanted = |name: &str| {
            let missing = || Error::reject(format!("header {name} is missing")).code("missing-header");
            context::header(name).filter(|value| !value.is_empty()).ok_or_else(missing)
        };
        let rows = match context::header(ROWS) {
            None => ROWS_DEFAULT,
            Some(rows) => rows.parse().ok().filter(|rows| *rows > 0).ok_or_else(|| {
                Error::reject(format!("header {ROWS} is no number of rows")).code("bad-header")
            })?,
        };
        Ok(Self { column: wanted(COLUMN)?, by: wanted(BY)?, rows })
    }

    /// Asks a child for the same.
    pub(crate) fn on(&self, child: Task) -> Task {
        child.header(COLUMN, &self.column).header(BY, &self.by)
    }
}

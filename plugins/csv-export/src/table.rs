//! Writing the CSV. Quoting is the `csv` crate's: cells with a delimiter, a quote or a line end in them.

use csv::{Terminator, Writer, WriterBuilder};
use saggar_plugin::{Error, OrFail, Output};

use crate::options::Options;
use crate::row::Cell;

/// With one of these at the beginning, a spreadsheet takes a cell for a formula; the last two count because it skips
/// them.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

pub struct Table {
    writer: Writer<Vec<u8>>,
    media_type: &'static str,
    safe: bool,
    rows: usize,
}

impl Table {
    /// Begins the table, with the line that names the columns if it is wanted and if there are any.
    pub fn new(options: &Options, columns: &[String]) -> Result<Self, Error> {
        let terminator = if options.crlf { Terminator::CRLF } else { Terminator::Any(b'\n') };
        let writer =
            WriterBuilder::new().delimiter(options.delimiter).terminator(terminator).from_writer(Vec::new());
        let media_type = if options.header {
            "text/csv; charset=utf-8; header=present"
        } else {
            "text/csv; charset=utf-8; header=absent"
        };
        let mut table = Self { writer, media_type, safe: options.safe, rows: 0 };
        if options.header && !columns.is_empty() {
            table.line(columns.iter().map(|name| Some(Cell::of_string(name))))?;
        }
        Ok(table)
    }

    /// Adds one row; as many cells as there are columns.
    pub fn write<'a>(&mut self, cells: impl IntoIterator<Item = Option<Cell<'a>>>) -> Result<(), Error> {
        self.rows += 1;
        self.line(cells)
    }

    /// Rows written so far, without the line that names the columns.
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn finish(self) -> Result<Output, Error> {
        let bytes = self.writer.into_inner().or_reject("the table cannot be finished")?;
        Ok(Output::new(self.media_type, bytes))
    }

    fn line<'a>(&mut self, cells: impl IntoIterator<Item = Option<Cell<'a>>>) -> Result<(), Error> {
        let fields = cells.into_iter().map(|cell| match cell {
            None => String::new(),
            Some(cell) if self.safe && is_formula(&cell) => format!("'{}", cell.text),
            Some(cell) => cell.text.into_owned(),
        });
        self.writer.write_record(fields).or_reject("the table cannot be written")
    }
}

/// A number may begin with a minus: it is no text, so it is no formula.
fn is_formula(cell: &Cell<'_>) -> bool {
    cell.is_string && cell.text.starts_with(FORMULA)
}

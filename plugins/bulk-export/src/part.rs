//! One part: so many lines of JSON in, one object of CSV out.

use std::io::{BufRead, Read as _};

use csv::{ByteRecord, Writer};
use saggar_plugin::blobs::Container;
use saggar_plugin::{Error, OrFail as _};
use serde_json::{Map, Value};

/// A line longer than this is no row.
const LINE_MAX_BYTES: u64 = 16 << 20;

/// The columns of a table.
pub struct Columns(Vec<String>);

/// What a part has.
#[derive(Debug, Default, PartialEq)]
pub struct Part {
    pub rows: u64,
    /// Bytes of the source.
    pub bytes: u64,
}

impl Columns {
    pub fn new(columns: Vec<String>) -> Self {
        Self(columns)
    }

    fn cells(&self, row: &Map<String, Value>) -> ByteRecord {
        self.0.iter().map(|column| cell(row, column)).collect()
    }
}

/// Reads up to so many rows, and stores them as one object. Without a row there is no object.
pub fn write(
    lines: &mut impl BufRead,
    target: &Container,
    name: &str,
    columns: &Columns,
    rows_max: u64,
    rows_before: u64,
) -> Result<Part, Error> {
    let mut table = Writer::from_writer(target.writer(name)?);
    table.write_record(&columns.0)?;
    let (mut part, mut line) = (Part::default(), Vec::new());
    while part.rows < rows_max {
        line.clear();
        let read = lines.by_ref().take(LINE_MAX_BYTES).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        part.bytes += read as u64;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let row: Map<String, Value> = serde_json::from_slice(&line).map_err(|error| {
            let at = rows_before + part.rows + 1;
            Error::reject(format!("row {at} is no JSON object: {error}")).code("bad-line")
        })?;
        table.write_byte_record(&columns.cells(&row))?;
        part.rows += 1;
    }
    let writer = table.into_inner().or_retry("the part could not be written")?;
    // Dropped unfinished it leaves nothing.
    if part.rows > 0 {
        writer.finish()?;
    }
    Ok(part)
}

/// The cell at a path such as `customer.city`. A key that has the dots in itself comes first.
fn cell(row: &Map<String, Value>, path: &str) -> String {
    let nested = || {
        let (head, rest) = path.split_once('.')?;
        Some(cell(row.get(head)?.as_object()?, rest))
    };
    match row.get(path) {
        None => nested().unwrap_or_default(),
        Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

//! Cutting a file into parts, and adding one up.

use csv::{Reader, ReaderBuilder, StringRecord, Writer};
use saggar_plugin::{Error, OrFail as _};

use crate::options::Options;
use crate::totals::Totals;

/// As many as a task may have children.
const PARTS_MAX: usize = 1_000;

fn reader(input: &str) -> Reader<&[u8]> {
    ReaderBuilder::new().flexible(false).from_reader(input.as_bytes())
}

fn bad_csv(error: &csv::Error) -> Error {
    Error::reject(format!("this is no CSV: {error}")).code("bad-csv")
}

/// The parts of a file, each with its first line.
pub(crate) fn parts(input: &str, rows: usize) -> Result<Vec<Vec<u8>>, Error> {
    let mut reader = reader(input);
    let first = reader.headers().map_err(|error| bad_csv(&error))?.clone();
    let mut parts: Vec<Writer<Vec<u8>>> = Vec::new();
    for (n, record) in reader.records().enumerate() {
        let record = record.map_err(|error| bad_csv(&error))?;
        if n % rows == 0 {
            if parts.len() == PARTS_MAX {
                return Err(Error::reject(format!(
                    "there are more than {PARTS_MAX} parts; make them larger"
                ))
                .code("too-many-parts"));
            }
            parts.push(Writer::from_writer(Vec::new()));
            write(parts.last_mut(), &first)?;
        }
        write(parts.last_mut(), &record)?;
    }
    parts.into_iter().map(|part| part.into_inner().or_reject("a part cannot be written")).collect()
}

fn write(part: Option<&mut Writer<Vec<u8>>>, record: &StringRecord) -> Result<(), Error> {
    let Some(part) = part else { return Ok(()) };
    part.write_record(record).map_err(|error| bad_csv(&error))
}

/// Adds up a part.
pub(crate) fn add_up(input: &str, options: &Options) -> Result<Totals, Error> {
    let mut reader = reader(input);
    let first = reader.headers().map_err(|error| bad_csv(&error))?;
    let place = |name: &str| {
        let missing = || Error::reject(format!("there is no column {name}")).code("no-column");
        first.iter().position(|column| column == name).ok_or_else(missing)
    };
    let (column, by) = (place(&options.column)?, place(&options.by)?);
    let mut totals = Totals::default();
    for record in reader.records() {
        let record = record.map_err(|error| bad_csv(&error))?;
        let number = record[column].trim().parse::<f64>().map_err(|_| {
            Error::reject(format!("`{}` in column {} is no number", &record[column], options.column))
                .code("no-number")
        })?;
        totals.rows += 1;
        *totals.totals.entry(record[by].to_owned()).or_default() += number;
    }
    Ok(totals)
}

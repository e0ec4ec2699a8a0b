//! Exports JSON as CSV: lines of objects or an array of them in, a table out.
//!
//! Rows are read, filtered and written one at a time, so that memory holds the input, the output and one row. Without
//! a list of columns the input is read twice, the first time for its keys only.

mod filter;
mod input;
mod options;
mod row;
mod table;

use std::collections::HashSet;

use saggar_plugin::{Error, Output, context, handler, log, progress};

use input::Input;
use options::Options;
use row::Row;
use table::Table;

/// Rows between two looks at the host. With rows of 150 bytes that is a look every 10 ms or so, and every 100 million
/// of fuel.
const ROWS_BETWEEN_REPORTS: usize = 4096;

#[handler]
fn csv_export(payload: String) -> Result<Output, Error> {
    let options = Options::from_headers(&context::headers())?;
    let input = Input::new(&payload, context::content_type().as_deref())?;
    let columns = match &options.columns {
        Some(columns) => columns.clone(),
        None => all_keys(&input)?,
    };

    let mut table = Table::new(&options, &columns)?;
    let mut read = 0;
    for record in input.records() {
        if read % ROWS_BETWEEN_REPORTS == 0 && read > 0 {
            look_at_the_host(read, input.fraction_before(record))?;
        }
        read += 1;
        let row = Row::read(record).map_err(|fault| input.blame(fault))?;
        if options.filter.keeps(&row).map_err(|fault| input.blame(fault))? {
            let cells = columns.iter().map(|path| row.cell(path)).collect::<Result<Vec<_>, _>>();
            table.write(cells.map_err(|fault| input.blame(fault))?)?;
        }
    }
    log::info!("{} of {read} rows in {} columns", table.rows(), columns.len());
    table.finish()
}

/// Says how far the export is, and learns whether to go on.
fn look_at_the_host(rows: usize, fraction: f64) -> Result<(), Error> {
    if progress::cancelled() {
        return Err(Error::retry(format!("the host asked to stop after {rows} rows")));
    }
    progress::report(fraction, &format!("{rows} rows read"));
    Ok(())
}

/// The keys of all rows, in the order in which they first appear.
fn all_keys(input: &Input) -> Result<Vec<String>, Error> {
    let mut known = HashSet::new();
    let mut keys = Vec::new();
    for record in input.records() {
        let row = Row::read(record).map_err(|fault| input.blame(fault))?;
        for key in row.keys() {
            if !known.contains(key) {
                known.insert(key.to_owned());
                keys.push(key.to_owned());
            }
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests;

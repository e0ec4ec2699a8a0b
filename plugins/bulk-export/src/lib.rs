//! Exports a large object of JSON lines as CSV objects, part by part, and goes on where it was after whatever stopped it.

mod part;
mod position;
mod request;

use std::io::BufReader;

use saggar_plugin::{Error, Json, StoreError, StoreErrorKind, blobs, handler, log, progress};
use serde::Serialize;

use part::Columns;
use position::{Keeper, Position};
use request::{Checked, Request};

/// What is read from the store at once.
const READ_BYTES: usize = 128 << 10;

/// What there is in the end.
#[derive(Debug, PartialEq, Serialize)]
struct Exported {
    parts: u32,
    rows: u64,
    /// Some of it was done by an earlier attempt.
    resumed: bool,
}

#[handler]
fn bulk_export(Json(request): Json<Request>) -> Result<Json<Exported>, Error> {
    let Checked { from, to, columns, rows_per_part } = request.checked()?;
    let source = blobs::container(&from.container).map_err(|error| unreadable(error, &from.object))?;
    let info = source.info(&from.object)?.ok_or_else(|| {
        Error::reject(format!("there is no object {} in {}", from.object, from.container)).code("not-found")
    })?;
    let target = blobs::create(&to.container)?;
    let (mut position, resumed) = Position::resume(&info)?;
    if resumed {
        log::info!("goes on at byte {} of {}, part {}", position.offset, info.size, position.parts + 1);
    }
    let mut lines =
        BufReader::with_capacity(READ_BYTES, source.part(&from.object, position.offset, u64::MAX)?);
    let (columns, mut keeper) = (Columns::new(columns), Keeper::default());
    while position.offset < info.size {
        let name = format!("{}-{:05}.csv", to.object, position.parts + 1);
        let part = part::write(&mut lines, &target, &name, &columns, rows_per_part, position.rows)?;
        position.advance(&part);
        progress::report(position.offset as f64 / info.size as f64, &format!("{} rows", position.rows));
        if progress::cancelled() {
            keeper.keep(&position)?;
            return Err(Error::retry("stopped between two parts, to be continued"));
        }
        keeper.keep_if_due(&position)?;
    }
    Ok(Json(Exported { parts: position.parts, rows: position.rows, resumed }))
}

fn unreadable(error: StoreError, object: &str) -> Error {
    match error.kind() {
        StoreErrorKind::NotFound => Error::reject(format!("{object}: {error}")).code("not-found"),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests;

//! Doing the same to several things: each stands for itself, and a failure ends only its own.

use futures::{Stream, StreamExt as _};
use serde_json::{Value, json};

use crate::console::Console;
use crate::failure::{Exit, Failure};

/// What was done about one of them.
pub struct Done {
    /// For programs.
    pub row: Value,
    /// For people.
    pub line: String,
}

/// Does the same to all of them, one after the other, and reports what was done.
///
/// # Errors
/// It failed with one or more; the others are done.
pub async fn each<T>(
    things: impl Stream<Item = Result<T, Failure>>,
    act: impl AsyncFn(T) -> Result<Done, Failure>,
    console: Console,
) -> Result<Exit, Failure> {
    let mut things = std::pin::pin!(things);
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    while let Some(thing) = things.next().await {
        let done = match thing {
            Ok(thing) => act(thing).await,
            Err(failure) => Err(failure),
        };
        match done {
            Ok(Done { row, line }) => {
                rows.push(row);
                console.line(line)?;
            }
            Err(failure) => failures.push(failure),
        }
    }
    if !rows.is_empty() || failures.is_empty() {
        let meta = json!({ "count": rows.len(), "failed": failures.len() });
        console.object(json!({ "rows": rows }), &meta)?;
    }
    Failure::all(failures).map_or(Ok(Exit::Success), Err)
}

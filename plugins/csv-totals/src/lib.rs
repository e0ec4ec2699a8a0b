//! Adds up a column of a CSV file by groups, in parts that run side by side, and puts the parts together.
//!
//! One plugin in one queue has three jobs: the task that is published splits the file into children, each child adds up
//! its part, and a task that waits for all of them adds up what they found.

mod options;
mod part;
mod totals;

use saggar_plugin::tasks::{self, Task};
use saggar_plugin::{Error, Json, context, handler};

use options::Options;
use totals::Totals;

/// What the host says of a child.
const SUCCEEDED: &str = "succeeded";

#[handler]
fn csv_totals(input: String) -> Result<Json<Totals>, Error> {
    if context::header("Saggar-Joins").is_some() {
        put_together().map(Json)
    } else if context::header("Saggar-Parent").is_some() {
        part::add_up(&input, &Options::read()?).map(Json)
    } else {
        split(&input, &Options::read()?).map(Json)
    }
}

/// Hands the parts on, and says in which task the totals will be.
fn split(input: &str, options: &Options) -> Result<Totals, Error> {
    let parts = part::parts(input, options.rows)?;
    let queue = context::queue();
    let number = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let waiting = Task::new(&queue, "").join(number)?;
    for part in parts {
        let child = Task::new(&queue, part).content_type("text/csv").group(&waiting);
        options.on(child).submit()?;
    }
    Ok(Totals { parts: number, task: Some(waiting), ..Totals::default() })
}

fn put_together() -> Result<Totals, Error> {
    let mut totals = Totals::default();
    for child in tasks::ended()? {
        let result = tasks::result(&child.task)?.filter(|_| child.outcome == SUCCEEDED);
        let found = result.and_then(|result| serde_json::from_slice::<Totals>(&result.payload).ok());
        match found {
            Some(found) => totals.add(&found),
            None => totals.failed.push(child.task),
        }
    }
    Ok(totals)
}

#[cfg(test)]
mod tests;

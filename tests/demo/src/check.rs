//! Whether a task ended as it should have: every check returns what is wrong in one sentence.

use std::io::Cursor;

use image::{ImageFormat, ImageReader};

use crate::answer::Answer;
use crate::client::Played;
use crate::job::{Expected, Job};
use crate::orders::COLUMNS;

/// Everything that is wrong with the tasks of a set.
pub fn objections(set: &[Played<'_>]) -> Vec<String> {
    set.iter()
        .filter_map(|played| {
            let wrong = match played.answers.as_slice() {
                [] => Some("no result".to_owned()),
                [answer] => objection(played.job, answer),
                more => Some(format!("{} results instead of one", more.len())),
            };
            let Job { tenant, queue, id, .. } = played.job;
            wrong.map(|wrong| format!("{tenant}: {queue}/{id}: {wrong}"))
        })
        .collect()
}

/// Everything that differs between two runs of the same tasks.
pub fn differences(before: &[Played<'_>], beside: &[Played<'_>]) -> Vec<String> {
    let output = |played: &Played<'_>| played.answers.first().map(|answer| answer.payload.clone());
    let differing = before.iter().zip(beside).filter(|(before, beside)| output(before) != output(beside));
    differing
        .map(|(_, Played { job, .. })| format!("{}/{}: another output than before", job.queue, job.id))
        .collect()
}

fn objection(job: &Job, answer: &Answer) -> Option<String> {
    let wanted = match job.expected {
        Expected::Failure(outcome, _) => outcome,
        Expected::Text(_) | Expected::Picture(..) | Expected::Table(_) => "succeeded",
    };
    if answer.status != wanted {
        let reason = answer.reason().unwrap_or_default();
        return Some(format!("ended as {} instead of {wanted}: {reason}", answer.status));
    }
    match &job.expected {
        Expected::Text(text) if answer.payload != text.as_bytes() => {
            Some(format!("is not the text `{text}`"))
        }
        Expected::Text(_) => None,
        Expected::Picture(width, height, format) => {
            not_the_picture(&answer.payload, (*width, *height), *format)
        }
        Expected::Table(rows) => not_the_table(&answer.payload, *rows),
        Expected::Failure(_, part) => {
            let reason = answer.reason().unwrap_or_default();
            (!reason.contains(part)).then(|| format!("`{part}` is not in its reason: {reason}"))
        }
    }
}

fn not_the_picture(file: &[u8], size: (u32, u32), format: ImageFormat) -> Option<String> {
    let reader = match ImageReader::new(Cursor::new(file)).with_guessed_format() {
        Ok(reader) => reader,
        Err(error) => return Some(format!("cannot be read: {error}")),
    };
    if reader.format() != Some(format) {
        return Some(format!("is {:?} instead of {format:?}", reader.format()));
    }
    match reader.into_dimensions() {
        Ok(found) if found == size => None,
        Ok(found) => Some(format!("has {found:?} pixels instead of {size:?}")),
        Err(error) => Some(format!("is no picture: {error}")),
    }
}

fn not_the_table(file: &[u8], rows: usize) -> Option<String> {
    let Ok(text) = std::str::from_utf8(file) else { return Some("is not UTF-8".to_owned()) };
    // None of the orders holds a line break, so that lines are rows.
    let mut lines = text.lines();
    if lines.next() != Some(COLUMNS) {
        return Some(format!("does not begin with `{COLUMNS}`"));
    }
    let found = lines.count();
    (found != rows).then(|| format!("has {found} rows instead of {rows}"))
}

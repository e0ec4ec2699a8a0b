//! Rows of the same kind: columns for a person, objects for a program.

use owo_colors::{OwoColorize, Style};
use serde::Serialize;
use serde_json::{Value, json};

use crate::console::Console;
use crate::failure::Failure;

/// Blanks between two columns.
const GAP: usize = 2;

/// One row of a table.
pub trait Row: Serialize {
    /// The columns' headings, in order.
    const COLUMNS: &'static [Column];

    /// The row's texts, one for each column, without anything a terminal could obey.
    fn cells(&self) -> Vec<Cell>;
}

/// A column of a table for people.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    heading: &'static str,
    align: Align,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

impl Column {
    /// A column of words.
    #[must_use]
    pub const fn text(heading: &'static str) -> Self {
        Self { heading, align: Align::Left }
    }

    /// A column of numbers.
    #[must_use]
    pub const fn number(heading: &'static str) -> Self {
        Self { heading, align: Align::Right }
    }
}

/// A text and how it looks.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A text that stands out from its neighbours.
    #[must_use]
    pub fn styled(text: impl Into<Self>, style: Style) -> Self {
        Self { style, ..text.into() }
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.to_string(), style: Style::new() }
    }
}

/// Writes rows. `nothing` is what a person is told when there are none.
///
/// # Errors
/// Standard output cannot be written.
pub fn write<R: Row>(console: Console, rows: &[R], mut meta: Value, nothing: &str) -> Result<(), Failure> {
    if console.is_json() {
        meta["count"] = rows.len().into();
        return console.object(json!({ "rows": rows }), &meta);
    }
    if rows.is_empty() {
        console.note(nothing);
        return Ok(());
    }
    console.line(text(rows))
}

/// Rows as a person reads them, headings first.
pub fn text<R: Row>(rows: &[R]) -> String {
    render(R::COLUMNS, &rows.iter().map(Row::cells).collect::<Vec<_>>())
}

fn render(columns: &[Column], rows: &[Vec<Cell>]) -> String {
    let heading = Style::new().bold();
    let headings: Vec<_> =
        columns.iter().map(|column| Cell::styled(column.heading.to_uppercase(), heading)).collect();
    let all: Vec<_> = std::iter::once(&headings).chain(rows).collect();
    let widths: Vec<_> = (0..columns.len())
        .map(|at| all.iter().map(|row| row[at].text.chars().count()).max().unwrap_or_default())
        .collect();
    let lines = all.iter().map(|row| {
        let mut line = String::new();
        for (at, (cell, column)) in row.iter().zip(columns).enumerate() {
            let blank = widths[at] - cell.text.chars().count();
            let last = at + 1 == columns.len();
            let (before, after) = match column.align {
                Align::Left => (0, if last { 0 } else { blank + GAP }),
                Align::Right => (blank, if last { 0 } else { GAP }),
            };
            line.push_str(&" ".repeat(before));
            line.push_str(&cell.text.style(cell.style).to_string());
            line.push_str(&" ".repeat(after));
        }
        line
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell_and_numbers_stand_right() {
        let columns = [Column::text("queue"), Column::number("pending"), Column::text("plugin")];
        let rows = [
            vec!["thumbnail".into(), 7.into(), "thumbnail@1.2.0".into()],
            vec!["a".into(), 12_345_678.into(), "größe".into()],
        ];
        let shown = anstream::adapter::strip_str(&render(&columns, &rows)).to_string();
        assert_eq!(
            shown,
            "QUEUE       PENDING  PLUGIN\n\
             thumbnail         7  thumbnail@1.2.0\n\
             a          12345678  größe"
        );
    }
}

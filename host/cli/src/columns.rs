//! A table that fits a width: a name that takes what is left, then figures, of which the less important ones are for
//! wide terminals only.

use owo_colors::{OwoColorize as _, Style};

/// A name is cut rather than a figure, but not to less than this.
const NAME_MIN: usize = 8;

/// A column of figures.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// What stands above it.
    pub heading: &'static str,
    /// How wide it is, the blank before it included.
    pub width: usize,
    /// The narrowest terminal that shows it.
    pub from: usize,
}

impl Column {
    /// A column that is always shown.
    pub const fn new(heading: &'static str, width: usize) -> Self {
        Self { heading, width, from: 0 }
    }

    /// A column that terminals of so many characters show.
    pub const fn wide(heading: &'static str, width: usize, from: usize) -> Self {
        Self { heading, width, from }
    }
}

/// A figure, and how it looks.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A figure that stands out.
    pub fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }

    /// A figure that is not known.
    pub fn unknown() -> Self {
        Self::styled("-", Style::new().dimmed())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, style: Style::new() }
    }
}

/// A row: what it is about, and a figure for each column.
#[derive(Debug, Clone)]
pub struct Row {
    /// What it is about.
    pub name: String,
    /// Its figures.
    pub cells: Vec<Cell>,
}

/// The lines of a table, its headings first, each of at most `width` characters. Names have the room of `names`
/// characters, if there is so much.
pub fn lines(heading: &str, columns: &[Column], rows: &[Row], names: usize, width: usize) -> Vec<String> {
    let shown: Vec<usize> = shown(columns, width);
    let figures: usize = shown.iter().map(|at| columns[*at].width).sum();
    let name = names.min(width.saturating_sub(figures)).max(NAME_MIN.min(width));
    let headings = Row {
        name: heading.to_owned(),
        cells: columns.iter().map(|column| column.heading.to_owned().into()).collect(),
    };
    let line = |row: &Row, style: Style| {
        let mut line = padded(&cut(&row.name, name), name).style(style).to_string();
        for at in &shown {
            let (column, cell) = (&columns[*at], &row.cells[*at]);
            let blank = column.width.saturating_sub(cell.text.chars().count());
            line.push_str(&" ".repeat(blank));
            let look = if cell.style == Style::new() { style } else { cell.style };
            line.push_str(&cell.text.style(look).to_string());
        }
        line
    };
    let headings = line(&headings, Style::new().bold());
    std::iter::once(headings).chain(rows.iter().map(|row| line(row, Style::new()))).collect()
}

/// How much room the names of these rows take.
pub fn names(rows: &[Row]) -> usize {
    rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0)
}

/// The columns for a terminal of this width; of those that are always shown the last ones go where it is very narrow.
fn shown(columns: &[Column], width: usize) -> Vec<usize> {
    let mut left = width.saturating_sub(NAME_MIN);
    let fits = |at: &usize| {
        let column = &columns[*at];
        let fits = column.from <= width && column.width <= left;
        left -= if fits { column.width } else { 0 };
        fits
    };
    (0..columns.len()).filter(fits).collect()
}

/// A text of at most so many characters, with a mark where it was cut.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept + if width > 0 { "…" } else { "" }
}

fn padded(text: &str, width: usize) -> String {
    format!("{text:<width$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] =
        [Column::new("PENDING", 9), Column::wide("CPU", 5, 40), Column::new("SHARE", 7)];

    fn row(name: &str) -> Row {
        let cells = ["7", "0.4", "67 %"].map(|text| text.to_owned().into());
        Row { name: name.to_owned(), cells: cells.to_vec() }
    }

    fn plain(width: usize, name: &str) -> Vec<String> {
        let rows = [row(name)];
        let lines = lines("TENANT", &COLUMNS, &rows, names(&rows), width);
        lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
    }

    #[test]
    fn a_wide_terminal_shows_more_columns_and_names_no_wider_than_they_are() {
        assert_eq!(plain(80, "acme"), ["TENANT    PENDING  CPU  SHARE", "acme            7  0.4   67 %"]);
        assert_eq!(plain(30, "acme"), ["TENANT    PENDING  SHARE", "acme            7   67 %"]);
    }

    #[test]
    fn a_name_is_cut_before_a_figure_is_and_no_line_is_too_long() {
        let lines = plain(30, "a-very-long-name-of-a-tenant");
        assert_eq!(lines[1], "a-very-long-n…        7   67 %");
        for width in 0..100 {
            let lines = plain(width, "a-very-long-name-of-a-tenant");
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}: {lines:?}");
        }
    }
}

//! Columns of text, as wide as their widest cell.

use std::fmt;

/// Blanks between two columns, and before the first.
const GAP: usize = 2;

/// A table under its headings.
pub struct Table {
    rows: Vec<Vec<String>>,
    /// Whether each column stands at the right, as numbers do.
    right: Vec<bool>,
}

impl Table {
    /// A table with these columns; those that begin with `>` stand at the right.
    pub fn new(columns: &[&str]) -> Self {
        let headings = columns.iter().map(|column| column.trim_start_matches('>').to_owned()).collect();
        Self { rows: vec![headings], right: columns.iter().map(|column| column.starts_with('>')).collect() }
    }

    /// Adds a line, with a cell for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<usize> = (0..self.right.len()).map(|column| widest(column).unwrap_or(0)).collect();
        for (line, row) in self.rows.iter().enumerate() {
            let mut text = String::new();
            for ((cell, &width), &right) in row.iter().zip(&widths).zip(&self.right) {
                text.extend(std::iter::repeat_n(' ', GAP));
                text += &if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
            }
            writeln!(f, "{}", text.trim_end())?;
            if line == 0 {
                let ruler = widths.iter().sum::<usize>() + GAP * (widths.len() - 1);
                writeln!(f, "{}{}", " ".repeat(GAP), "─".repeat(ruler))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_at_the_left_and_numbers_at_the_right() {
        let mut table = Table::new(&["queue", ">tasks"]);
        table.row(["größe".to_owned(), "7".to_owned()]);
        assert_eq!(table.to_string(), "  queue  tasks\n  ────────────\n  größe      7\n");
    }
}

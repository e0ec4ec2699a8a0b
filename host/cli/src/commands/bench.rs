//! `saggar bench`: what a task costs on this machine, beside what it would cost without Saggar.

use std::path::PathBuf;

use owo_colors::OwoColorize;
use owo_colors::Style;
use saggar_bench::{Components, Figure, Machine, NAMES, Options, Row, Scale};
use saggar_model::{escape, format_bytes};
use serde::Serialize;
use serde_json::json;

use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::table::{self, Cell, Column};

const EXAMPLES: &str = "\
Starts a nats-server of its own on a free port with a temporary store, and measures each figure
beside its limit, by turns. Everything is bounded in time: 15 minutes, or one with --quick. Run it
on a machine that does nothing else.

Examples:
  saggar bench --quick
  saggar bench drain latency
  saggar bench --output json > bench.json";

/// The arguments of `saggar bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Rows to measure [default: all of them].
    #[arg(value_name = "ROW", value_parser = clap::builder::PossibleValuesParser::new(NAMES))]
    rows: Vec<String>,

    /// Measure little, to see that it works: at most a minute.
    #[arg(long)]
    quick: bool,

    /// Directory of the components that are measured [default: where `make guests` puts them].
    #[arg(long, value_name = "DIR")]
    components: Option<PathBuf>,
}

/// Measures, and prints a table.
///
/// # Errors
/// There is no nats-server and none can be fetched.
pub async fn execute(arguments: Arguments, console: Console) -> Result<Exit, Failure> {
    let Arguments { rows, quick, components } = arguments;
    let options = Options {
        scale: if quick { Scale::QUICK } else { Scale::FULL },
        rows: NAMES.into_iter().filter(|name| rows.iter().any(|row| row == name)).collect(),
        components: components.map_or_else(Components::find, Components::in_directory),
    };
    let report =
        saggar_bench::run(&options, |row| console.note(format!("measuring {row}").dimmed().to_string()))
            .await
            .map_err(|error| Failure::new(Kind::Unavailable, error))?;
    let lines: Vec<Line> = report.rows.iter().map(Line).collect();
    console
        .answer(json!(report), format!("{}\n\n{}", machine(&report.machine).dimmed(), table::text(&lines)))?;
    Ok(Exit::Success)
}

/// A row as a person reads it.
#[derive(Serialize)]
struct Line<'a>(&'a Row);

impl table::Row for Line<'_> {
    const COLUMNS: &'static [Column] = &[
        Column::text("row"),
        Column::text("case"),
        Column::number("ours"),
        Column::number("limit"),
        Column::text("unit"),
        Column::number("ratio"),
        Column::number("spread"),
        Column::text("goal"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let nothing = || Cell::from("");
        match &self.0.cell {
            saggar_bench::Cell::Measured(figure) => vec![
                self.0.name.into(),
                figure.case.as_deref().unwrap_or_default().into(),
                number(figure.ours()).into(),
                number(figure.limit()).into(),
                figure.unit.into(),
                format!("{:.2}", figure.pairs.ratio()).into(),
                format!("{:.0} %", figure.pairs.spread() * 100.0).into(),
                goal(figure),
            ],
            saggar_bench::Cell::Missing(reason) => {
                let reason = Cell::styled(escape(reason), Style::new().yellow());
                let mut cells = vec![
                    self.0.name.into(),
                    nothing(),
                    nothing(),
                    nothing(),
                    nothing(),
                    nothing(),
                    nothing(),
                ];
                cells.push(reason);
                cells
            }
        }
    }
}

fn goal(figure: &Figure) -> Cell {
    let text = figure.goal.map(|goal| goal.to_string()).unwrap_or_default();
    match figure.is_met() {
        None => text.into(),
        Some(true) => Cell::styled(format!("{text} ✓"), Style::new().green()),
        Some(false) => Cell::styled(format!("{text} ✗"), Style::new().red()),
    }
}

/// Three figures that mean something, thousands apart.
fn number(value: f64) -> String {
    if value.abs() >= 1000.0 {
        let digits = format!("{value:.0}");
        let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
        groups.join(",")
    } else if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn machine(machine: &Machine) -> String {
    let Machine { processor, cores, memory, kernel, nats_server, saggar } = machine;
    let server = nats_server.as_deref().map(|release| format!("nats-server {release}, ")).unwrap_or_default();
    format!(
        "{processor}, {cores} threads, {}, Linux {kernel}, {server}saggar {saggar}",
        format_bytes(*memory)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_they_mean_something() {
        let shown = [0.1234, 12.34, 123.4, 1234.5, 1_234_567.0].map(number);
        assert_eq!(shown, ["0.12", "12.3", "123", "1,234", "1,234,567"]);
    }
}

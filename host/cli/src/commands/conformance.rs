//! `saggar conformance`: hostile plugins against this machine's sandbox.

use std::time::Duration;

use owo_colors::{OwoColorize, Style};
use saggar_conformance::{Attack, Checked, Checker};
use saggar_model::{escape, format_duration};
use saggar_sandbox::{Options, Sandbox};
use serde::Serialize;
use serde_json::json;

use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::table::{self, Cell, Column};

const EXAMPLES: &str = "\
Runs programs that attack the sandbox, each under limits of its own, and looks at what became of it,
at the host's memory and at a neighbour. Needs neither NATS nor a network. Ends with 1 if anything
did not hold.

Examples:
  saggar conformance
  saggar conformance endless-loop recursion --repeat 100
  saggar conformance --output json > conformance.json";

/// The arguments of `saggar conformance`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Attacks to run [default: all of them].
    #[arg(value_name = "ATTACK")]
    attacks: Vec<String>,

    /// How often each is run; one that does not hold every time has not held.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
}

/// Attacks, and prints a table.
///
/// # Errors
/// An attack is not known, or the sandbox does not start.
pub async fn execute(arguments: Arguments, console: Console) -> Result<Exit, Failure> {
    let attacks = chosen(&arguments.attacks)?;
    let failed = |error: &dyn std::fmt::Display| Failure::new(Kind::Internal, error.to_string());
    let sandbox = Sandbox::new(&Options::default()).map_err(|error| failed(&error))?;
    let checker = Checker::new(sandbox).await.map_err(|error| failed(&error))?;
    let mut lines = Vec::new();
    for attack in &attacks {
        console.note(format!("{}: {}", attack.id, attack.name).dimmed().to_string());
        let mut checked = checker.check(attack).await.map_err(|error| failed(&error))?;
        for _ in 1..arguments.repeat {
            if checked.passed {
                checked = checker.check(attack).await.map_err(|error| failed(&error))?;
            }
        }
        lines.push(Line(checked));
    }
    let broken = lines.iter().filter(|line| !line.0.passed).count();
    let summary = format!("{} of {} attacks held", lines.len() - broken, lines.len());
    console.answer(json!({ "rows": lines }), format!("{}\n\n{summary}", table::text(&lines)))?;
    Ok(if broken == 0 { Exit::Success } else { Exit::TaskFailed })
}

fn chosen(ids: &[String]) -> Result<Vec<Attack>, Failure> {
    let all = saggar_conformance::all();
    if let Some(unknown) = ids.iter().find(|id| !all.iter().any(|attack| attack.id == **id)) {
        let known: Vec<_> = all.iter().map(|attack| attack.id).collect();
        let reason = format!("there is no attack {}; there are {}", escape(unknown), known.join(", "));
        return Err(Failure::new(Kind::Usage, reason));
    }
    let is_chosen = |attack: &Attack| ids.is_empty() || ids.iter().any(|id| id == attack.id);
    Ok(all.into_iter().filter(is_chosen).collect())
}

/// An attack and what became of it.
struct Line(Checked);

impl Serialize for Line {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Checked { id, name, expected, actual, passed, took } = &self.0;
        let took = took.map(|took| took.as_secs_f64() * 1e3);
        let expected = expected.to_string();
        json!({ "id": id, "name": name, "expected": expected, "actual": actual, "passed": passed, "took_ms": took })
            .serialize(serializer)
    }
}

impl table::Row for Line {
    const COLUMNS: &'static [Column] = &[
        Column::text("attack"),
        Column::text("what it does"),
        Column::text("expected"),
        Column::number("took"),
        Column::text("actual"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let Checked { id, name, expected, actual, passed, took } = &self.0;
        let (mark, style) = if *passed { ("✓", Style::new().green()) } else { ("✗", Style::new().red()) };
        let rounded =
            |took: Duration| Duration::from_micros(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        vec![
            (*id).into(),
            (*name).into(),
            expected.to_string().into(),
            took.map(|took| format_duration(rounded(took))).unwrap_or_default().into(),
            Cell::styled(format!("{mark} {}", escape(actual)), style),
        ]
    }
}

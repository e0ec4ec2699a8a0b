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
use crate::local::compiler;
use crate::table::{self, Cell, Column};

const EXAMPLES: &str = "\
Runs programs that attack the sandbox, each under limits of its own, and looks at what became of it,
at the host's memory and at a neighbour. Needs neither NATS nor a network. Ends with 1 if anything
did not hold.

Examples:
  saggar conformance
  saggar conformance 1-endless-loop 29-recursion --repeat 100
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
    let checker = Checker::new(sandbox, compiler()?).await.map_err(|error| failed(&error))?;
    let (mut lines, mut late) = (Vec::new(), Vec::new());
    for attack in &attacks {
        console.note(format!("{}: {}", attack.id, attack.name).dimmed().to_string());
        let mut checked = checker.check(attack, arguments.repeat).await.map_err(|error| failed(&error))?;
        late.append(&mut checked.late);
        lines.push(Line::of(checked));
    }
    let broken = lines.iter().filter(|line| !line.passed).count();
    let late = percentile_99(late);
    let mut summary = format!("{}\n\n", table::text(&lines));
    if let Some(late) = late {
        summary += &format!(
            "99 % of the attempts that ran into their wall limit ended within {} of it\n",
            shown(late)
        );
    }
    summary += &format!("{} of {} attacks held", lines.len() - broken, lines.len());
    console.answer(json!({ "rows": lines, "late_p99_ms": late.map(milliseconds) }), summary)?;
    Ok(if broken == 0 { Exit::Success } else { Exit::TaskFailed })
}

/// The time that 99 % do not exceed.
fn percentile_99(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    let at = (times.len() * 99).div_ceil(100);
    times.get(at.checked_sub(1)?).copied()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn shown(time: Duration) -> String {
    format_duration(Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)))
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
#[derive(Debug, Serialize)]
struct Line {
    id: &'static str,
    name: &'static str,
    expected: String,
    actual: String,
    passed: bool,
    took_ms: Option<f64>,
    #[serde(skip)]
    took: Option<Duration>,
}

impl Line {
    fn of(checked: Checked) -> Self {
        let Checked { id, name, expected, actual, passed, took, late: _ } = checked;
        Self {
            id,
            name,
            expected: expected.to_string(),
            actual,
            passed,
            took_ms: took.map(milliseconds),
            took,
        }
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
        let Self { id, name, expected, actual, passed, took_ms: _, took } = self;
        let (mark, style) = if *passed { ("✓", Style::new().green()) } else { ("✗", Style::new().red()) };
        vec![
            (*id).into(),
            (*name).into(),
            expected.clone().into(),
            took.map(shown).unwrap_or_default().into(),
            Cell::styled(format!("{mark} {}", escape(actual)), style),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_most_do_not_exceed_is_one_of_theirs() {
        let times = |n: u64| (1..=n).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile_99(times(0)), None);
        assert_eq!(percentile_99(times(1)), Some(Duration::from_millis(1)));
        assert_eq!(percentile_99(times(200)), Some(Duration::from_millis(198)));
    }
}

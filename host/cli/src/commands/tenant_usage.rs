//! `saggar tenant usage`: what tenants have used, added up from their accounts.

use std::collections::BTreeMap;

use clap::ValueEnum;
use saggar_jetstream::{Nats, Tenants, Usages};
use saggar_model::{Counters, Day, Outcome, Spent, Tally, TenantName, format_bytes};
use serde::Serialize;
use serde_json::json;

use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::report::count;
use crate::table::{self, Cell, Column};

/// The arguments of `saggar tenant usage`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The tenant [default: all]
    tenant: Option<TenantName>,

    /// The first day, in UTC [default: the first of this month]
    #[arg(long, value_name = "DAY")]
    from: Option<Day>,

    /// The last day, in UTC [default: today]
    #[arg(long, value_name = "DAY")]
    to: Option<Day>,

    /// What to add up [default: by day for one tenant, by tenant for all]
    #[arg(long, value_enum)]
    by: Option<By>,
}

/// What the lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// A line for each tenant.
    Tenant,
    /// A line for each day of a tenant.
    Day,
    /// A line for each queue of a tenant.
    Queue,
    /// A line for each host that ran a tenant's tasks.
    Host,
}

#[derive(Debug, Serialize)]
struct Row {
    tenant: TenantName,
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// Tasks that ended, by outcome.
    tasks: BTreeMap<Outcome, u64>,
    #[serde(flatten)]
    charged: Amounts,
    compile_seconds: f64,
    /// The part of what is charged that stands in no result.
    apart: Amounts,
    /// What nobody is charged for.
    uncharged: Amounts,
}

#[derive(Debug, Serialize)]
struct Amounts {
    attempts: u64,
    fuel: u64,
    cpu_seconds: f64,
    duration_seconds: f64,
    gb_seconds: f64,
    bytes_in: u64,
    bytes_out: u64,
    log_bytes: u64,
    host_calls: u64,
}

impl From<Spent> for Amounts {
    fn from(spent: Spent) -> Self {
        let Spent { attempts, fuel, bytes_in, bytes_out, log_bytes, host_calls, .. } = spent;
        let (cpu_seconds, duration_seconds) = (seconds(spent.cpu_us), seconds(spent.duration_us));
        let gb_seconds = spent.gb_seconds();
        Self {
            attempts,
            fuel,
            cpu_seconds,
            duration_seconds,
            gb_seconds,
            bytes_in,
            bytes_out,
            log_bytes,
            host_calls,
        }
    }
}

impl Row {
    fn new(tenant: &TenantName, by: By, line: &str, counters: &Counters) -> Self {
        let line = |wanted| (by == wanted).then(|| line.to_owned());
        Self {
            tenant: tenant.clone(),
            day: line(By::Day),
            queue: line(By::Queue),
            host: line(By::Host),
            tasks: counters.tasks.clone(),
            charged: counters.charged().into(),
            compile_seconds: seconds(counters.compile_us),
            apart: counters.apart.into(),
            uncharged: counters.uncharged.into(),
        }
    }

    fn line(&self) -> &str {
        let line = self.day.as_ref().or(self.queue.as_ref()).or(self.host.as_ref());
        line.map_or("all", String::as_str)
    }
}

impl table::Row for Row {
    const COLUMNS: &'static [Column] = &[
        Column::text("tenant"),
        Column::text("line"),
        Column::number("tasks"),
        Column::number("succeeded"),
        Column::number("attempts"),
        Column::number("fuel"),
        Column::number("cpu s"),
        Column::number("GB-s"),
        Column::number("in"),
        Column::number("out"),
        Column::number("compile s"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let succeeded = self.tasks.get(&Outcome::Succeeded).copied().unwrap_or_default();
        vec![
            self.tenant.as_str().into(),
            self.line().into(),
            count(self.tasks.values().sum()).into(),
            count(succeeded).into(),
            count(self.charged.attempts).into(),
            count(self.charged.fuel).into(),
            format!("{:.3}", self.charged.cpu_seconds).into(),
            format!("{:.3}", self.charged.gb_seconds).into(),
            format_bytes(self.charged.bytes_in).into(),
            format_bytes(self.charged.bytes_out).into(),
            format!("{:.3}", self.compile_seconds).into(),
        ]
    }
}

/// Shows what was used.
///
/// # Errors
/// There is no such tenant, or NATS does not answer.
pub async fn execute(arguments: Arguments, nats: &Nats, console: Console) -> Result<Exit, Failure> {
    let Arguments { tenant, from, to, by } = arguments;
    let today = Day::of(nats.now());
    let (from, to) = (from.unwrap_or(today.first_of_month()), to.unwrap_or(today));
    if from > to {
        return Err(Failure::new(Kind::Usage, format!("--from {from} is after --to {to}")));
    }
    let by = by.unwrap_or(if tenant.is_some() { By::Day } else { By::Tenant });
    let accounts = Usages::new(nats).account(tenant.as_ref(), from, to).await?;
    if let Some(tenant) = tenant.filter(|tenant| !accounts.contains_key(tenant))
        && Tenants::new(nats).get(&tenant).await?.is_none()
    {
        return Err(Failure::new(Kind::NotFound, format!("there is no tenant {tenant}, and was none then")));
    }
    let rows: Vec<_> = accounts.iter().flat_map(|(tenant, tally)| rows(tenant, tally, by)).collect();
    if console.is_csv() {
        return console.line(csv(&rows)).map(|()| Exit::Success);
    }
    let meta = json!({ "from": from, "to": to });
    table::write(console, &rows, meta, &format!("nothing was used from {from} to {to}"))?;
    Ok(Exit::Success)
}

fn rows(tenant: &TenantName, tally: &Tally, by: By) -> Vec<Row> {
    let mut lines: BTreeMap<String, Counters> = BTreeMap::new();
    for (day, of_day) in tally.days() {
        let (name, of_lines) = match by {
            By::Tenant => (Some("all".to_owned()), &of_day.queues),
            By::Day => (Some(day.to_string()), &of_day.queues),
            By::Queue => (None, &of_day.queues),
            By::Host => (None, &of_day.hosts),
        };
        for (of, counters) in of_lines {
            lines.entry(name.clone().unwrap_or_else(|| of.clone())).or_default().add(counters);
        }
    }
    lines.iter().map(|(line, counters)| Row::new(tenant, by, line, counters)).collect()
}

/// One line for each row, with a column for each outcome.
fn csv(rows: &[Row]) -> String {
    let mut headings = vec!["tenant".to_owned(), "line".to_owned()];
    headings
        .extend(Outcome::ALL.iter().map(|outcome| format!("tasks_{}", outcome.as_str().replace('-', "_"))));
    let amounts = ["attempts", "fuel", "cpu_seconds", "gb_seconds", "bytes_in", "bytes_out", "log_bytes"];
    headings.extend(amounts.map(str::to_owned));
    headings
        .extend(["host_calls", "compile_seconds", "uncharged_attempts", "uncharged_fuel"].map(str::to_owned));
    let lines = rows.iter().map(|row| {
        let Row { tenant, tasks, charged, uncharged, compile_seconds, .. } = row;
        let mut cells = vec![tenant.to_string(), quoted(row.line())];
        cells.extend(Outcome::ALL.iter().map(|outcome| tasks.get(outcome).unwrap_or(&0).to_string()));
        cells.extend([charged.attempts, charged.fuel].map(|number| number.to_string()));
        cells.extend([charged.cpu_seconds, charged.gb_seconds].map(|number| number.to_string()));
        cells.extend(
            [charged.bytes_in, charged.bytes_out, charged.log_bytes].map(|number| number.to_string()),
        );
        cells.extend([charged.host_calls.to_string(), compile_seconds.to_string()]);
        cells.extend([uncharged.attempts, uncharged.fuel].map(|number| number.to_string()));
        cells.join(",")
    });
    std::iter::once(headings.join(",")).chain(lines).collect::<Vec<_>>().join("\n")
}

/// A text that is one cell, whatever is in it.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.bytes().all(plain) { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 285 years of microseconds")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use saggar_model::Bill;

    use super::*;

    fn account() -> Tally {
        let mut tally = Tally::default();
        for (queue, host, fuel) in [("a", "h1", 1), ("a", "h2", 2), ("b", "h2", 4)] {
            let spent = Spent { fuel, attempts: 1, cpu_us: 1500, ..Spent::default() };
            tally.charge(&Bill::apart(&queue.parse().unwrap(), host, spent, SystemTime::UNIX_EPOCH));
        }
        tally
    }

    #[test]
    fn lines_add_up_to_the_same_whatever_they_are() {
        let tenant = "acme".parse().unwrap();
        let of = |by| {
            rows(&tenant, &account(), by).into_iter().map(|row| (row.line().to_owned(), row.charged.fuel))
        };
        let named = |by| of(by).collect::<Vec<_>>();
        assert_eq!(named(By::Queue), [("a".to_owned(), 3), ("b".to_owned(), 4)]);
        assert_eq!(named(By::Host), [("h1".to_owned(), 1), ("h2".to_owned(), 6)]);
        assert_eq!(named(By::Day), [("1970-01-01".to_owned(), 7)]);
        assert_eq!(named(By::Tenant), [("all".to_owned(), 7)]);
    }

    #[test]
    fn csv_has_as_many_cells_as_headings_and_no_text_makes_another() {
        let rows = rows(&"acme".parse().unwrap(), &account(), By::Queue);
        let text = csv(&rows);
        let cells: Vec<_> = text.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(cells, vec![cells[0]; 3], "{text}");
        assert!(text.lines().nth(1).unwrap().starts_with("acme,a,0,"), "{text}");
        assert_eq!(quoted("a,\"b\"\n=1"), "\"a,\"\"b\"\"\n=1\"");
    }
}

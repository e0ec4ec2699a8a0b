//! The tables that the demonstration ends with.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};

use crate::answer::Answer;
use crate::client::Played;
use crate::quantile::quantile;

/// One line per queue: outcomes, times, fuel and memory.
pub fn queues(sets: &[&[Played<'_>]]) -> Table {
    let mut table = table(&[
        "tenant",
        "queue",
        "tasks",
        "outcomes",
        "run p50",
        "run p99",
        "queued p50",
        "queued p99",
        "fuel p50",
        "memory, most",
    ]);
    for ((tenant, queue), answers) in by_queue(sets) {
        let of = |part: fn(&Answer) -> Duration, q| millis(quantile(answers.iter().map(|one| part(one)), q));
        let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
        for answer in &answers {
            *outcomes.entry(&answer.status).or_default() += 1;
        }
        let outcomes: Vec<_> = outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        table.add_row([
            tenant.to_owned(),
            queue.to_owned(),
            answers.len().to_string(),
            outcomes.join(", "),
            of(|answer| answer.duration, 0.5),
            of(|answer| answer.duration, 0.99),
            of(|answer| answer.queued, 0.5),
            of(|answer| answer.queued, 0.99),
            millions(quantile(answers.iter().map(|answer| answer.fuel), 0.5)),
            mebibytes(answers.iter().map(|answer| answer.peak_memory).max()),
        ]);
    }
    for column in [2, 4, 5, 6, 7, 8, 9] {
        right(&mut table, column);
    }
    table
}

/// One line per hostile task: how it ended, and why.
pub fn hostile(set: &[Played<'_>]) -> Table {
    let mut table = table(&["queue", "outcome", "attempts", "run", "fuel", "memory", "reason"]);
    for Played { job, answers, .. } in set {
        let Some(answer) = answers.first() else { continue };
        table.add_row([
            job.queue.to_owned(),
            answer.status.clone(),
            answer.attempt.to_string(),
            millis(Some(answer.duration)),
            millions(Some(answer.fuel)),
            mebibytes(Some(answer.peak_memory)),
            answer.reason().unwrap_or_default(),
        ]);
    }
    for column in 2..=5 {
        right(&mut table, column);
    }
    table
}

/// The same tasks before and beside the hostile ones, from publishing to the result.
pub fn neighbours(before: &[Played<'_>], beside: &[Played<'_>]) -> Table {
    let mut table =
        table(&["tenant", "queue", "tasks", "p50 before", "p50 beside", "p99 before", "p99 beside"]);
    let (before, beside) = (latencies(before), latencies(beside));
    for ((tenant, queue), times) in &before {
        let none = Vec::new();
        let others = beside.get(&(*tenant, *queue)).unwrap_or(&none);
        let of = |times: &[Duration], q| millis(quantile(times.iter().copied(), q));
        table.add_row([
            (*tenant).to_owned(),
            (*queue).to_owned(),
            times.len().to_string(),
            of(times, 0.5),
            of(others, 0.5),
            of(times, 0.99),
            of(others, 0.99),
        ]);
    }
    for column in 2..=6 {
        right(&mut table, column);
    }
    table
}

type Queue = (&'static str, &'static str);

fn by_queue<'a>(sets: &[&'a [Played<'_>]]) -> BTreeMap<Queue, Vec<&'a Answer>> {
    let mut queues: BTreeMap<Queue, Vec<&Answer>> = BTreeMap::new();
    for Played { job, answers, .. } in sets.iter().copied().flatten() {
        queues.entry((job.tenant, job.queue)).or_default().extend(answers);
    }
    queues
}

fn latencies(set: &[Played<'_>]) -> BTreeMap<Queue, Vec<Duration>> {
    let mut queues: BTreeMap<Queue, Vec<Duration>> = BTreeMap::new();
    for played in set {
        queues.entry((played.job.tenant, played.job.queue)).or_default().extend(played.latency());
    }
    queues
}

fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(columns);
    table
}

fn right(table: &mut Table, column: usize) {
    if let Some(column) = table.column_mut(column) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn millis(time: Option<Duration>) -> String {
    time.map_or_else(String::new, |time| format!("{:.1} ms", time.as_secs_f64() * 1e3))
}

fn millions(fuel: Option<u64>) -> String {
    fuel.map_or_else(String::new, |fuel| format!("{}.{} M", fuel / 1_000_000, fuel / 100_000 % 10))
}

fn mebibytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(String::new, |bytes| format!("{}.{} MiB", bytes >> 20, ((bytes & 0xF_FFFF) * 10) >> 20))
}

//! The tables that the demonstration ends with.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::answer::Answer;
use crate::client::Played;
use crate::quantile::quantile;
use crate::table::Table;

/// How much of a reason is shown, in characters. A panic's holds the path of its source.
const REASON: usize = 72;

/// One line per queue: outcomes, times, fuel and memory.
pub fn queues(sets: &[&[Played<'_>]]) -> Table {
    let mut table = Table::new(&[
        "tenant",
        "queue",
        "outcomes",
        ">run p50",
        ">run p99",
        ">queued p50",
        ">queued p99",
        ">fuel p50",
        ">memory, most",
    ]);
    for ((tenant, queue), answers) in by_queue(sets) {
        let of = |part: fn(&Answer) -> Duration, q| millis(quantile(answers.iter().map(|one| part(one)), q));
        let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
        for answer in &answers {
            *outcomes.entry(&answer.status).or_default() += 1;
        }
        let outcomes: Vec<_> = outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        table.row([
            tenant.to_owned(),
            queue.to_owned(),
            outcomes.join(", "),
            of(|answer| answer.duration, 0.5),
            of(|answer| answer.duration, 0.99),
            of(|answer| answer.queued, 0.5),
            of(|answer| answer.queued, 0.99),
            fuel(quantile(answers.iter().map(|answer| answer.fuel), 0.5)),
            mebibytes(answers.iter().map(|answer| answer.peak_memory).max()),
        ]);
    }
    table
}

/// One line per hostile task: how it ended, and why.
pub fn hostile(set: &[Played<'_>]) -> Table {
    let mut table = Table::new(&["queue", "outcome", ">attempts", "reason"]);
    for Played { job, answers, .. } in set {
        let Some(answer) = answers.first() else { continue };
        let mut reason = answer.reason().unwrap_or_default();
        if let Some((end, _)) = reason.char_indices().nth(REASON) {
            reason.truncate(end);
            reason.push('…');
        }
        table.row([job.queue.to_owned(), answer.status.clone(), answer.attempt.to_string(), reason]);
    }
    table
}

/// The same tasks before and beside the hostile ones, from publishing to the result.
pub fn neighbours(before: &[Played<'_>], beside: &[Played<'_>]) -> Table {
    let mut table = Table::new(&[
        "tenant",
        "queue",
        ">tasks",
        ">p50 before",
        ">p50 beside",
        ">p99 before",
        ">p99 beside",
    ]);
    let (before, beside) = (latencies(before), latencies(beside));
    let mut add = |tenant: &str, queue: &str, before: &[Duration], beside: &[Duration]| {
        let of = |times: &[Duration], q| millis(quantile(times.iter().copied(), q));
        table.row([
            tenant.to_owned(),
            queue.to_owned(),
            before.len().to_string(),
            of(before, 0.5),
            of(beside, 0.5),
            of(before, 0.99),
            of(beside, 0.99),
        ]);
    };
    for ((tenant, queue), times) in &before {
        add(tenant, queue, times, beside.get(&(*tenant, *queue)).map_or(&[], Vec::as_slice));
    }
    let all = |times: BTreeMap<Queue, Vec<Duration>>| times.into_values().flatten().collect::<Vec<_>>();
    add("all", "", &all(before), &all(beside));
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

fn millis(time: Option<Duration>) -> String {
    time.map_or_else(String::new, |time| format!("{:.1} ms", time.as_secs_f64() * 1e3))
}

fn fuel(fuel: Option<u64>) -> String {
    fuel.map_or_else(String::new, |fuel| match fuel {
        0..1_000_000 => format!("{}.{} k", fuel / 1_000, fuel / 100 % 10),
        _ => format!("{}.{} M", fuel / 1_000_000, fuel / 100_000 % 10),
    })
}

fn mebibytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(String::new, |bytes| format!("{}.{} MiB", bytes >> 20, ((bytes & 0xF_FFFF) * 10) >> 20))
}

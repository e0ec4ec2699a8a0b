//! What tenants have used is what their results say, to the digit, whatever hosts are killed meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use saggar_harness::{SaggarProcess, eventually};
use saggar_jetstream::{Nats, Results, StoredResult, Target, Usages};
use saggar_model::{Outcome, Spent};
use serde_json::Value;

use crate::stage::{SOON, Stage, get};

/// A lost host is found by its heartbeat, and its tasks by the server, half a minute later.
const RECOVERED: Duration = Duration::from_mins(3);

/// Attempts follow each other soon, and wait in timers where the guest asks for it.
const QUICK: &str = "concurrency = 64\nretry = { attempts = 3, base = '10ms', cap = '20ms' }";

/// What the account of the stage's tenant says, by `by`: (line, row).
async fn usage(stage: &Stage, by: &str) -> BTreeMap<String, Value> {
    let args = ["tenant", "usage", stage.tenant.as_str(), "--by", by, "--output", "json"];
    let answer = stage.run(&args).await.expect_code(0);
    let document: Value = serde_json::from_slice(&answer.stdout).expect("one object");
    let rows = document["data"]["rows"].as_array().expect("rows").clone();
    let line = |row: &Value| row[by].as_str().unwrap_or("all").to_owned();
    rows.into_iter().map(|row| (line(&row), row)).collect()
}

/// Tasks by outcome, and what stands for all of what they cost.
type Sums = (BTreeMap<String, u64>, BTreeMap<&'static str, u64>);

const AMOUNTS: [&str; 6] = ["attempts", "fuel", "bytes_in", "bytes_out", "log_bytes", "host_calls"];

/// The sum over lines, without what stands in no result.
fn shown(lines: &BTreeMap<String, Value>) -> Sums {
    let (mut tasks, mut amounts) = (BTreeMap::new(), BTreeMap::new());
    for row in lines.values() {
        for (outcome, count) in row["tasks"].as_object().expect("tasks by outcome") {
            *tasks.entry(outcome.clone()).or_default() += count.as_u64().expect("a number");
        }
        for amount in AMOUNTS {
            let of = |row: &Value| row[amount].as_u64().expect("a number");
            *amounts.entry(amount).or_default() += of(row) - of(&row["apart"]);
        }
    }
    (tasks, amounts)
}

async fn nats(stage: &Stage) -> Nats {
    Nats::connect(&Target::at(&stage.server.url()), "test").await.expect("it answers")
}

async fn results(stage: &Stage) -> Vec<StoredResult> {
    Results::new(&nats(stage).await).list(&stage.tenant, None, 0, 10_000).await.expect("it lists results")
}

/// The same sums, of the results themselves.
fn added_up(results: &[StoredResult]) -> Sums {
    let (mut tasks, mut sum) = (BTreeMap::new(), Spent::default());
    for StoredResult { result, .. } in results {
        *tasks.entry(result.outcome.as_str().to_owned()).or_default() += 1;
        let earlier = result.earlier.total();
        let ran = u64::from(result.receipt.attempt) > earlier.attempts;
        sum = sum.plus(earlier).plus(Spent::of(&result.receipt, ran));
    }
    let Spent { attempts, fuel, bytes_in, bytes_out, log_bytes, host_calls, .. } = sum;
    (tasks, AMOUNTS.into_iter().zip([attempts, fuel, bytes_in, bytes_out, log_bytes, host_calls]).collect())
}

/// Waits until the account has all results, then compares: by tenant, by queue and by host.
async fn is_equal_to_the_results(stage: &Stage) {
    let wanted = added_up(&results(stage).await);
    eventually("the account has every result", RECOVERED, || async {
        let (tasks, _) = shown(&usage(stage, "tenant").await);
        (tasks == wanted.0).then_some(())
    })
    .await;
    for by in ["tenant", "day", "queue", "host"] {
        assert_eq!(shown(&usage(stage, by).await), wanted, "by {by}");
    }
}

fn signal(host: &SaggarProcess, name: &str) {
    let pid = host.pid().expect("the host runs").to_string();
    let sent = std::process::Command::new("kill").args([name, &pid]).status().expect("kill is there");
    assert!(sent.success());
}

#[tokio::test]
async fn after_kill_9_the_account_is_the_sum_of_all_results() {
    const TASKS: usize = 60;
    let stage = Stage::new("metered").await;
    let [mut first, mut second, _third] =
        [stage.host("host-1", "").await, stage.host("host-2", "").await, stage.host("host-3", "").await];
    stage.apply(&["fails", "sleeps"], QUICK).await;
    for n in 0..TASKS {
        let how = ["until 1", "until 2", "until 3", "retry", "reject", "retry-after 5500"][n % 6];
        stage.publish("fails", &format!("f{n}"), how).await;
        stage.publish("sleeps", &format!("s{n}"), if n % 2 == 0 { "20" } else { "1500" }).await;
    }
    for n in 0..6 {
        let (task, id) = (format!("sleeps/late{n}"), format!("late{n}"));
        let delayed = ["task", "submit", "sleeps", "1", "--id", &id, "--in", "1h"];
        stage.run(&delayed).await.expect_code(0);
        stage.run(&["task", "cancel", &task]).await.expect_code(0);
    }
    eventually("a part of the tasks has ended", SOON, || async {
        (stage.results().await >= TASKS as u64 / 2).then_some(())
    })
    .await;
    first.kill_9().await;
    let _again = stage.host("host-1", "").await;
    second.kill_9().await;
    let all = 2 * TASKS as u64 + 6;
    eventually("every task has a result", RECOVERED, || async {
        (stage.results().await == all && stage.queued().await == 0).then_some(())
    })
    .await;
    is_equal_to_the_results(&stage).await;

    let (tasks, amounts) = shown(&usage(&stage, "tenant").await);
    assert_eq!((tasks["cancelled"], tasks["rejected"]), (6, TASKS as u64 / 6), "{tasks:?}");
    assert!(amounts["attempts"] > 2 * TASKS as u64, "attempts that failed count: {amounts:?}");
    let hosts = usage(&stage, "host").await;
    assert!(hosts.contains_key("host-1") && hosts.contains_key("host-3"), "{hosts:?}");
}

#[tokio::test]
async fn a_host_that_was_frozen_and_wakes_goes_on_in_another_book() {
    let stage = Stage::new("metered-frozen").await;
    let frozen = stage.host("host-1", "").await;
    stage.apply(&["fails"], QUICK).await;
    for n in 0..20 {
        stage.publish("fails", &format!("before{n}"), "until 1").await;
    }
    stage.drained().await;
    let other = stage.host("host-2", "").await;
    signal(&frozen, "-STOP");
    other.wait_for_text("the usage of a host that is gone is in the account", RECOVERED).await;
    signal(&frozen, "-CONT");
    drop(other);
    for n in 0..20 {
        stage.publish("fails", &format!("after{n}"), "until 2").await;
    }
    eventually("every task has a result", RECOVERED, || async {
        (stage.results().await == 40 && stage.queued().await == 0).then_some(())
    })
    .await;
    is_equal_to_the_results(&stage).await;
}

#[tokio::test]
async fn a_task_that_is_cancelled_while_it_computes_is_charged_for_what_it_computed() {
    let stage = Stage::new("metered-cancel").await;
    let host = stage.start_host("host-1", "");
    let url = host.wait_for_url(SOON).await;
    stage.apply(&["spin"], "limits = { fuel = 1_000_000_000_000, timeout = '5m' }").await;
    stage.publish("spin", "a", "").await;
    stage.running("spin", 1).await;
    stage.run(&["task", "cancel", "spin/a"]).await.expect_code(0);
    let result = stage.result("spin", "a").await;
    assert_eq!((result.outcome, result.receipt.fuel), (Outcome::Cancelled, 0));
    let apart = eventually("it is charged", SOON, || async {
        let rows = usage(&stage, "queue").await;
        let row = rows.get("spin")?;
        (row["apart"]["fuel"].as_u64()? > 0).then(|| row.clone())
    })
    .await;
    assert_eq!(
        (&apart["tasks"]["cancelled"], &apart["apart"]["attempts"]),
        (&1.into(), &1.into()),
        "{apart}"
    );
    assert_eq!(apart["fuel"], apart["apart"]["fuel"]);
    assert!(apart["cpu_seconds"].as_f64().unwrap() > 0.0 && apart["gb_seconds"].as_f64().unwrap() > 0.0);
    assert!(apart["compile_seconds"].is_number());
    let (_, metrics) = get(&format!("{url}/metrics")).await.expect("the host answers");
    for name in ["saggar_cpu_seconds_total", "saggar_memory_byte_seconds_total", "saggar_bytes_in_total"] {
        let line = format!("{name}{{tenant=\"metered-cancel\",queue=\"spin\"}}");
        assert!(metrics.contains(&line), "{line} in\n{metrics}");
    }
}

#[tokio::test]
async fn a_host_that_leaves_writes_its_books_and_nobody_pays_for_what_it_cut_short() {
    let stage = Stage::new("metered-drain").await;
    let mut first = stage.host("host-1", "drain = '1s'").await;
    stage.apply(&["spin", "fails"], "limits = { fuel = 1_000_000_000_000, timeout = '5m' }").await;
    stage.publish("fails", "a", "until 1").await;
    stage.result("fails", "a").await;
    stage.publish("spin", "b", "").await;
    stage.running("spin", 1).await;
    first.terminate();
    assert_eq!(first.wait(SOON).await.code(), Some(0));
    let books =
        Usages::new(&nats(&stage).await).books(Some(&stage.tenant), None).await.expect("it lists books");
    assert_eq!(books, [], "in the account, so that nobody has to look for results behind them");
    let rows = usage(&stage, "queue").await;
    assert_eq!(rows["fails"]["tasks"]["succeeded"], 1, "written before it left: {rows:?}");
    assert!(rows["spin"]["uncharged"]["fuel"].as_u64() > Some(0), "{rows:?}");
    assert_eq!((&rows["spin"]["fuel"], &rows["spin"]["tasks"]), (&0.into(), &serde_json::json!({})));
}

#[tokio::test]
async fn usage_is_shown_as_a_table_as_json_and_as_csv() {
    let (stage, _host) = Stage::with_host("metered-shown", &["fails"]).await;
    let nothing = stage.run(&["tenant", "usage", "nobody"]).await.expect_code(66);
    assert!(nothing.stderr.contains("there is no tenant nobody"), "{}", nothing.stderr);
    stage.publish("fails", "a", "until 1").await;
    stage.result("fails", "a").await;
    eventually("it is written", SOON, || async {
        usage(&stage, "day").await.values().any(|row| row["tasks"]["succeeded"] == 1).then_some(())
    })
    .await;
    let table = stage.run(&["tenant", "usage"]).await.expect_code(0).text();
    assert!(table.contains("GB-S") && table.contains("metered-shown  all"), "{table}");
    let csv = stage.run(&["tenant", "usage", "--by", "queue", "--output", "csv"]).await.expect_code(0).text();
    assert!(
        csv.starts_with("tenant,line,tasks_succeeded,") && csv.contains("\nmetered-shown,fails,1,"),
        "{csv}"
    );
    let today = stage.run(&["tenant", "ls"]).await.expect_code(0).text();
    assert!(today.contains("TASKS TODAY"), "{today}");
    stage.run(&["queue", "ls", "--output", "csv"]).await.expect_code(2);
    let args = ["tenant", "usage", "--from", "2026-02-02", "--to", "2026-02-01"];
    stage.run(&args).await.expect_code(2);
}

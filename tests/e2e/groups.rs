//! A task that waits for others: it starts once, when all have ended, and holds no place meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use saggar_harness::eventually;
use saggar_model::{Outcome, TaskRef, TaskResult};
use serde_json::{Value, json};

use crate::stage::{SOON, Stage};

/// Tasks of a killed host come back when the server has waited half a minute for a sign of life.
const REDELIVERY: Duration = Duration::from_mins(2);

const GRANTED: &str = "[queue.grants]\nsubmit = ['submits', 'works', 'fails']";

fn outcomes(result: &TaskResult) -> Value {
    assert_eq!(result.outcome, Outcome::Succeeded, "{:?}", result.reason());
    serde_json::from_slice(&result.payload).expect("it is JSON")
}

/// The children of which the waiting task heard, by name.
fn heard(of: &Value) -> BTreeMap<String, String> {
    let pairs: Vec<(String, String)> = serde_json::from_value(of.clone()).expect("it is a list of pairs");
    pairs.into_iter().collect()
}

async fn queues(stage: &Stage, settings: &str) {
    let once = "retry = { attempts = 1 }";
    let submits = format!("{settings}\n{GRANTED}");
    stage
        .apply_queues(&[
            ("submits", "submits", &submits),
            ("works", "sleeps", "concurrency = 16"),
            ("fails", "fails", once),
        ])
        .await;
}

async fn named(stage: &Stage, name: &Value, within: Duration) -> TaskResult {
    let TaskRef { queue, id } = name.as_str().expect("it was submitted").parse().expect("it is a task");
    stage.result_within(queue.as_str(), id.as_str(), within).await
}

/// What is left of groups.
async fn groups_left(stage: &Stage) -> usize {
    stage.subjects("SAGGAR_STATE").await.keys().filter(|subject| subject.contains(".group.")).count()
}

#[tokio::test]
async fn it_hears_how_each_ended_and_reads_the_results() {
    let stage = Stage::new("group").await;
    let _host = stage.host("host-1", "").await;
    queues(&stage, "").await;
    let after =
        json!([["ended"], ["result", "works/one"], ["result", "works/other"], ["header", "Saggar-Joins"]]);
    let steps = json!([
        ["join", "submits", after.to_string(), "3"],
        ["submit", "works", "1", "id=one", "group=0"],
        ["submit", "fails", "reject", "id=two", "group=0"],
        ["submit", "works", "300", "id=three", "group=0"],
    ]);
    stage.publish("submits", "a", steps.to_string()).await;
    let done = outcomes(&stage.result("submits", "a").await);
    let found = outcomes(&named(&stage, &done[0], SOON).await);
    let all = [("fails/two", "rejected"), ("works/one", "succeeded"), ("works/three", "succeeded")];
    assert_eq!(heard(&found[0]), all.map(|(name, outcome)| (name.to_owned(), outcome.to_owned())).into());
    assert_eq!(found[1], json!(["succeeded", "awake"]));
    assert_eq!((&found[2]["error"], &found[3]), (&json!("Invalid"), &json!("3")));
    stage.drained().await;
    assert_eq!((groups_left(&stage).await, stage.messages("SAGGAR_TIMERS_group").await), (0, 0));
}

#[tokio::test]
async fn it_waits_without_a_place_among_the_running() {
    let stage = Stage::new("placeless").await;
    let _host = stage.host("host-1", "slots = 4").await;
    queues(&stage, "concurrency = 1").await;
    let steps = json!([["join", "submits", "[]", "1"], ["submit", "works", "3000", "id=long", "group=0"]]);
    stage.publish("submits", "a", steps.to_string()).await;
    let done = outcomes(&stage.result("submits", "a").await);
    let name = done[0].as_str().expect("it is there");
    let shown = stage.run(&["task", "get", name, "--output", "json"]).await.expect_code(0);
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("it is JSON");
    assert_eq!(shown["data"]["state"], "delayed");
    stage.publish("submits", "b", "[]").await;
    assert_eq!(outcomes(&stage.result("submits", "b").await), json!([]), "the only place is free");
    assert_eq!(outcomes(&named(&stage, &done[0], SOON).await), json!([]));
}

#[tokio::test]
async fn with_hosts_killed_between_it_starts_once_and_hears_of_all_hundred() {
    const CHILDREN: u64 = 100;
    let stage = Stage::new("fan-in").await;
    let mut first = stage.host("host-1", "").await;
    queues(&stage, "").await;
    let after = json!([["ended"]]).to_string();
    let steps = json!([["join", "submits", after, "100"], ["many", "works", "100", "group=0"]]);
    stage.publish("submits", "a", steps.to_string()).await;
    let done = outcomes(&stage.result("submits", "a").await);
    eventually("some children have ended", SOON, || async { (stage.results().await > 20).then_some(()) })
        .await;
    first.kill_9().await;
    let mut second = stage.host("host-2", "").await;
    eventually("more children have ended", REDELIVERY, || async {
        (stage.results().await > 60).then_some(())
    })
    .await;
    second.kill_9().await;
    let _third = stage.host("host-3", "").await;
    let found = outcomes(&named(&stage, &done[0], REDELIVERY * 2).await);
    let heard = heard(&found[0]);
    assert_eq!(heard.len() as u64, CHILDREN);
    assert!(heard.values().all(|outcome| outcome == "succeeded"), "{heard:?}");
    eventually("every task is acknowledged", REDELIVERY, || async {
        (stage.queued().await == 0).then_some(())
    })
    .await;
    assert_eq!(stage.results().await, CHILDREN + 2);
    assert_eq!((groups_left(&stage).await, stage.messages("SAGGAR_TIMERS_fan-in").await), (0, 0));
}

#[tokio::test]
async fn a_parent_that_is_tried_again_does_not_make_it_wait_or_start_twice() {
    let stage = Stage::new("twice").await;
    let _host = stage.host("host-1", "").await;
    queues(&stage, "retry = { attempts = 3, base = '300ms', cap = '400ms' }").await;
    let steps = json!([
        ["join", "submits", "[[\"ended\"]]", "2"],
        ["submit", "works", "1", "id=one", "group=0"],
        ["submit", "works", "2", "id=two", "group=0"],
        ["until", "3"],
    ]);
    stage.publish("submits", "a", steps.to_string()).await;
    let done = outcomes(&stage.result("submits", "a").await);
    assert_eq!(heard(&outcomes(&named(&stage, &done[0], SOON).await)[0]).len(), 2);
    stage.drained().await;
    assert_eq!(stage.results().await, 4);
    assert_eq!(stage.messages("SAGGAR_TIMERS_twice").await, 0);
}

#[tokio::test]
async fn a_child_that_is_cancelled_has_ended_too() {
    let stage = Stage::new("cancelled").await;
    let _host = stage.host("host-1", "").await;
    queues(&stage, "").await;
    let steps = json!([
        ["join", "submits", "[[\"ended\"]]", "2"],
        ["submit", "works", "1", "id=far", "group=0", "delay=86400000"],
        ["submit", "works", "60000", "id=long", "group=0"],
    ]);
    stage.publish("submits", "a", steps.to_string()).await;
    let done = outcomes(&stage.result("submits", "a").await);
    stage.running("works", 1).await;
    for task in ["works/far", "works/long"] {
        stage.run(&["task", "cancel", task]).await.expect_code(0);
    }
    let heard = heard(&outcomes(&named(&stage, &done[0], SOON).await)[0]);
    let both = ["works/far", "works/long"].map(|task| (task.to_owned(), "cancelled".to_owned()));
    assert_eq!(heard, both.into());
}

#[tokio::test]
async fn it_waits_for_nobody_or_no_longer_than_it_was_told() {
    let stage = Stage::new("bounded").await;
    let _host = stage.host("host-1", "").await;
    queues(&stage, "").await;
    let steps = json!([
        ["join", "submits", "[[\"ended\"]]", "0"],
        ["join", "submits", "[[\"ended\"]]", "2", "delay=2000"],
        ["submit", "works", "1", "id=one", "group=1"],
    ]);
    stage.publish("submits", "a", steps.to_string()).await;
    let done = outcomes(&stage.result("submits", "a").await);
    assert_eq!(heard(&outcomes(&named(&stage, &done[0], SOON).await)[0]).len(), 0);
    assert_eq!(heard(&outcomes(&named(&stage, &done[1], SOON).await)[0]).len(), 1, "one of two");
}

#[tokio::test]
async fn a_thousand_are_waited_for_as_well() {
    let stage = Stage::new("thousand-fold").await;
    let _host = stage.host("host-1", "").await;
    let granted = "[queue.grants]\nsubmit = ['submits', 'echo']";
    stage.apply_queues(&[("submits", "submits", granted), ("echo", "echo", "")]).await;
    let steps = json!([["join", "submits", "[[\"ended\"]]", "1000"], ["many", "echo", "1000", "group=0"]]);
    stage.publish("submits", "a", steps.to_string()).await;
    let done = outcomes(&stage.result("submits", "a").await);
    assert_eq!(done[1], 1000);
    let found = named(&stage, &done[0], SOON).await;
    assert_eq!(heard(&outcomes(&found)[0]).len(), 1000);
}

#[tokio::test]
async fn a_plugin_that_splits_a_file_puts_it_together_again() {
    let stage = Stage::new("totals").await;
    let _host = stage.host("host-1", "").await;
    stage.apply_queues(&[("totals", "csv-totals", "[queue.grants]\nsubmit = ['totals']")]).await;
    let rows: Vec<_> = (0..500).map(|n| format!("{},{n}", ["NL", "DE"][n % 2])).collect();
    let asked = [("Totals-Column", "amount"), ("Totals-By", "country"), ("Totals-Rows", "10")];
    stage.publish_with("totals", "a", format!("country,amount\n{}\n", rows.join("\n")), &asked).await;
    let split = stage.result("totals", "a").await;
    let split: Value = serde_json::from_slice(&split.payload).expect("it is JSON");
    assert_eq!(split["parts"], 50);
    let totals = named(&stage, &split["task"], SOON).await;
    assert_eq!(totals.parent, "totals/a".parse().ok());
    let totals: Value = serde_json::from_slice(&totals.payload).expect("it is JSON");
    assert_eq!(totals, json!({ "parts": 50, "rows": 500, "totals": { "DE": 62500.0, "NL": 62250.0 } }));
}

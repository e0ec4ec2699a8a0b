//! A cancelled task is over, whether it waited or ran, and whoever asks again hears the same.

use std::time::Duration;

use saggar_model::{Outcome, TaskResult};
use serde_json::Value;

use crate::stage::{SOON, Stage};

/// How a task was, in the words of the command.
async fn cancel(stage: &Stage, task: &str) -> String {
    let done = stage.run(&["task", "cancel", task, "--output", "json"]).await.expect_code(0);
    let document: Value = serde_json::from_slice(&done.stdout).expect("one object");
    let row = &document["data"]["rows"][0];
    assert_eq!(row["task"], task);
    row["was"].as_str().expect("it says where the task was").to_owned()
}

fn is_cancelled(result: &TaskResult) {
    assert_eq!(result.outcome, Outcome::Cancelled, "{:?}", result.reason());
}

#[tokio::test]
async fn a_task_that_waits_is_gone_before_it_is_started() {
    let stage = Stage::new("cancel-queued").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["sleeps"], "concurrency = 1").await;
    stage.publish("sleeps", "long", "").await;
    stage.running("sleeps", 1).await;
    stage.publish("sleeps", "behind", "").await;
    assert_eq!(cancel(&stage, "sleeps/behind").await, "queued");
    is_cancelled(&stage.result("sleeps", "behind").await);
    assert_eq!((stage.queued().await, stage.dead().await), (1, 0), "the other goes on");
    assert_eq!(cancel(&stage, "sleeps/behind").await, "ended", "asked again");
}

#[tokio::test]
async fn a_task_that_runs_is_ended_and_its_place_is_free() {
    let stage = Stage::new("cancel-running").await;
    let _hosts = [stage.host("host-1", "").await, stage.host("host-2", "").await];
    stage.apply(&["sleeps", "spin"], "concurrency = 1\nlimits = { fuel = 1_000_000_000_000 }").await;
    for (queue, id) in [("sleeps", "a"), ("spin", "b")] {
        stage.publish(queue, id, "").await;
        stage.running(queue, 1).await;
        assert_eq!(cancel(&stage, &format!("{queue}/{id}")).await, "running");
        is_cancelled(&stage.result(queue, id).await);
        stage.running(queue, 0).await;
    }
    stage.drained().await;
    stage.publish("sleeps", "next", "1").await;
    assert_eq!(stage.result("sleeps", "next").await.outcome, Outcome::Succeeded);
    assert_eq!(stage.dead().await, 0);
}

#[tokio::test]
async fn a_guest_that_asks_gets_the_grace_to_end_by_itself() {
    let stage = Stage::new("cancel-grace").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["waits"], "cancel_grace = '5m'\nlimits = { timeout = '10m' }").await;
    stage.publish("waits", "a", "").await;
    stage.running("waits", 1).await;
    assert_eq!(cancel(&stage, "waits/a").await, "running");
    // It asks for a retry, and gets none.
    stage.drained().await;
    is_cancelled(&stage.result("waits", "a").await);
    assert_eq!(stage.dead().await, 0);
}

#[tokio::test]
async fn a_task_that_waits_for_its_next_attempt_gets_none() {
    let stage = Stage::new("cancel-retry").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["fails"], "retry = { attempts = 5, base = '1ms', cap = '1ms' }").await;
    stage.publish("fails", "a", "retry-after 2000").await;
    stage.running("fails", 1).await;
    assert_eq!(cancel(&stage, "fails/a").await, "running");
    stage.drained().await;
    let result = stage.result("fails", "a").await;
    is_cancelled(&result);
    assert!(result.receipt.duration < Duration::from_secs(1), "what was cancelled is not run: {result:?}");
    assert_eq!(stage.dead().await, 0);
}

#[tokio::test]
async fn a_task_without_an_id_is_cancelled_by_the_name_the_host_made() {
    let stage = Stage::new("cancel-nameless").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["sleeps"], "").await;
    let submitted = stage.run(&["task", "submit", "sleeps", ""]).await.expect_code(0).text();
    let task = submitted.trim();
    assert!(task.starts_with("sleeps/seq-"), "{task}");
    stage.running("sleeps", 1).await;
    assert_eq!(cancel(&stage, task).await, "running");
    stage.drained().await;
}

#[tokio::test]
async fn a_delayed_task_is_gone_before_it_is_due() {
    let stage = Stage::new("cancel-delayed").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["echo", "fails"], "retry = { base = '1h', cap = '2h' }").await;
    stage.run(&["task", "submit", "echo", "x", "--id", "later", "--in", "1h"]).await.expect_code(0);
    assert_eq!(cancel(&stage, "echo/later").await, "delayed");
    is_cancelled(&stage.result("echo", "later").await);
    // A retry that is far away is a timer, too.
    stage.publish("fails", "b", "retry-after 3600000").await;
    stage.drained().await;
    assert_eq!(cancel(&stage, "fails/b").await, "delayed");
    is_cancelled(&stage.result("fails", "b").await);
    let timers = stage.messages("SAGGAR_TIMERS_cancel-delayed").await;
    assert_eq!((timers, stage.dead().await), (0, 0));
}

#[tokio::test]
async fn any_client_can_ask_and_is_answered() {
    let (stage, host) = Stage::with_host("cancel-client", &["sleeps"]).await;
    let ask = async |task: &str| -> Value {
        let subject = format!("saggar.cancel-client.control.cancel.{task}");
        let asked = tokio::time::timeout(SOON, stage.client.request(subject, "".into())).await;
        serde_json::from_slice(&asked.expect("in time").expect("a host answers").payload).expect("JSON")
    };
    stage.publish("sleeps", "a", "").await;
    stage.running("sleeps", 1).await;
    let answer = ask("sleeps.a").await;
    assert_eq!(answer["data"]["outcome"], "cancelled", "{answer}");
    assert_eq!(ask("sleeps.a").await["data"]["was"], "ended");
    for (task, code) in [("sleeps.b", "not-found"), ("nope.a", "not-found"), ("sleeps.ä", "invalid")] {
        let answer = ask(task).await;
        assert_eq!(answer["code"], code, "{answer}");
        assert!(answer["detail"].is_string() && answer["title"].is_string(), "{answer}");
    }
    drop(host);
}

#[tokio::test]
async fn without_a_host_nobody_can_cancel_and_that_is_said() {
    let (stage, mut host) = Stage::with_host("cancel-alone", &["sleeps"]).await;
    host.terminate();
    host.wait(SOON).await;
    let finished = stage.run(&["task", "cancel", "sleeps/a"]).await.expect_code(69);
    assert!(finished.stderr.contains("saggar host"), "{}", finished.stderr);
}

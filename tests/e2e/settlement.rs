//! Retries, dead letters and what can be done with them.

use std::time::Duration;

use saggar_harness::eventually;
use saggar_model::Outcome;

use crate::stage::{SOON, Stage, get};

/// So that a test does not wait for the real delays.
const QUICK: &str = "retry = { attempts = 3, base = '10ms', cap = '20ms' }";

#[tokio::test]
async fn a_task_that_asks_for_it_is_run_again_until_it_succeeds() {
    let stage = Stage::new("retries").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["fails"], QUICK).await;
    stage.publish("fails", "third-time", "until 3").await;
    let result = stage.result("fails", "third-time").await;
    assert_eq!((result.outcome, result.receipt.attempt), (Outcome::Succeeded, 3));
    assert_eq!(result.payload, "attempt 3");
    assert_eq!(stage.dead().await, 0);
}

#[tokio::test]
async fn a_task_without_attempts_left_is_a_dead_letter_with_its_last_reason() {
    let stage = Stage::new("exhausted").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["fails"], QUICK).await;
    stage.publish_with("fails", "never", "retry", &[("X-Customer", "7")]).await;
    let result = stage.result("fails", "never").await;
    assert_eq!((result.outcome, result.receipt.attempt), (Outcome::Retried, 3));
    let shown = stage.run(&["dead", "show", "fails/never", "--output", "json"]).await.expect_code(0).text();
    for part in ["the kiln is cold", "X-Customer", "\"retried\""] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}

#[tokio::test]
async fn a_wait_that_the_plugin_asks_for_is_kept() {
    let stage = Stage::new("asked-wait").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["fails"], "retry = { attempts = 2, base = '1ms', cap = '1ms' }").await;
    stage.publish("fails", "a", "retry-after 1500").await;
    let result = stage.result("fails", "a").await;
    assert_eq!(result.receipt.attempt, 2);
    assert!(result.receipt.queued >= Duration::from_millis(1500), "{:?}", result.receipt.queued);
}

#[tokio::test]
async fn a_dead_letter_can_be_redriven_with_a_new_budget_and_removed() {
    let stage = Stage::new("redrive").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["fails"], "retry = { attempts = 1 }").await;
    stage.publish("fails", "a", "until 2").await;
    assert_eq!(stage.result("fails", "a").await.outcome, Outcome::Retried);
    eventually("it is acknowledged", SOON, || async { (stage.queued().await == 0).then_some(()) }).await;
    stage.apply(&["fails"], QUICK).await;

    stage.run(&["dead", "redrive", "fails/a"]).await.expect_code(0);
    let again = stage.result("fails", "a").await;
    assert_eq!((again.outcome, again.receipt.attempt), (Outcome::Succeeded, 2));
    assert_eq!(stage.dead().await, 0);

    stage.publish("fails", "b", "reject").await;
    stage.result("fails", "b").await;
    let listed = stage.run(&["dead", "ls"]).await.expect_code(0).text();
    assert!(listed.contains("fails/b") && listed.contains("rejected"), "{listed}");
    stage.run(&["dead", "rm", "fails/b"]).await.expect_code(0);
    assert_eq!(stage.dead().await, 0);
    stage.run(&["dead", "show", "fails/b"]).await.expect_code(66);
}

#[tokio::test]
async fn a_finished_id_is_not_run_again_in_a_queue_that_says_once() {
    let stage = Stage::new("once").await;
    let host = stage.start_host("host-1", "");
    let url = host.wait_for_url(SOON).await;
    stage.apply(&["echo"], "once = true").await;
    stage.publish("echo", "a", "first").await;
    stage.result("echo", "a").await;
    stage.publish("echo", "a", "second").await;
    eventually("the second is acknowledged", SOON, || async { (stage.queued().await == 0).then_some(()) })
        .await;
    assert_eq!(stage.result("echo", "a").await.payload, "first");
    drop((host, url));
}

#[tokio::test]
async fn attack_82_while_everything_fails_hardly_anything_is_tried_again_at_once() {
    const TASKS: u32 = 200;
    let stage = Stage::new("storm").await;
    let host = stage.start_host("host-1", "");
    let url = host.wait_for_url(SOON).await;
    stage.apply(&["fails"], "retry = { attempts = 20, base = '100ms', cap = '10m' }").await;
    for task in 0..TASKS {
        stage.publish("fails", &task.to_string(), "retry").await;
    }
    // What the budget cannot pay for waits outside the queue.
    stage.drained().await;
    let (_, metrics) = get(&format!("{url}/metrics")).await.expect("the host answers");
    let line = r#"saggar_tasks_total{tenant="storm",queue="fails",outcome="retried"} "#;
    let attempts = metrics.lines().find_map(|found| found.strip_prefix(line)).expect("attempts are counted");
    let attempts: f64 = attempts.parse().expect("a number");
    assert!(attempts >= f64::from(TASKS) && attempts <= 1.2 * f64::from(TASKS), "{attempts}");
    assert_eq!((stage.results().await, stage.dead().await), (0, 0), "none has given up");
}

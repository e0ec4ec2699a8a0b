//! What operators do to queues and hosts that are at work.

use saggar_model::Outcome;
use serde_json::Value;

use crate::stage::{SOON, Stage};

#[tokio::test]
async fn a_paused_queue_gives_out_nothing_until_it_is_resumed_and_others_go_on() {
    let (stage, _host) = Stage::with_host("pause", &["echo", "hello"]).await;
    let paused = stage.run(&["queue", "pause", "echo"]).await.expect_code(0).text();
    assert!(paused.contains("until it is resumed"), "{paused}");
    stage.publish("echo", "a", "x").await;
    stage.publish("hello", "b", "Ada").await;
    stage.result("hello", "b").await;
    // What derives consumers from the tenant's file leaves the pause alone.
    stage.apply(&["echo", "hello"], "concurrency = 7").await;
    stage.publish("hello", "c", "Ada").await;
    stage.result("hello", "c").await;
    let listed = stage.run(&["queue", "ls"]).await.expect_code(0).text();
    assert!(listed.contains("paused") && listed.contains("active"), "{listed}");
    assert_eq!(stage.queued().await, 1);
    stage.run(&["queue", "resume", "echo"]).await.expect_code(0);
    assert_eq!(stage.result("echo", "a").await.payload, "x");
}

#[tokio::test]
async fn a_pause_can_have_an_end() {
    let (stage, _host) = Stage::with_host("pause-for", &["echo"]).await;
    stage.run(&["queue", "pause", "echo", "--for", "1s"]).await.expect_code(0);
    stage.publish("echo", "a", "x").await;
    assert_eq!(stage.result("echo", "a").await.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_purge_removes_what_waits_and_leaves_what_runs() {
    let stage = Stage::new("purge").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["sleeps", "echo"], "concurrency = 1").await;
    stage.publish("sleeps", "runs", "3000").await;
    stage.running("sleeps", 1).await;
    for id in ["a", "b", ""] {
        stage.publish("sleeps", id, "").await;
    }
    let purged = stage.run(&["queue", "purge", "sleeps", "--yes", "--output", "json"]).await.expect_code(0);
    let purged: Value = serde_json::from_slice(&purged.stdout).unwrap();
    assert_eq!((&purged["data"]["removed"], &purged["data"]["left"]), (&3.into(), &1.into()), "{purged}");
    assert_eq!(stage.result("sleeps", "runs").await.outcome, Outcome::Succeeded);
    stage.drained().await;

    stage.run(&["queue", "pause", "echo"]).await.expect_code(0);
    for id in ["a", "b", ""] {
        stage.publish("echo", id, "").await;
    }
    let purged = stage.run(&["queue", "purge", "echo", "--yes"]).await.expect_code(0).text();
    assert!(purged.contains("3 tasks are gone"), "{purged}");
    assert_eq!(stage.queued().await, 0);
}

#[tokio::test]
async fn a_host_can_be_told_to_leave_from_anywhere() {
    let stage = Stage::new("told").await;
    let mut first = stage.host("host-1", "").await;
    let _second = stage.host("host-2", "").await;
    stage.apply(&["sleeps"], "").await;
    let listed = stage.run(&["host", "ls"]).await.expect_code(0).text();
    assert!(listed.contains("host-1") && listed.contains("host-2"), "{listed}");
    stage.publish("sleeps", "a", "500").await;
    let left = stage.run(&["host", "drain", "host-1", "--wait", "1m"]).await.expect_code(0).text();
    assert!(left.contains("has left"), "{left}");
    assert_eq!(first.wait(SOON).await.code(), Some(0));
    assert_eq!(stage.result("sleeps", "a").await.receipt.attempt, 1);
    let listed = stage.run(&["host", "ls"]).await.expect_code(0).text();
    assert!(!listed.contains("host-1") && listed.contains("host-2"), "{listed}");
}

#[tokio::test]
async fn many_dead_letters_are_redriven_and_removed_by_what_they_have_in_common() {
    let stage = Stage::new("many-dead").await;
    let _host = stage.host("host-1", "").await;
    let once = "retry = { attempts = 1 }";
    stage.apply_queues(&[("fails", "fails", once), ("panics", "panics", once)]).await;
    for id in ["a", "b", "c"] {
        stage.publish("fails", id, "reject").await;
        stage.publish("panics", id, "").await;
        stage.result("fails", id).await;
        stage.result("panics", id).await;
    }
    stage.publish("fails", "again", "until 2").await;
    stage.result("fails", "again").await;
    stage.drained().await;
    assert_eq!(stage.dead().await, 7);

    // What fails again is not redriven for ever.
    let redriven =
        stage.run(&["dead", "redrive", "--queue", "fails", "--output", "json"]).await.expect_code(0);
    let redriven: Value = serde_json::from_slice(&redriven.stdout).unwrap();
    assert_eq!(redriven["meta"]["count"], 4, "{redriven}");
    stage.drained().await;
    assert_eq!(stage.dead().await, 7);

    let removed = stage.run(&["dead", "rm", "--outcome", "trapped", "--yes"]).await.expect_code(0).text();
    assert_eq!(removed.lines().count(), 3, "{removed}");
    assert_eq!(stage.dead().await, 4);
    stage.run(&["dead", "rm", "--all", "--yes"]).await.expect_code(0);
    assert_eq!(stage.dead().await, 0);
    let nothing = stage.run(&["dead", "redrive", "--all", "--output", "json"]).await.expect_code(0);
    assert_eq!(serde_json::from_slice::<Value>(&nothing.stdout).unwrap()["meta"]["count"], 0);
}

//! Tasks that are to run once: by their id, and by a key within a window of time.

use saggar_model::Outcome;
use serde_json::Value;

use crate::stage::Stage;

/// A window that does not end while the test runs, but once in a hundred years.
const WINDOW: &str = "1h";

async fn submit(stage: &Stage, key: &str, code: i32) -> String {
    let args = ["task", "submit", "sleeps", "1", "--unique-key", key, "--unique-for", WINDOW];
    let done = stage.run(&args).await.expect_code(code);
    if code == 0 { done.text().trim().to_owned() } else { done.stderr }
}

#[tokio::test]
async fn a_key_is_submitted_once_in_its_window_whether_it_waits_runs_or_has_ended() {
    let stage = Stage::new("unique").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["sleeps"], "").await;
    stage.run(&["queue", "pause", "sleeps"]).await.expect_code(0);
    let first = submit(&stage, "user 7", 0).await;
    let waits = submit(&stage, "user 7", 64).await;
    assert!(waits.contains(&first) && waits.contains("queued or running"), "{waits}");
    let other = submit(&stage, "user 8", 0).await;
    assert_ne!(first, other);
    stage.run(&["queue", "resume", "sleeps"]).await.expect_code(0);
    let id = first.strip_prefix("sleeps/").expect("it names the task");
    assert_eq!(stage.result("sleeps", id).await.outcome, Outcome::Succeeded);
    stage.drained().await;
    let ended = submit(&stage, "user 7", 64).await;
    assert!(ended.contains(&first) && ended.contains("has ended already: succeeded"), "{ended}");
}

#[tokio::test]
async fn a_client_of_its_own_gets_the_same_from_two_headers() {
    let stage = Stage::new("any").await;
    let host = stage.host("host-1", "").await;
    stage.apply(&["echo"], "").await;
    let once = [("Saggar-Once", "true")];
    stage.publish_with("echo", "user-7-2026-11-22", "first", &once).await;
    assert_eq!(stage.result("echo", "user-7-2026-11-22").await.payload, "first");
    stage.drained().await;
    stage.publish_with("echo", "user-7-2026-11-22", "second", &once).await;
    stage.drained().await;
    assert_eq!(stage.result("echo", "user-7-2026-11-22").await.payload, "first");
    let url = host.wait_for_url(crate::stage::SOON).await;
    let (_, metrics) =
        crate::stage::get(&format!("{}/metrics", url.trim_end_matches('/'))).await.expect("it answers");
    let ran = "saggar_tasks_total{tenant=\"any\",queue=\"echo\",outcome=\"succeeded\"} 1";
    assert!(metrics.contains(ran), "{metrics}");
}

#[tokio::test]
async fn a_window_longer_than_results_are_kept_is_refused_and_so_is_what_makes_no_sense() {
    let stage = Stage::new("window").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["echo"], "results_ttl = '1h'").await;
    let submit = ["task", "submit", "echo", "x", "--unique-key", "k"];
    for (more, code, part) in [
        (&["--unique-for", "2h"][..], 2, "keeps results for"),
        (&["--unique-for", "0s"], 2, "shorter than a second"),
        (&["--unique-for", "1500ms"], 2, "whole number of seconds"),
        (&[], 2, "--unique-for"),
        (&["--unique-for", "1h", "--id", "a"], 2, "cannot be used with"),
        (&["--unique-for", "1h", "--in", "5s"], 2, "cannot be used with"),
    ] {
        let args: Vec<&str> = submit.iter().chain(more).copied().collect();
        let refused = stage.run(&args).await.expect_code(code).stderr;
        assert!(refused.contains(part), "{part}\nis not in\n{refused}");
    }
    assert_eq!(stage.queued().await, 0);
    let listed = stage.run(&["task", "ls", "echo", "--output", "json"]).await.expect_code(0);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("it is JSON");
    assert_eq!(listed["data"]["rows"], serde_json::json!([]));
}

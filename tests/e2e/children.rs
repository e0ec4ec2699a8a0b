//! Tasks that tasks submit: once, whatever happens to their parent, and not without end.

use std::time::Duration;

use saggar_harness::{eventually, guests, run};
use saggar_model::{Outcome, TaskRef, TaskResult};
use serde_json::{Value, json};

use crate::stage::{SOON, Stage, get, saggar};

/// Tasks of a killed host come back when the server has waited half a minute for a sign of life.
const REDELIVERY: Duration = Duration::from_mins(2);

const GRANTED: &str = "[queue.grants]\nsubmit = ['submits', 'echo']";

/// Queues `submits`, with these settings, and `echo`.
async fn queues(stage: &Stage, settings: &str) {
    stage.apply_queues(&[("submits", "submits", settings), ("echo", "echo", "")]).await;
}

fn outcomes(result: &TaskResult) -> Value {
    assert_eq!(result.outcome, Outcome::Succeeded, "{:?}", result.reason());
    serde_json::from_slice(&result.payload).expect("it is JSON")
}

/// Runs the steps as a task, and gives what came of each.
async fn submits(stage: &Stage, id: &str, steps: Value) -> Value {
    stage.publish("submits", id, steps.to_string()).await;
    outcomes(&stage.result("submits", id).await)
}

/// The result of a task that is named by what a step gave.
async fn named(stage: &Stage, name: &Value) -> TaskResult {
    let TaskRef { queue, id } = name.as_str().expect("it was submitted").parse().expect("it is a task");
    stage.result(queue.as_str(), id.as_str()).await
}

#[tokio::test]
async fn a_child_runs_with_what_its_parent_gave_it_and_says_whose_it_is() {
    let stage = Stage::new("children").await;
    let _host = stage.host("host-1", "").await;
    queues(&stage, GRANTED).await;
    let asks = json!([["header", "Saggar-Parent"], ["header", "X-Customer"]]).to_string();
    let done = submits(
        &stage,
        "a",
        json!([
            ["submit", "echo", "clay", "id=cup", "type=text/plain"],
            ["submit", "submits", asks, "X-Customer=7"],
            ["submit", "echo", "clay", "id=cup", "type=text/plain"],
        ]),
    )
    .await;
    assert_eq!((&done[0], &done[2]), (&json!("echo/cup"), &json!("echo/cup")));
    let cup = named(&stage, &done[0]).await;
    assert_eq!((&cup.payload[..], cup.content_type.as_str()), (&b"clay"[..], "text/plain"));
    assert_eq!(cup.parent, "submits/a".parse().ok());
    assert_eq!(outcomes(&named(&stage, &done[1]).await), json!(["submits/a", "7"]));
    let shown = stage.run(&["task", "get", "echo/cup", "--output", "json"]).await.expect_code(0);
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("it is JSON");
    assert_eq!(shown["data"]["parent"], "submits/a");
}

#[tokio::test]
async fn another_attempt_finds_the_children_of_the_one_before() {
    let stage = Stage::new("again").await;
    let _host = stage.host("host-1", "").await;
    queues(&stage, &format!("retry = {{ attempts = 3, base = '10ms', cap = '20ms' }}\n{GRANTED}")).await;
    let done = submits(
        &stage,
        "a",
        json!([["submit", "echo", "one"], ["submit", "echo", "one"], ["many", "echo", "20"], ["until", "3"]]),
    );
    let done = done.await;
    assert_ne!(done[0], done[1], "two that are alike are two");
    assert_eq!(done[2], 20);
    for name in [&done[0], &done[1]] {
        assert_eq!(named(&stage, name).await.payload, "one");
    }
    stage.drained().await;
    assert_eq!(stage.results().await, 23, "each of the 22 has run once, and their parent");
}

#[tokio::test]
async fn a_child_that_waits_for_its_next_attempt_is_found_there() {
    let stage = Stage::new("waiting").await;
    let host = stage.host("host-1", "").await;
    let url = host.wait_for_url(SOON).await;
    let twice = "retry = { attempts = 2, base = '10ms', cap = '20ms' }";
    let submits_to = "[queue.grants]\nsubmit = ['fails']";
    stage
        .apply_queues(&[
            ("submits", "submits", &format!("{twice}\n{submits_to}")),
            ("fails", "fails", "retry = { attempts = 2 }"),
        ])
        .await;
    // The child has failed, and waits in a timer, long before its parent is tried again.
    let steps = json!([["submit", "fails", "retry-after 30000"], ["sleep", "2000"], ["until", "2"]]);
    submits(&stage, "a", steps).await;
    stage.drained().await;
    assert_eq!(stage.messages("SAGGAR_TIMERS_waiting").await, 1);
    let (_, metrics) = get(&format!("{}/metrics", url.trim_end_matches('/'))).await.expect("it answers");
    let ran = "saggar_tasks_total{tenant=\"waiting\",queue=\"fails\",outcome=\"retried\"} 1";
    assert!(metrics.contains(ran), "{metrics}");
}

#[tokio::test]
async fn a_host_that_is_killed_after_half_of_the_children_leaves_none_out_and_none_twice() {
    let stage = Stage::new("killed").await;
    let mut first = stage.host("host-1", "").await;
    queues(&stage, GRANTED).await;
    let steps = json!([["many", "echo", "50"], ["sleep", "3000"], ["many", "echo", "60"]]);
    stage.publish("submits", "a", steps.to_string()).await;
    eventually("the first children have ended", SOON, || async {
        (stage.results().await == 50).then_some(())
    })
    .await;
    first.kill_9().await;
    let _second = stage.host("host-2", "").await;
    let result = stage.result_within("submits", "a", REDELIVERY).await;
    assert_eq!(outcomes(&result), json!([50, null, 60]));
    stage.drained().await;
    // Of the second fifty and ten, each is alike with none or one of the first.
    assert_eq!(stage.results().await, 111);
}

#[tokio::test]
async fn a_child_that_is_to_run_later_waits_once() {
    let stage = Stage::new("later").await;
    let _host = stage.host("host-1", "").await;
    queues(&stage, &format!("retry = {{ attempts = 2, base = '10ms', cap = '20ms' }}\n{GRANTED}")).await;
    let steps = json!([
        ["submit", "echo", "soon", "delay=1500"],
        ["submit", "echo", "far", "delay=86400000"],
        ["until", "2"]
    ]);
    let done = submits(&stage, "a", steps).await;
    assert_eq!(stage.subjects("SAGGAR_TIMERS_later").await.len(), 2);
    assert_eq!(named(&stage, &done[0]).await.parent, "submits/a".parse().ok(), "also through a timer");
    let name = done[1].as_str().expect("it is there");
    let shown = stage.run(&["task", "get", name, "--output", "json"]).await.expect_code(0);
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("it is JSON");
    assert_eq!(shown["data"]["state"], "delayed");
}

#[tokio::test]
async fn attack_64_what_was_not_granted_or_makes_no_sense_is_refused_by_name() {
    let stage = Stage::new("refused").await;
    let host = stage.host("host-1", "").await;
    let url = host.wait_for_url(SOON).await;
    stage
        .apply_queues(&[
            ("submits", "submits", "[queue.grants]\nsubmit = ['echo']"),
            ("echo", "echo", ""),
            ("other", "echo", ""),
        ])
        .await;
    let large = "x".repeat(1 << 20);
    let done = submits(
        &stage,
        "a",
        json!([
            ["submit", "other", ""],
            ["submit", "nowhere", ""],
            ["submit", "../echo", ""],
            ["submit", "saggar.children.task.echo", ""],
            ["submit", "echo", "", "id=seq-1-1"],
            ["submit", "echo", "", "id=a.>"],
            ["submit", "echo", "", "Nats-Rollup=all"],
            ["submit", "echo", "", "Saggar-Depth=0"],
            ["submit", "echo", "", "Saggar-Reply-To=saggar.other.reply.a"],
            ["submit", "echo", "", "timeout=0"],
            ["submit", "echo", "", "delay=99999999999999"],
            ["join", "echo", "", "4000000000"],
        ]),
    )
    .await;
    for (n, error) in done.as_array().expect("it is a list").iter().enumerate() {
        let wanted = if n < 4 { "Denied" } else { "Invalid" };
        assert_eq!(error["error"], wanted, "{n}: {error}");
    }
    let told = done[0]["text"].as_str().expect("it says why");
    assert!(told.contains("no grant `submit`") && told.contains("submit = ["), "{told}");
    assert_eq!(stage.results().await, 1, "nothing else was submitted");
    let (_, metrics) = get(&format!("{}/metrics", url.trim_end_matches('/'))).await.expect("it answers");
    let counted = "saggar_denials_total{tenant=\"refused\",queue=\"submits\",grant=\"submit\"} 4";
    assert!(metrics.contains(counted), "{metrics}");

    // It fits into a task's payload only if it is made there.
    let steps = json!([["submit", "echo", &large[..(900 << 10)]]]).to_string();
    stage.publish("submits", "b", steps).await;
    assert!(outcomes(&stage.result("submits", "b").await)[0].is_string());
}

#[tokio::test]
async fn a_file_that_grants_to_a_queue_that_is_not_there_is_refused() {
    let stage = Stage::new("unknown").await;
    let text = "[tenant]\nname = 'unknown'\n[[queue]]\nname = 'a'\nplugin = 'echo@1.0.0'\n[queue.grants]\nsubmit = ['b']";
    let file = stage.write("tenant.toml", text);
    let refused = stage.run(&["apply", &file.display().to_string()]).await.expect_code(64);
    assert!(refused.stderr.contains("line 7: `queue.grants.submit` names `b`"), "{}", refused.stderr);
}

#[tokio::test]
async fn attack_64_tasks_that_multiply_end_at_their_depth() {
    let stage = Stage::new("bomb").await;
    let _host = stage.host("host-1", "").await;
    queues(&stage, GRANTED).await;
    stage.publish("submits", "root", json!([["bomb", "2"]]).to_string()).await;
    eventually("all generations have run", SOON, || async {
        (stage.results().await == 511 && stage.queued().await == 0).then_some(())
    })
    .await;
    // A publisher who claims to be deep restricts itself, and one who claims nothing sensible is not run.
    let steps = json!([["bomb", "2"]]).to_string();
    stage.publish_with("submits", "deep", steps.clone(), &[("Saggar-Depth", "8")]).await;
    assert_eq!(outcomes(&stage.result("submits", "deep").await), json!([[0, "TooDeep"]]));
    stage.publish_with("submits", "odd", steps, &[("saggar-depth", "-1")]).await;
    eventually("it is a dead letter", SOON, || async { (stage.dead().await == 1).then_some(()) }).await;
}

#[tokio::test]
async fn attack_64_tasks_that_multiply_fill_their_own_quota_and_no_neighbour_notices() {
    const QUOTA: u64 = 300;
    let mut stage = Stage::new("quiet").await;
    let _host = stage.host("host-1", "").await;
    queues(&stage, "").await;
    stage.tenant = "flood".parse().expect("it is a name");
    let guest = guests::path("submits").display().to_string();
    stage.run(&["plugin", "push", &guest, "--name", "submits", "--version", "1.0.0"]).await.expect_code(0);
    let text = format!(
        "[tenant]\nname = 'flood'\nquota = {{ tasks = {QUOTA}, bytes = '64MiB', results = '64MiB' }}\n\
         [[queue]]\nname = 'submits'\nplugin = 'submits@1.0.0'\n[queue.grants]\nsubmit = ['submits']"
    );
    let file = stage.write("flood.toml", &text);
    stage.run(&["apply", &file.display().to_string()]).await.expect_code(0);
    stage.publish("submits", "root", json!([["bomb", "100000"]]).to_string()).await;
    let root = outcomes(&stage.result("submits", "root").await);
    assert!(root[0][0].as_u64().is_some_and(|children| children <= 1_000), "{root}");
    eventually("many generations have run", SOON, || async { (stage.results().await > 500).then_some(()) })
        .await;
    assert!(stage.queued().await <= QUOTA);
    stage.tenant = "quiet".parse().expect("it is a name");
    for n in 0..20 {
        let id = format!("t{n}");
        stage.publish("echo", &id, "clay").await;
        let result = stage.result("echo", &id).await;
        assert_eq!(result.outcome, Outcome::Succeeded);
        assert!(result.receipt.queued < Duration::from_secs(5), "{:?}", result.receipt.queued);
    }
}

#[tokio::test]
async fn one_attempt_submits_a_thousand_and_no_more() {
    let stage = Stage::new("thousand").await;
    let _host = stage.host("host-1", "").await;
    queues(&stage, GRANTED).await;
    let done = submits(&stage, "a", json!([["many", "echo", "1000"], ["submit", "echo", "more"]])).await;
    assert_eq!((&done[0], &done[1]["error"]), (&json!(1000), &json!("TooMany")), "{done}");
    stage.drained().await;
    assert_eq!(stage.results().await, 1001);
}

#[tokio::test]
async fn a_child_that_fails_can_be_redriven_and_is_still_its_parents() {
    let stage = Stage::new("redriven").await;
    let _host = stage.host("host-1", "").await;
    let fails = "retry = { attempts = 1 }";
    stage
        .apply_queues(&[
            ("submits", "submits", "[queue.grants]\nsubmit = ['fails']"),
            ("fails", "fails", fails),
        ])
        .await;
    let done = submits(&stage, "a", json!([["submit", "fails", "reject", "id=x"]])).await;
    assert_eq!(named(&stage, &done[0]).await.outcome, Outcome::Rejected);
    stage.drained().await;
    stage.run(&["dead", "redrive", "fails/x"]).await.expect_code(0);
    let again = stage.result("fails", "x").await;
    assert_eq!((again.outcome, again.parent), (Outcome::Rejected, "submits/a".parse().ok()));
}

#[tokio::test]
async fn a_run_here_says_what_it_would_submit() {
    let path = guests::path("submits").display().to_string();
    let steps =
        json!([["submit", "echo", "clay", "id=a"], ["submit", "echo", "clay", "id=a"], ["submit", "x", ""]]);
    let directory = tempfile::tempdir().expect("there is room");
    let cache = directory.path().display().to_string();
    let args = ["run", &path, "--input", "-", "--grant", "submit=echo"];
    let done = run(saggar(), &args, steps.to_string().as_bytes(), &[("XDG_CACHE_HOME", &cache)]).await;
    let done = done.expect_code(0);
    assert_eq!(done.stderr.matches("would submit echo/a of 4").count(), 1, "{}", done.stderr);
    let outcomes: Value = serde_json::from_slice(&done.stdout).expect("it is JSON");
    assert_eq!((&outcomes[0], &outcomes[2]["error"]), (&json!("echo/a"), &json!("Denied")));
}

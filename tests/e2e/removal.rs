//! Queues and tenants that go: what is asked, what is waited for, and what is left.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use saggar_harness::{eventually, guests, now_or_panic};
use saggar_jetstream::Tenants;
use saggar_model::Outcome;
use serde_json::{Value, json};

use crate::stage::{SOON, Stage};

/// Tasks of a killed host come back when the server has waited half a minute for a sign of life.
const REDELIVERY: Duration = Duration::from_mins(2);

impl Stage {
    /// Waits until nothing of the tenant's queues is on its way out.
    async fn nothing_is_leaving(&self) {
        let tenants = Tenants::new(&self.nats().await);
        let left =
            || async { tenants.get(&self.tenant).await.ok()??.record.removal.is_nothing().then_some(()) };
        eventually("nothing is on its way out", REDELIVERY, left).await;
    }

    async fn stream_names(&self) -> Vec<String> {
        let context = async_nats::jetstream::new(self.client.clone());
        context.stream_names().try_collect().await.expect("it lists its streams")
    }
}

#[tokio::test]
async fn a_queue_that_holds_something_goes_only_if_somebody_agrees_and_what_runs_ends_first() {
    let (stage, _host) = Stage::with_host("leaving", &["sleeps", "echo"]).await;
    stage.apply(&["sleeps", "echo"], "concurrency = 1").await;
    stage.publish("sleeps", "runs", "4000").await;
    stage.publish("echo", "stays", "clay").await;
    stage.result("echo", "stays").await;
    stage.running("sleeps", 1).await;
    for id in ["a", "b", ""] {
        stage.publish("sleeps", id, "0").await;
    }
    stage.run(&["task", "submit", "sleeps", "0", "--id", "later", "--in", "1h"]).await.expect_code(0);

    let file = stage.file("[[queue]]\nname = 'echo'\nplugin = 'echo@1.0.0'\nconcurrency = 1\n");
    let shown = stage.object(&["apply", &file, "--dry-run"], 0).await;
    let removed = &shown["data"]["rows"][0]["removed"][0];
    assert_eq!(removed["queue"], "sleeps", "{shown}");
    assert_eq!(
        (&removed["lost"]["queued"], &removed["lost"]["running"], &removed["lost"]["timers"]),
        (&json!(3), &json!(1), &json!(1)),
        "{shown}"
    );
    let refused = stage.run(&["apply", &file]).await.expect_code(2);
    for part in ["leaving/sleeps", "3 queued tasks", "1 delayed task", "1 running task ends first", "--yes"] {
        assert!(refused.stderr.contains(part), "{part} in {}", refused.stderr);
    }
    assert_eq!(stage.queued().await, 4, "nothing was done");

    stage.run(&["apply", &file, "--yes"]).await.expect_code(0);
    let result = stage.result("sleeps", "runs").await;
    assert_eq!((result.outcome, result.receipt.attempt), (Outcome::Succeeded, 1), "it was not dropped");
    stage.nothing_is_leaving().await;
    assert_eq!(stage.queued().await, 0);
    assert_eq!(stage.messages("SAGGAR_TIMERS_leaving").await, 0);
    assert_eq!(stage.messages("SAGGAR_STATE").await, 0);
    stage.run(&["task", "submit", "sleeps", "0"]).await.expect_code(66);
    stage.publish("echo", "after", "clay").await;
    assert_eq!(stage.result("echo", "after").await.payload, "clay", "its neighbour noticed nothing");

    // It can come back, and what it held does not.
    stage.apply(&["sleeps", "echo"], "concurrency = 1").await;
    stage.publish("sleeps", "new", "0").await;
    stage.result("sleeps", "new").await;
    stage.drained().await;
}

#[tokio::test]
async fn a_queue_that_is_on_its_way_out_does_not_come_back_before_it_is_gone_and_a_lost_host_does_not_hold_it()
 {
    let stage = Stage::new("returning").await;
    let mut first = stage.host("host-1", "").await;
    stage.apply(&["sleeps", "echo"], "").await;
    stage.publish("sleeps", "runs", "600000").await;
    stage.running("sleeps", 1).await;
    let without = stage.file("[[queue]]\nname = 'echo'\nplugin = 'echo@1.0.0'\n");
    let applied = stage.object(&["apply", &without, "--yes"], 0).await;
    assert_eq!(applied["meta"]["effective"], "when-running-tasks-have-ended", "{applied}");
    let listed = stage.json(&["tenant", "ls"]).await;
    assert_eq!(listed["rows"][0]["leaving"], json!(["sleeps"]), "{listed}");
    let with = stage.file(
        "[[queue]]\nname = 'echo'\nplugin = 'echo@1.0.0'\n[[queue]]\nname = 'sleeps'\nplugin = 'sleeps@1.0.0'\n",
    );
    let refused = stage.run(&["apply", &with]).await.expect_code(64);
    assert!(refused.stderr.contains("returning/sleeps is still on its way out"), "{}", refused.stderr);

    // The host that was about to remove it is lost, and so is the one that ran its task.
    first.kill_9().await;
    let _second = stage.host("host-2", "").await;
    stage.nothing_is_leaving().await;
    assert_eq!((stage.queued().await, stage.results().await), (0, 0), "what came back was not run again");
    stage.run(&["apply", &with]).await.expect_code(0);
    stage.publish("sleeps", "new", "0").await;
    stage.result("sleeps", "new").await;
}

#[tokio::test]
async fn a_tenant_goes_with_everything_it_has_and_its_neighbour_stays() {
    let (stage, _host) = Stage::with_host("going", &["sleeps", "echo"]).await;
    let neighbour = "[tenant]\nname = 'staying'\nquota = { bytes = '2MiB', results = '64MiB', dead = '2MiB' }\n\
                     [[queue]]\nname = 'echo'\nplugin = 'echo@1.0.0'\n";
    let neighbour = stage.write("staying.toml", neighbour).display().to_string();
    let echo = guests::path("echo").display().to_string();
    let push = ["plugin", "push", &echo, "--tenant", "staying", "--name", "echo", "--version", "1.0.0"];
    stage.run(&push).await.expect_code(0);
    stage.run(&["apply", &neighbour]).await.expect_code(0);
    stage.run(&["schedule", "add", "tick", "echo", "--cron", "@yearly"]).await.expect_code(0);
    stage.publish("echo", "done", "clay").await;
    stage.result("echo", "done").await;
    stage.publish("sleeps", "runs", "3000").await;
    stage.running("sleeps", 1).await;

    let refused = stage.run(&["tenant", "rm", "going"]).await.expect_code(2);
    for part in ["going", "1 result", "1 schedule", "2 plugin versions", "1 running task ends first", "--yes"]
    {
        assert!(refused.stderr.contains(part), "{part} in {}", refused.stderr);
    }
    let mut results = stage.client.subscribe("saggar.going.result.sleeps.runs").await.unwrap();
    stage.client.flush().await.unwrap();
    let gone = stage.object(&["tenant", "rm", "going", "--yes"], 0).await;
    assert_eq!(
        (&gone["data"]["state"], &gone["data"]["lost"]["running"]),
        (&json!("gone"), &json!(1)),
        "{gone}"
    );
    let result = now_or_panic("what ran has ended", SOON, results.next()).await.unwrap();
    let status = result.headers.as_ref().and_then(|headers| headers.get("Saggar-Status")).unwrap();
    assert_eq!(status.as_str(), "succeeded");

    let names = stage.stream_names().await;
    assert!(
        !names.iter().any(|name| name.ends_with("_going") || name.contains("saggar-going-")),
        "{names:?}"
    );
    assert!(names.contains(&"SAGGAR_TASKS_staying".to_owned()), "{names:?}");
    let listed: Value = stage.json(&["tenant", "ls"]).await;
    assert_eq!(listed["rows"].as_array().unwrap().len(), 1, "{listed}");
    stage.run(&["tenant", "rm", "going", "--yes"]).await.expect_code(66);
    let task = ["task", "submit", "echo", "clay", "--tenant", "staying", "--wait"];
    stage.run(&task).await.expect_code(0);
    // The name can be used again, and nothing of what was is there.
    stage.apply(&["echo"], "").await;
    assert_eq!((stage.queued().await, stage.results().await), (0, 0));
    assert_eq!(stage.json(&["schedule", "ls"]).await["rows"], json!([]));
}

//! Delays: tasks that are to run later, and retries that are far away.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use futures::StreamExt as _;
use saggar_harness::eventually;
use saggar_jetstream::{Nats, NewTimer, PullMode, States, Target, TaskQueue, Timers};
use saggar_model::{History, Outcome};
use serde_json::Value;

use crate::stage::{SOON, Stage};

/// Just above what a message is held back itself: such a retry goes through a timer.
const LONG: &str = "retry-after 5500";

impl Stage {
    pub async fn json(&self, args: &[&str]) -> Value {
        let args: Vec<_> = args.iter().copied().chain(["--output", "json"]).collect();
        let finished = self.run(&args).await.expect_code(0);
        serde_json::from_slice::<Value>(&finished.stdout).expect("one object")["data"].clone()
    }

    async fn state(&self, task: &str) -> Option<String> {
        Some(self.json(&["task", "get", task]).await["state"].as_str()?.to_owned())
    }

    pub async fn nats(&self) -> Nats {
        Nats::connect(&Target::at(&self.server.url()), "test").await.expect("it answers")
    }

    pub async fn no_task_is_left(&self) {
        eventually("every task is acknowledged", SOON, || async {
            (self.queued().await == 0 && self.messages(&format!("SAGGAR_TIMERS_{}", self.tenant)).await == 0)
                .then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_task_runs_when_it_is_due_and_not_before() {
    let (stage, _host) = Stage::with_host("delayed", &["echo"]).await;
    let begun = Instant::now();
    stage.run(&["task", "submit", "echo", "clay", "--id", "later", "--in", "3s"]).await.expect_code(0);
    let shown = stage.json(&["task", "get", "echo/later"]).await;
    assert_eq!((shown["state"].as_str(), shown["bytes_in"].as_u64()), (Some("delayed"), Some(4)));
    assert!(shown["due_at"].is_string(), "{shown}");
    let listed = stage.json(&["task", "ls"]).await;
    assert_eq!(listed["rows"][0]["task"], "echo/later");
    assert_eq!(
        (&listed["rows"][0]["state"], &listed["rows"][0]["due_at"]),
        (&"delayed".into(), &shown["due_at"])
    );
    let result = stage.result("echo", "later").await;
    assert_eq!((result.outcome, &result.payload[..]), (Outcome::Succeeded, &b"clay"[..]));
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(result.receipt.queued < Duration::from_secs(3), "it waits from when it is due");
    stage.no_task_is_left().await;
}

#[tokio::test]
async fn a_task_without_an_id_gets_one_and_a_time_that_has_passed_is_now() {
    let (stage, _host) = Stage::with_host("past", &["echo"]).await;
    let args =
        ["task", "submit", "echo", "clay", "-H", "X-Customer: 7", "--at", "2001-01-01T00:00:00Z", "--wait"];
    let done = stage.json(&args).await;
    assert_eq!(done["outcome"], "succeeded");
    assert!(done["task"].as_str().is_some_and(|task| task.starts_with("echo/delayed-")), "{done}");
}

#[tokio::test]
async fn delays_that_make_no_sense_are_refused() {
    let (stage, _host) = Stage::with_host("bad-delays", &["echo"]).await;
    let table: [(&[&str], i32, &str); 9] = [
        (&["--in", "soon"], 2, "not a duration"),
        (&["--in", "10"], 2, "not a duration"),
        (&["--in", "-5s"], 2, "not a duration"),
        (&["--in", "400days"], 2, "more than a year"),
        (&["--at", "tomorrow"], 2, "RFC 3339"),
        (&["--at", "2030-02-30T00:00:00Z"], 2, "RFC 3339"),
        (&["--at", "9000-01-01T00:00:00Z"], 2, "more than a year"),
        (&["--in", "5s", "--at", "2001-01-01T00:00:00Z"], 2, "cannot be used with"),
        (&["--in", "5s", "--id", "a", "--unique"], 2, "cannot be used with"),
    ];
    for (args, code, part) in table {
        let args: Vec<_> = ["task", "submit", "echo", "x"].iter().chain(args).copied().collect();
        let finished = stage.run(&args).await.expect_code(code);
        assert!(finished.stderr.contains(part), "{args:?}: {}", finished.stderr);
    }
    stage.run(&["task", "submit", "nope", "x", "--in", "5s"]).await.expect_code(66);
    let bad = stage.run(&["task", "submit", "echo", "x", "--in", "5s", "-H", "Nats-Rollup: all"]).await;
    assert!(bad.expect_code(64).stderr.contains("Nats-Rollup"));
}

#[tokio::test]
async fn a_retry_that_is_far_away_is_a_timer_and_holds_no_place_in_its_queue() {
    let stage = Stage::new("long-retry").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["fails"], "concurrency = 1\nretry = { attempts = 2, base = '1ms', cap = '1ms' }").await;
    let begun = Instant::now();
    stage.publish_with("fails", "a", LONG, &[("X-Customer", "7")]).await;
    eventually("it is delayed", SOON, || async {
        (stage.state("fails/a").await.as_deref() == Some("delayed")).then_some(())
    })
    .await;
    stage.drained().await;
    stage.publish("fails", "b", "now").await;
    stage.result("fails", "b").await;
    assert!(begun.elapsed() < Duration::from_millis(5500), "the other one ran meanwhile");
    let result = stage.result("fails", "a").await;
    assert_eq!((result.outcome, result.receipt.attempt), (Outcome::Retried, 2));
    assert!(result.receipt.queued >= Duration::from_millis(5500), "since it was published");
    let shown = stage.run(&["dead", "show", "fails/a"]).await.expect_code(0).text();
    assert!(shown.contains("X-Customer") && !shown.contains("Saggar-State"), "{shown}");
    stage.no_task_is_left().await;
    eventually("nothing is left of what it went through", SOON, || async {
        (stage.messages("SAGGAR_STATE").await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_task_that_the_host_named_keeps_its_name_through_a_timer() {
    let stage = Stage::new("nameless-retry").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["fails"], "retry = { attempts = 3, base = '1ms', cap = '1ms' }").await;
    let submitted = stage.json(&["task", "submit", "fails", LONG]).await;
    let task = submitted["task"].as_str().unwrap().to_owned();
    let id = task.strip_prefix("fails/seq-").expect("the host named it").to_owned();
    let result = stage.result("fails", &format!("seq-{id}")).await;
    assert_eq!((result.outcome, result.receipt.attempt), (Outcome::Retried, 3), "through two timers");
    assert_eq!((stage.results().await, stage.dead().await), (1, 1));
}

#[tokio::test]
async fn what_a_publisher_says_about_timers_is_not_believed() {
    let stage = Stage::new("forged").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["fails"], "retry = { attempts = 2, base = '1ms', cap = '1ms' }").await;
    stage.publish("fails", "victim", LONG).await;
    eventually("it is delayed", SOON, || async {
        (stage.state("fails/victim").await.as_deref() == Some("delayed")).then_some(())
    })
    .await;
    let forged = [("Saggar-State", "1.00000000000000000000000000000000.1"), ("Saggar-Timer", "x")];
    stage.publish_with("fails", "a", "now", &forged).await;
    assert_eq!(stage.result("fails", "a").await.payload, "attempt 1");
    stage.publish_with("fails", "seq-abc-9", "now", &forged).await;
    eventually("a name that only a host may make is invalid", SOON, || async {
        let listed = stage.json(&["dead", "ls"]).await;
        let rows = listed["rows"].as_array()?.clone();
        rows.iter().any(|row| row["outcome"] == "invalid" && row["task"] != "fails/seq-abc-9").then_some(())
    })
    .await;
    assert_eq!(stage.result("fails", "victim").await.receipt.attempt, 2, "its own history is untouched");
}

#[tokio::test]
async fn a_host_that_is_lost_while_a_task_is_delayed_costs_it_nothing() {
    let stage = Stage::new("lost-delayed").await;
    let mut first = stage.host("host-1", "").await;
    stage.apply(&["fails"], "retry = { attempts = 2, base = '1ms', cap = '1ms' }").await;
    stage.publish("fails", "a", LONG).await;
    eventually("it is delayed", SOON, || async {
        (stage.state("fails/a").await.as_deref() == Some("delayed")).then_some(())
    })
    .await;
    first.kill_9().await;
    let _second = stage.host("host-2", "").await;
    let result = stage.result("fails", "a").await;
    assert_eq!((result.outcome, result.receipt.attempt), (Outcome::Retried, 2));
    assert_eq!((stage.results().await, stage.dead().await), (1, 1));
}

/// A task that failed once and is to wait in a timer, as a host leaves it that is lost after it has written that down;
/// the message delivered once. If `with_timer`, it had set the timer, too.
async fn left_by_a_lost_host(stage: &Stage, due: SystemTime, with_timer: bool) {
    let (nats, queue) = (stage.nats().await, "fails".parse().unwrap());
    stage.publish("fails", "a", "now").await;
    let source = TaskQueue::open(&nats, &stage.tenant, &queue).await.unwrap();
    let mut pull = source.pull(1, PullMode::Fill, SOON).await.unwrap();
    let delivery = pull.next().await.unwrap().unwrap();
    let sequence = delivery.stream_sequence();
    let secret = "6f1c".parse().unwrap();
    let failed = History::default().after(Outcome::Retried, 1, "host-1");
    let history = failed.put_off(sequence, &secret, due, delivery.published());
    States::new(&nats).put(&stage.tenant, &queue, sequence, &history, 0).await.unwrap();
    if with_timer {
        let passage = history.passage.unwrap();
        let timer = NewTimer {
            queue,
            id: "a".parse().unwrap(),
            name: passage.timer(),
            due,
            payload: "now".into(),
            headers: Vec::new(),
            ticket: Some(passage.ticket(sequence)),
            message_id: None,
        };
        Timers::new(&nats).put(&stage.tenant, timer).await.unwrap();
    }
    delivery.nak(Duration::ZERO).await.unwrap();
    nats.flush(SOON).await.unwrap();
}

async fn goes_on_with_its_second_attempt(tenant: &str, with_timer: bool) {
    let stage = Stage::new(tenant).await;
    let mut first = stage.host("host-1", "").await;
    stage.apply(&["fails"], "retry = { attempts = 2, base = '1ms', cap = '1ms' }").await;
    first.kill_9().await;
    let due = SystemTime::now() + Duration::from_secs(8);
    left_by_a_lost_host(&stage, due, with_timer).await;
    let _second = stage.host("host-2", "").await;
    let result = stage.result("fails", "a").await;
    assert!(SystemTime::now() >= due, "not before it is due");
    assert_eq!((result.outcome, &result.payload[..]), (Outcome::Succeeded, &b"attempt 2"[..]));
    stage.no_task_is_left().await;
    assert_eq!((stage.results().await, stage.dead().await), (1, 0));
}

#[tokio::test]
async fn a_task_whose_host_was_lost_before_it_set_the_timer_is_delayed_by_the_next() {
    goes_on_with_its_second_attempt("before-timer", false).await;
}

#[tokio::test]
async fn a_task_whose_host_was_lost_after_it_set_the_timer_runs_once() {
    goes_on_with_its_second_attempt("after-timer", true).await;
}

#[tokio::test]
async fn a_thousand_timers_due_at_one_instant_run_once_each_while_host_and_server_restart() {
    const TASKS: usize = 1000;
    let (mut stage, mut host) = Stage::with_host("instant", &["echo"]).await;
    let timers = Timers::new(&stage.nats().await);
    let due = SystemTime::now() + Duration::from_secs(12);
    let set = futures::stream::iter(0..TASKS).map(|n| {
        let (timers, tenant) = (timers.clone(), stage.tenant.clone());
        async move {
            let timer = NewTimer {
                queue: "echo".parse().unwrap(),
                id: format!("t{n}").parse().unwrap(),
                name: format!("timer-{n}").parse().unwrap(),
                due,
                payload: n.to_string().into(),
                headers: Vec::new(),
                ticket: None,
                message_id: None,
            };
            timers.put(&tenant, timer).await.expect("there is room");
        }
    });
    set.buffer_unordered(64).collect::<Vec<_>>().await;
    assert!(SystemTime::now() < due, "they are set before they are due");
    eventually("the first have run", SOON, || async { (stage.results().await > 0).then_some(()) }).await;
    host.kill_9().await;
    stage.server.restart().await.expect("the server comes back");
    let second = stage.host("host-2", "").await;
    // What the lost host had becomes a suspect, and suspects run one at a time.
    eventually("every task has a result", SOON * 3, || async {
        let context = async_nats::jetstream::new(stage.client.clone());
        let mut results = context.get_stream("SAGGAR_RESULTS_instant").await.ok()?;
        (results.info().await.ok()?.state.messages == TASKS as u64).then_some(())
    })
    .await;
    stage.no_task_is_left().await;
    let subjects: BTreeSet<_> = stage.subjects("SAGGAR_RESULTS_instant").await.into_keys().collect();
    assert_eq!(subjects.len(), TASKS, "one result each");
    for n in [0, 1, 499, 998, 999] {
        assert_eq!(stage.result("echo", &format!("t{n}")).await.payload, n.to_string());
    }
    drop(second);
}

#[tokio::test]
async fn a_retry_that_finds_no_room_for_a_timer_waits_in_its_queue() {
    let stage = Stage::new("full-timers").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["fails"], "retry = { attempts = 2, base = '1ms', cap = '1ms' }").await;
    let tenant = stage.dir.path().join("tenant.toml");
    let text = std::fs::read_to_string(&tenant).unwrap().replace("quota = {", "quota = { tasks = 1,");
    std::fs::write(&tenant, text).unwrap();
    stage.run(&["apply", &tenant.display().to_string()]).await.expect_code(0);
    stage.publish("fails", "a", LONG).await;
    eventually("the first is delayed", SOON, || async {
        (stage.state("fails/a").await.as_deref() == Some("delayed")).then_some(())
    })
    .await;
    stage.publish("fails", "b", LONG).await;
    for id in ["a", "b"] {
        let result = stage.result("fails", id).await;
        assert_eq!((result.outcome, result.receipt.attempt), (Outcome::Retried, 2), "{id}");
        assert!(result.receipt.queued >= Duration::from_millis(5500), "{id}: {:?}", result.receipt.queued);
    }
    stage.no_task_is_left().await;
}

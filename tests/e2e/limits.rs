//! A tenant at each of its limits, and its neighbour meanwhile: the one keeps to the limit and loses nothing, the other
//! has its results as if it were alone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use saggar_harness::{SaggarProcess, eventually, guests, now_or_panic};
use saggar_jetstream::{Nats, Results, Target};
use saggar_model::{Outcome, QueueName, TaskId, TenantName};
use serde_json::Value;

use crate::stage::{SOON, Stage, get};

/// What a task of the neighbour may take at most: a hundred times what it does, and less than a limit lasts.
const NEIGHBOUR: Duration = Duration::from_secs(5);

/// Tasks of the neighbour that are measured.
const MEASURED: usize = 20;

/// Tenant `limited`, and `beside`, which has a queue `echo` and no limits.
struct Pair {
    stage: Stage,
    host: SaggarProcess,
    /// Tasks that the neighbour has had.
    measured: AtomicUsize,
}

const SMALL: &str = "bytes = '64MiB', results = '64MiB', dead = '16MiB', kv = '2MiB', blobs = '2MiB', \
                     checkpoints = '2MiB', payloads = '2MiB'";

/// A tenant's file. `queues` are (queue, guest, settings).
fn file(tenant: &str, settings: &str, quota: &str, queues: &[(&str, &str, &str)]) -> String {
    let mut text = format!("[tenant]\nname = '{tenant}'\n{settings}\nquota = {{ {SMALL}{quota} }}\n");
    for (queue, guest, settings) in queues {
        text += &format!("[[queue]]\nname = '{queue}'\nplugin = '{guest}@1.0.0'\n{settings}\n");
    }
    text
}

impl Pair {
    async fn new(settings: &str, quota: &str, queues: &[(&str, &str, &str)]) -> Self {
        let stage = Stage::new("limited").await;
        let host = stage.host("host-1", "").await;
        let pair = Self { stage, host, measured: AtomicUsize::new(0) };
        for (_, guest, _) in queues {
            pair.push("limited", guest).await;
        }
        pair.push("beside", "echo").await;
        pair.apply(&file("limited", settings, quota, queues)).await;
        pair.apply(&file("beside", "", "", &[("echo", "echo", "")])).await;
        pair
    }

    async fn push(&self, tenant: &str, guest: &str) {
        let component = guests::path(guest).display().to_string();
        let args = ["plugin", "push", &component, "--name", guest, "--version", "1.0.0", "--tenant", tenant];
        self.stage.run(&args).await.expect_code(0);
    }

    async fn apply(&self, text: &str) {
        let file = self.stage.write("tenant.toml", text);
        self.stage.run(&["apply", &file.display().to_string()]).await.expect_code(0);
    }

    /// Publishes so many tasks of the limited tenant.
    async fn publish(&self, queue: &str, count: usize, payload: &str) {
        for task in 0..count {
            self.stage.publish(queue, &format!("t{task}"), payload.to_owned()).await;
        }
    }

    /// Runs tasks of the neighbour one after another, and sees that each ends soon.
    async fn neighbour_is_well(&self) {
        let nats = Nats::connect(&Target::at(&self.stage.server.url()), "test").await.expect("it answers");
        let results = Results::new(&nats);
        let (tenant, queue): (TenantName, QueueName) = ("beside".parse().unwrap(), "echo".parse().unwrap());
        let first = self.measured.fetch_add(MEASURED, Ordering::Relaxed);
        for task in first..first + MEASURED {
            let id: TaskId = format!("n{task}").parse().unwrap();
            let start = Instant::now();
            let subject = format!("saggar.beside.task.echo.{id}");
            self.stage.client.publish(subject, "x".into()).await.expect("it is sent");
            let stored = results.wait(&tenant, &queue, &id, SOON).await.expect("it answers");
            let stored = stored.unwrap_or_else(|| panic!("no result of {id}"));
            assert_eq!(stored.result.outcome, Outcome::Succeeded);
            let took = start.elapsed();
            assert!(took < NEIGHBOUR, "task {id} of the neighbour took {took:?}");
        }
    }
}

/// Tasks that a host holds. What the server counts has those that went back to their queue in it.
async fn running(host: &SaggarProcess) -> u32 {
    let url = host.wait_for_url(SOON).await;
    let (_, text) = get(&format!("{url}/metrics")).await.expect("it answers");
    let line = text.lines().find_map(|line| line.strip_prefix("saggar_tasks_running "));
    line.and_then(|number| number.trim().parse().ok()).expect("it is counted")
}

#[tokio::test]
async fn starts_keep_to_the_rate_of_a_queue() {
    let pair = Pair::new("", "", &[("echo", "echo", "rate = '2/s'\nburst = 3")]).await;
    let start = Instant::now();
    pair.publish("echo", 2_000, "x").await;
    pair.neighbour_is_well().await;
    eventually("some have run", SOON, || async { (pair.stage.results().await >= 8).then_some(()) }).await;
    let (done, took) = (pair.stage.results().await, start.elapsed().as_secs());
    assert!(done <= 3 + 2 * (took + 1), "{done} in {took} s");
    // A greater rate holds at once.
    pair.apply(&file("limited", "", "", &[("echo", "echo", "rate = '1000/s'")])).await;
    pair.stage.drained().await;
    assert_eq!(pair.stage.results().await, 2_000);
}

#[tokio::test]
async fn starts_of_all_queues_together_keep_to_the_rate_of_a_tenant() {
    let queues = [("one", "echo", ""), ("two", "echo", ""), ("three", "echo", "")];
    let pair = Pair::new("rate = '120/min'\nburst = 4", "", &queues).await;
    let start = Instant::now();
    for (queue, ..) in queues {
        pair.publish(queue, 300, "x").await;
    }
    pair.neighbour_is_well().await;
    let nats = Nats::connect(&Target::at(&pair.stage.server.url()), "test").await.expect("it answers");
    // Turns go by what tasks compute, and one may have computed for longer: but no queue waits for more than some seconds.
    let done = eventually("each queue has its turns, too", SOON, || async {
        let listed = Results::new(&nats).list(&pair.stage.tenant, None, 0, 1_000).await;
        let stored = listed.expect("it lists results");
        let has_run = |queue: &str| {
            stored.iter().filter(|stored| stored.result.task.queue.as_str() == queue).count() >= 2
        };
        (stored.len() >= 10 && queues.iter().all(|(queue, ..)| has_run(queue))).then_some(stored.len())
    })
    .await;
    let (done, took) = (u64::try_from(done).expect("it fits"), start.elapsed().as_secs());
    assert!(done <= 4 + 2 * (took + 1), "{done} in {took} s");
}

#[tokio::test]
async fn tasks_of_all_queues_together_keep_to_the_concurrency_of_a_tenant() {
    let queues = [
        ("one", "sleeps", "limits = { timeout = '10m' }"),
        ("two", "sleeps", "limits = { timeout = '10m' }"),
    ];
    let limited = |concurrency| format!("concurrency = {concurrency}");
    let pair = Pair::new(&limited(3), "", &queues).await;
    for (queue, ..) in queues {
        pair.publish(queue, 5, "500000").await;
    }
    let run = async |count| {
        let what = format!("{count} run");
        eventually(&what, SOON, || async { (running(&pair.host).await == count).then_some(()) }).await;
    };
    run(3).await;
    pair.neighbour_is_well().await;
    run(3).await;
    pair.apply(&file("limited", &limited(7), "", &queues)).await;
    run(7).await;
    pair.apply(&file("limited", "", "", &queues)).await;
    run(10).await;
    for (queue, ..) in queues {
        for task in 0..5 {
            let task = format!("{queue}/t{task}");
            pair.stage.run(&["task", "cancel", &task, "--tenant", "limited"]).await.expect_code(0);
        }
    }
    pair.stage.drained().await;
    assert_eq!(pair.stage.results().await, 10, "what went back is not lost");
}

#[tokio::test]
async fn hosts_share_what_a_tenant_may() {
    let pair = Pair::new("concurrency = 3", "", &[("sleeps", "sleeps", "")]).await;
    let (second, third) = (pair.stage.host("host-2", "").await, pair.stage.host("host-3", "").await);
    pair.publish("sleeps", 18, "4000").await;
    // Until each host has seen the others, it thinks that all of it is its own.
    eventually("some are done", SOON, || async { (pair.stage.results().await >= 9).then_some(()) }).await;
    let mut most = [0; 3];
    let looking = async {
        while pair.stage.results().await < 18 {
            let now = [running(&pair.host).await, running(&second).await, running(&third).await];
            assert!(now.iter().sum::<u32>() <= 3, "{now:?}");
            most = [0, 1, 2].map(|host| now[host].max(most[host]));
        }
    };
    now_or_panic("all are done", SOON, looking).await;
    assert_eq!(most, [1, 1, 1], "each has its part");
}

#[tokio::test]
async fn fuel_in_a_minute_is_spent_and_no_more() {
    let queue = "limits = { fuel = 20_000_000 }\nretry = { attempts = 1 }";
    let quota = ", fuel_per_minute = 200_000_000";
    let pair = Pair::new("", quota, &[("spin", "spin", queue)]).await;
    pair.publish("spin", 200, "").await;
    eventually("the minute's fuel is spent", SOON, || async {
        (pair.stage.results().await >= 10).then_some(())
    })
    .await;
    let start = Instant::now();
    pair.neighbour_is_well().await;
    let (done, took) = (pair.stage.results().await, start.elapsed().as_secs());
    // Ten at first, a few that were tried at once, and one in six seconds.
    assert!(done <= 10 + 8 + took / 6 + 2, "{done} after {took} s");
    pair.apply(&file("limited", "", ", fuel_per_minute = 100_000_000_000", &[("spin", "spin", queue)])).await;
    pair.stage.drained().await;
    assert_eq!(pair.stage.results().await, 200);
}

#[tokio::test]
async fn processor_time_of_a_day_is_spent_and_no_more() {
    let queue = "limits = { fuel = 50_000_000 }\nretry = { attempts = 1 }";
    let pair = Pair::new("", ", cpu_per_day = '1s'", &[("spin", "spin", queue)]).await;
    pair.publish("spin", 1_000, "").await;
    let cpu = || async {
        let args = ["tenant", "usage", "limited", "--output", "json"];
        let done = pair.stage.run(&args).await.expect_code(0);
        let document: Value = serde_json::from_slice(&done.stdout).expect("one object");
        let rows = document["data"]["rows"].as_array().expect("rows").clone();
        rows.iter().map(|row| row["cpu_seconds"].as_f64().expect("seconds")).sum::<f64>()
    };
    let spent = eventually("the account has it", SOON, || async {
        let (before, done) = (cpu().await, pair.stage.results().await);
        // Written every five seconds: the same twice, and nothing has run between.
        pair.neighbour_is_well().await;
        (before > 0.3 && cpu().await.to_bits() == before.to_bits() && pair.stage.results().await == done)
            .then_some(before)
    })
    .await;
    assert!(spent < 3.0, "{spent} s of processors");
    assert!(pair.stage.queued().await > 100);
    pair.apply(&file("limited", "", "", &[("spin", "spin", queue)])).await;
    pair.stage.drained().await;
    assert_eq!(pair.stage.results().await, 1_000);
}

#[tokio::test]
async fn log_messages_beyond_a_minutes_are_dropped_and_that_is_said() {
    let pair = Pair::new("", ", logs_per_minute = '64KiB'", &[("chats", "chats", "")]).await;
    let mut events = pair.stage.client.subscribe("saggar.limited.event.>").await.expect("it subscribes");
    pair.stage.client.flush().await.expect("it answers");
    // Three lines each, of ten bytes or more.
    pair.publish("chats", 50, "300").await;
    pair.stage.drained().await;
    pair.neighbour_is_well().await;
    let (mut bytes, mut said) = (0, 0);
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(2), events.next()).await {
        let event: Value = serde_json::from_slice(&event.payload).expect("an object");
        let text = event["message"].as_str().unwrap_or_default();
        if text.contains("logs_per_minute") {
            said += 1;
        } else if event["source"].is_string() {
            bytes += text.len();
        }
    }
    // Lines that come too fast are dropped on their way, too.
    assert!((1 << 10..=96 << 10).contains(&bytes), "{bytes} bytes were passed on");
    assert!((1..=50).contains(&said), "{said} attempts say it");
    assert_eq!(pair.stage.results().await, 50, "their results are there");
}

#[tokio::test]
async fn one_customer_runs_one_at_a_time_and_another_does_not_wait() {
    let queue = "concurrency = 8\nkey = { header = 'Customer', concurrency = 1 }";
    let pair = Pair::new("", "", &[("sleeps", "sleeps", queue)]).await;
    for task in 0..12 {
        pair.stage.publish_with("sleeps", &format!("a{task}"), "1500", &[("Customer", "a")]).await;
    }
    for task in 0..3 {
        pair.stage.publish_with("sleeps", &format!("b{task}"), "10", &[("customer", "b")]).await;
        pair.stage.publish_with("sleeps", &format!("none{task}"), "10", &[]).await;
    }
    for task in 0..3 {
        pair.stage.result("sleeps", &format!("b{task}")).await;
        pair.stage.result("sleeps", &format!("none{task}")).await;
    }
    assert!(pair.stage.results().await < 6 + 12, "some of a's still wait");
    pair.neighbour_is_well().await;
    let mut ran = Vec::new();
    for task in 0..12 {
        let result = pair.stage.result_within("sleeps", &format!("a{task}"), Duration::from_mins(2)).await;
        assert_eq!(
            (result.outcome, result.receipt.attempt),
            (Outcome::Succeeded, 1),
            "waiting is no attempt"
        );
        let start = result.receipt.queued;
        ran.push((start, start + result.receipt.duration));
    }
    // All were published within a moment, so that waiting times tell which ran beside which.
    ran.sort_unstable();
    let beside = ran.windows(2).filter(|two| two[1].0 + Duration::from_millis(700) < two[0].1).count();
    assert_eq!(beside, 0, "{ran:?}");
}

#[tokio::test]
async fn one_customers_rate_puts_its_tasks_off_and_nobody_elses() {
    let queue = "key = { header = 'Customer', rate = '1/s', burst = 2 }";
    let pair = Pair::new("", "", &[("echo", "echo", queue)]).await;
    let start = Instant::now();
    for task in 0..10 {
        pair.stage.publish_with("echo", &format!("a{task}"), "x", &[("Customer", "a")]).await;
    }
    for task in 0..50 {
        let key = format!("b{task}");
        pair.stage.publish_with("echo", &key, "x", &[("Customer", &key)]).await;
    }
    for task in 0..50 {
        pair.stage.result("echo", &format!("b{task}")).await;
    }
    pair.neighbour_is_well().await;
    for task in 0..10 {
        let result = pair.stage.result("echo", &format!("a{task}")).await;
        assert_eq!((result.outcome, result.receipt.attempt), (Outcome::Succeeded, 1));
    }
    assert!(start.elapsed() >= Duration::from_secs(7), "ten at one a second, two at once");
    pair.stage.drained().await;
}

#[tokio::test]
async fn a_full_queue_refuses_its_publisher_and_nobody_else() {
    let pair = Pair::new("", ", tasks = 5", &[("sleeps", "sleeps", "")]).await;
    pair.publish("sleeps", 5, "20000").await;
    let refused = pair.stage.run(&["task", "submit", "sleeps", "1"]).await.expect_code(77);
    assert!(refused.stderr.contains("quota"), "{}", refused.stderr);
    pair.neighbour_is_well().await;
}

#[tokio::test]
async fn full_dead_letters_stop_their_tenant_and_nobody_else() {
    let pair = Pair::new("", "", &[("fails", "fails", "retry = { attempts = 1 }")]).await;
    // 16 MiB of dead letters.
    let payload = format!("reject {}", " ".repeat(700 << 10));
    for task in 0..30 {
        pair.stage.publish("fails", &format!("t{task}"), payload.clone()).await;
    }
    eventually("dead letters are full", SOON, || async {
        let (dead, queued) = (pair.stage.dead().await, pair.stage.queued().await);
        (dead >= 20 && queued > 0).then_some(())
    })
    .await;
    pair.neighbour_is_well().await;
    assert!(pair.stage.queued().await > 0, "nothing is lost");
    pair.stage.run(&["dead", "rm", "--queue", "fails", "--yes"]).await.expect_code(0);
    pair.stage.drained().await;
}

//! A task that hosts are lost with runs with no other such task beside it, and not for ever.

use std::collections::BTreeSet;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::{Message, Subscriber};
use futures::StreamExt as _;
use saggar_harness::{eventually, now_or_panic};
use saggar_model::Outcome;
use serde_json::Value;

use crate::stage::{SOON, Stage, get};

/// A task began to run, or its result is there.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Started { task: String, host: String },
    Result { task: String },
}

/// What can be heard of the tasks of queue `sleeps`, in the order it happened.
struct Ear(Subscriber);

impl Ear {
    async fn at(stage: &Stage) -> Self {
        Self(stage.client.subscribe(format!("saggar.{}.>", stage.tenant)).await.expect("it is subscribed"))
    }

    async fn next(&mut self) -> Said {
        let next = async {
            loop {
                let message = self.0.next().await.expect("the connection is there");
                if let Some(said) = read(&message) {
                    return said;
                }
            }
        };
        now_or_panic("something is heard of the tasks", SOON, next).await
    }

    /// Waits until `task` runs on `host`; false if it has its result instead.
    async fn started(&mut self, task: &str, host: &str) -> bool {
        let started = Said::Started { task: task.to_owned(), host: host.to_owned() };
        let ended = Said::Result { task: task.to_owned() };
        loop {
            let said = self.next().await;
            if said == started || said == ended {
                return said == started;
            }
        }
    }
}

fn read(message: &Message) -> Option<Said> {
    let tokens: Vec<_> = message.subject.split('.').skip(2).collect();
    match tokens.as_slice() {
        ["event", "sleeps", task, "started"] => {
            let body: Value = serde_json::from_slice(&message.payload).ok()?;
            Some(Said::Started { task: (*task).to_owned(), host: body["host"].as_str()?.to_owned() })
        }
        ["result", "sleeps", task] => Some(Said::Result { task: (*task).to_owned() }),
        _ => None,
    }
}

/// Gives tasks back in the name of hosts that are gone, which the server does by itself half a minute later.
async fn give_back_for_the_dead(stage: &Stage) {
    let context = async_nats::jetstream::new(stage.client.clone());
    let name = format!("SAGGAR_TASKS_{}", stage.tenant);
    let stream = context.get_stream(&name).await.expect("the stream is there");
    let consumer = stream.consumer_info("sleeps").await.expect("the consumer is there");
    if consumer.num_ack_pending == 0 {
        return;
    }
    let state = &stream.cached_info().state;
    for sequence in state.first_sequence..=state.last_sequence {
        let last = consumer.delivered.consumer_sequence;
        let word = format!("$JS.ACK.{name}.sleeps.1.{sequence}.{last}.0.0");
        stage.client.publish(word, "-NAK".into()).await.expect("it is sent");
    }
    stage.client.flush().await.expect("it is sent");
}

/// Takes all tasks as a host does that is lost before it starts them.
async fn lose_another_host(stage: &Stage, tasks: usize) {
    give_back_for_the_dead(stage).await;
    let context = async_nats::jetstream::new(stage.client.clone());
    let stream = context.get_stream(format!("SAGGAR_TASKS_{}", stage.tenant)).await.expect("it is there");
    let queue: PullConsumer = stream.get_consumer("sleeps").await.expect("it is there");
    let delivered = queue.fetch().max_messages(tasks).expires(SOON).messages().await.expect("it delivers");
    assert_eq!(delivered.count().await, tasks);
}

/// A stage whose first host was lost while it ran these tasks: (id, milliseconds to sleep).
async fn suspects(tenant: &str, tasks: &[(&str, &str)]) -> (Stage, Ear) {
    let stage = Stage::new(tenant).await;
    let mut ear = Ear::at(&stage).await;
    let mut host = stage.host("host-0", "").await;
    stage.apply(&["sleeps"], "events = true\nretry = { attempts = 1 }").await;
    for (id, millis) in tasks {
        stage.publish("sleeps", id, millis.to_string()).await;
    }
    let mut running = BTreeSet::new();
    while running.len() < tasks.len() {
        match ear.next().await {
            Said::Started { task, .. } => drop(running.insert(task)),
            Said::Result { task } => panic!("{task} has ended before the host is killed"),
        }
    }
    host.kill_9().await;
    (stage, ear)
}

#[tokio::test]
async fn a_task_that_takes_its_hosts_with_it_is_set_aside_and_those_beside_it_are_not() {
    let neighbours = ["a", "b", "c"];
    let (stage, mut ear) =
        suspects("poison", &[("a", "5000"), ("b", "5000"), ("c", "5000"), ("poison", "")]).await;
    let mut lost = 1;
    let (_last, name, url) = loop {
        let name = format!("host-{lost}");
        let mut host = stage.start_host(&name, "");
        let url = host.wait_for_url(SOON).await;
        give_back_for_the_dead(&stage).await;
        if !ear.started("poison", &name).await {
            break (host, name, url);
        }
        host.wait_for_text("hosts were lost with this task", SOON).await;
        host.kill_9().await;
        lost += 1;
        // Four, and one more for each trial that is over before a busy machine has killed the host.
        assert!((1..=8).contains(&lost), "{lost} hosts were lost, and the task is run again");
    };
    assert!(lost >= 4, "the first loss blames nobody, and three are needed: {lost}");

    let result = stage.result("sleeps", "poison").await;
    assert_eq!((result.outcome, &result.receipt.host), (Outcome::HostError, &name));
    let reason = result.reason().expect("a failure has one");
    assert!(reason.contains("3 hosts were lost while each ran this task"), "{reason}");
    for id in neighbours {
        let result = stage.result("sleeps", id).await;
        assert_eq!((result.outcome, result.receipt.attempt), (Outcome::Succeeded, 1), "{id}");
    }
    eventually("every task is acknowledged", SOON, || async { (stage.queued().await == 0).then_some(()) })
        .await;
    assert_eq!(stage.dead().await, 1);
    let shown = stage.run(&["dead", "show", "sleeps/poison"]).await.expect_code(0).text();
    assert!(shown.contains("host-error") && shown.contains("3 hosts were lost"), "{shown}");
    let line = r#"saggar_suspects_total{tenant="poison",queue="sleeps",fate="dead-lettered"} 1"#;
    let (_, metrics) = get(&format!("{url}/metrics")).await.expect("the host answers");
    assert!(metrics.contains(line), "{metrics}");
    let forgotten = || async { (stage.messages("SAGGAR_STATE").await == 0).then_some(()) };
    eventually("what the tasks had been through is forgotten", SOON, forgotten).await;
}

#[tokio::test]
async fn a_host_runs_one_suspect_at_a_time_and_others_beside_it() {
    let ids = ["a", "b", "c"];
    let (stage, mut ear) = suspects("turns", &[("a", "1500"), ("b", "1500"), ("c", "1500")]).await;
    // Their trial is 4 s then, which none of them needs.
    lose_another_host(&stage, ids.len()).await;
    lose_another_host(&stage, ids.len()).await;
    let _host = stage.host("host-1", "").await;
    give_back_for_the_dead(&stage).await;
    let mut fresh = None;
    let mut running: Option<String> = None;
    let mut ended = BTreeSet::new();
    while ended.len() < ids.len() {
        match ear.next().await {
            Said::Started { task, .. } if task == "fresh" => {}
            Said::Result { task } if task == "fresh" => fresh = Some(running.clone()),
            Said::Started { task, host } => {
                assert_eq!((running.replace(task), host.as_str()), (None, "host-1"));
                if ended.is_empty() {
                    stage.publish("sleeps", "fresh", "0").await;
                }
            }
            Said::Result { task } => {
                assert_eq!(running.take().as_ref(), Some(&task));
                ended.insert(task);
            }
        }
    }
    assert!(fresh.expect("the fresh task has a result").is_some(), "it did not wait for the suspect");
    for id in ids {
        let result = stage.result("sleeps", id).await;
        assert_eq!((result.outcome, result.receipt.attempt), (Outcome::Succeeded, 1), "{id}");
    }
    assert_eq!(stage.dead().await, 0);
}

#[tokio::test]
async fn a_suspect_that_has_run_alone_for_a_while_goes_on_beside_the_next() {
    let (stage, mut ear) = suspects("trial", &[("a", "12000"), ("b", "12000")]).await;
    let _host = stage.host("host-1", "").await;
    give_back_for_the_dead(&stage).await;
    for _ in ["a", "b"] {
        let said = ear.next().await;
        assert!(matches!(said, Said::Started { .. }), "{said:?}, and the other one waited for it");
    }
    for sequence in [1, 2] {
        let acquitted = || async { (state(&stage, sequence).await["alone_at"] == Value::Null).then_some(()) };
        eventually("its host may be lost without blame", SOON, acquitted).await;
    }
    for id in ["a", "b"] {
        let result = stage.result("sleeps", id).await;
        assert_eq!((result.outcome, result.receipt.attempt), (Outcome::Succeeded, 1), "{id}");
    }
    let forgotten = || async { (stage.messages("SAGGAR_STATE").await == 0).then_some(()) };
    eventually("what the tasks had been through is forgotten", SOON, forgotten).await;
}

#[tokio::test]
async fn a_host_that_drains_is_not_lost_to_its_suspect() {
    let (stage, mut ear) = suspects("drained", &[("a", "")]).await;
    let mut interruptions = 1;
    for host in ["host-1", "host-2", "host-3", "host-4"] {
        let mut process = stage.host(host, "drain = '1ms'").await;
        if interruptions == 1 {
            give_back_for_the_dead(&stage).await;
        }
        assert!(ear.started("a", host).await);
        process.terminate();
        assert_eq!(process.wait(SOON).await.code(), Some(0));
        interruptions += 1;
        let state = state(&stage, 1).await;
        let counts = ["interruptions", "losses", "crashes", "attempts"].map(|key| state[key].as_u64());
        assert_eq!(counts, [Some(interruptions), Some(1), Some(0), Some(0)], "{state}");
        assert_eq!(state["alone_at"], Value::Null);
    }
    assert_eq!((stage.queued().await, stage.results().await, stage.dead().await), (1, 0, 0));
}

#[tokio::test]
async fn what_a_finished_task_had_been_through_is_forgotten_by_whoever_finds_its_result() {
    let stage = Stage::new("forgotten").await;
    let mut first = stage.host("host-0", "").await;
    stage.apply(&["sleeps"], "").await;
    stage.publish("sleeps", "a", "0").await;
    stage.result("sleeps", "a").await;
    // Its message is acknowledged a moment after the result is there.
    stage.drained().await;
    first.kill_9().await;
    // The same task once more, as if its host had been lost between the result and the rest.
    stage.publish("sleeps", "a", "0").await;
    lose_another_host(&stage, 1).await;
    let context = async_nats::jetstream::new(stage.client.clone());
    let written = context.publish("saggar.state.forgotten.sleeps.2", r#"{"alone_at":1}"#.into()).await;
    written.expect("it is sent").await.expect("it is stored");
    let _second = stage.host("host-1", "").await;
    give_back_for_the_dead(&stage).await;
    eventually("nothing is left of it", SOON, || async {
        (stage.queued().await == 0 && stage.messages("SAGGAR_STATE").await == 0).then_some(())
    })
    .await;
    assert_eq!((stage.results().await, stage.dead().await), (1, 0));
}

/// What the task at this place has been through.
async fn state(stage: &Stage, sequence: u64) -> Value {
    let context = async_nats::jetstream::new(stage.client.clone());
    let stream = context.get_stream("SAGGAR_STATE").await.expect("the stream is there");
    let subject = format!("saggar.state.{}.sleeps.{sequence}", stage.tenant);
    let kept = stream.get_last_raw_message_by_subject(&subject).await.expect("it is there");
    serde_json::from_slice(&kept.payload).expect("it is JSON")
}

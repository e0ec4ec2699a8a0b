//! What somebody breaks by hand is put right by itself.

use std::time::Duration;

use async_nats::jetstream::consumer::{Config, PullConsumer};
use async_nats::jetstream::{self, AckKind};
use futures::StreamExt as _;
use saggar_harness::{eventually, now_or_panic};
use saggar_model::Outcome;

use crate::stage::{SOON, Stage, get};

/// The leader derives everything again twice a minute.
const DERIVED: Duration = Duration::from_secs(90);

async fn tasks(stage: &Stage) -> jetstream::stream::Stream {
    let context = jetstream::new(stage.client.clone());
    context.get_stream(format!("SAGGAR_TASKS_{}", stage.tenant)).await.expect("the stream is there")
}

/// Changes a consumer as somebody would who thinks to know better.
async fn change(stage: &Stage, queue: &str, change: impl FnOnce(&mut Config)) {
    let stream = tasks(stage).await;
    let mut config = stream.consumer_info(queue).await.expect("the consumer is there").config;
    change(&mut config);
    let body = serde_json::json!({ "stream_name": stream.cached_info().config.name, "config": config, "action": "" });
    let subject = format!("$JS.API.CONSUMER.CREATE.{}.{queue}", stream.cached_info().config.name);
    let answer =
        stage.client.request(subject, serde_json::to_vec(&body).unwrap().into()).await.expect("it answers");
    let answer: serde_json::Value = serde_json::from_slice(&answer.payload).expect("it is JSON");
    assert_eq!(answer["error"], serde_json::Value::Null, "{answer}");
}

/// Takes one task of a queue as somebody does who is no host.
async fn take(stage: &Stage, queue: &str) -> jetstream::Message {
    let consumer: PullConsumer = tasks(stage).await.get_consumer(queue).await.expect("it is there");
    let mut messages = consumer.fetch().max_messages(1).expires(SOON).messages().await.expect("it delivers");
    now_or_panic("a task", SOON, messages.next()).await.expect("a task").expect("a task")
}

#[tokio::test]
async fn a_stream_of_results_that_somebody_deleted_comes_back_and_the_task_ends() {
    let (stage, _host) = Stage::with_host("no-results", &["echo"]).await;
    let context = jetstream::new(stage.client.clone());
    context.delete_stream("SAGGAR_RESULTS_no-results").await.expect("it is deleted");
    stage.publish("echo", "a", "clay").await;
    eventually("the stream is back, and the result in it", DERIVED, || async {
        let stream = context.get_stream("SAGGAR_RESULTS_no-results").await.ok()?;
        stream.get_last_raw_message_by_subject("saggar.no-results.result.echo.a").await.ok()
    })
    .await;
    assert_eq!(stage.result("echo", "a").await.outcome, Outcome::Succeeded);
    eventually("it is acknowledged", SOON, || async { (stage.queued().await == 0).then_some(()) }).await;
}

#[tokio::test]
async fn a_consumer_that_somebody_deleted_comes_back_and_no_attempt_is_forgotten() {
    let stage = Stage::new("no-consumer").await;
    let host = stage.host("host-1", "").await;
    stage.apply(&["fails"], "retry = { attempts = 3, base = '4s', factor = 1, cap = '5s' }").await;
    let mut result = stage.client.subscribe("saggar.no-consumer.result.>").await.unwrap();
    stage.publish("fails", "a", "until 3").await;
    let context = jetstream::new(stage.client.clone());
    eventually("its first attempt is written down", SOON, || async {
        let states = context.get_stream("SAGGAR_STATE").await.ok()?;
        states.get_last_raw_message_by_subject("saggar.state.no-consumer.fails.1").await.ok()
    })
    .await;
    tasks(&stage).await.delete_consumer("fails").await.expect("it is deleted");
    let result = now_or_panic("the result", DERIVED, result.next()).await.unwrap();
    let headers = result.headers.expect("a result has headers");
    assert_eq!(headers.get("Saggar-Status").unwrap().as_str(), "succeeded");
    assert_eq!(headers.get("Saggar-Attempt").unwrap().as_str(), "3");
    eventually("nothing is left", SOON, || async {
        (stage.queued().await == 0 && stage.messages("SAGGAR_STATE").await == 0).then_some(())
    })
    .await;
    drop(host);
}

#[tokio::test]
async fn a_tenant_that_cannot_be_set_up_keeps_no_other_from_being_put_right() {
    let (stage, _host) = Stage::with_host("mended", &["echo"]).await;
    let context = jetstream::new(stage.client.clone());
    let in_the_way = jetstream::stream::Config {
        name: "IN_THE_WAY".to_owned(),
        subjects: vec!["saggar.stuck.result.>".to_owned()],
        ..Default::default()
    };
    context.create_stream(in_the_way).await.expect("it is made");
    let file = stage.write("stuck.toml", "[tenant]\nname = 'stuck'\n");
    stage.run(&["apply", &file.display().to_string(), "--yes"]).await;
    let listed = stage.run(&["tenant", "ls", "--output", "json"]).await.expect_code(0).text();
    assert!(listed.contains("\"stuck\""), "{listed}");
    context.delete_stream("SAGGAR_RESULTS_mended").await.expect("it is deleted");
    eventually("the stream is back", DERIVED, || async {
        context.get_stream("SAGGAR_RESULTS_mended").await.ok()
    })
    .await;
    assert!(context.get_stream("SAGGAR_RESULTS_stuck").await.is_err(), "the other still fails");
}

#[tokio::test]
async fn tasks_that_a_consumer_has_passed_are_delivered_all_the_same() {
    let stage = Stage::new("passed").await;
    let mut first = stage.host("host-1", "").await;
    stage.apply(&["echo"], "").await;
    stage.publish("echo", "before", "clay").await;
    stage.result("echo", "before").await;
    first.terminate();
    first.wait(SOON).await;
    change(&stage, "echo", |config| config.filter_subjects = vec!["saggar.passed.task.echo.seen".into()])
        .await;
    stage.publish("echo", "unseen", "clay").await;
    stage.publish("echo", "seen", "clay").await;
    take(&stage, "echo").await.double_ack().await.expect("it is acknowledged");
    // Put right again, and too late for what the consumer has passed.
    change(&stage, "echo", |config| config.filter_subjects = vec!["saggar.passed.task.echo.*".into()]).await;

    let second = stage.start_host("host-2", "");
    let url = second.wait_for_url(SOON).await;
    let result = stage.result_within("echo", "unseen", DERIVED).await;
    assert_eq!((result.outcome, result.receipt.host.as_str()), (Outcome::Succeeded, "host-2"));
    let line = r#"saggar_mended_total{what="overlooked"} 1"#;
    let (_, metrics) = get(&format!("{url}/metrics")).await.expect("the host answers");
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn a_task_that_reaches_a_maximum_of_deliveries_is_a_dead_letter_and_no_other_is() {
    let stage = Stage::new("given-up").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["fails"], "retry = { attempts = 5, base = '1s', factor = 1, cap = '1s' }").await;
    change(&stage, "fails", |config| config.max_deliver = 1).await;
    stage.publish_with("fails", "a", "retry", &[("X-Customer", "7")]).await;
    let result = stage.result("fails", "a").await;
    assert_eq!((result.outcome, result.receipt.attempt), (Outcome::HostError, 1));
    assert!(result.reason().unwrap().contains("maximum of deliveries"), "{:?}", result.reason());
    eventually("it is out of the queue", SOON, || async { (stage.queued().await == 0).then_some(()) }).await;
    let shown = stage.run(&["dead", "show", "fails/a"]).await.expect_code(0).text();
    assert!(shown.contains("X-Customer") && shown.contains("maximum of deliveries"), "{shown}");

    // Nothing bears out what a stranger makes up about a task that is well.
    change(&stage, "fails", |config| config.max_deliver = -1).await;
    stage.publish("fails", "b", "until 3").await;
    let made_up = r#"{"stream":"SAGGAR_TASKS_given-up","consumer":"fails","stream_seq":2,"deliveries":1}"#;
    let subject = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.SAGGAR_TASKS_given-up.fails";
    stage.client.publish(subject, made_up.into()).await.unwrap();
    assert_eq!(stage.result("fails", "b").await.outcome, Outcome::Succeeded);
    assert_eq!(stage.dead().await, 1);
}

#[tokio::test]
async fn a_task_that_a_stranger_terminates_leaves_a_dead_letter_that_says_so() {
    let stage = Stage::new("terminated").await;
    let mut first = stage.host("host-1", "").await;
    stage.apply(&["echo"], "").await;
    // A host that has led a moment ago, and a queue that nobody serves.
    change(&stage, "echo", |config| config.max_ack_pending = 2).await;
    first.terminate();
    first.wait(SOON).await;
    stage.publish("echo", "a", "clay").await;
    let message = take(&stage, "echo").await;
    let _second = stage.host("host-2", "").await;
    eventually("it leads, and listens", SOON, || async {
        message.ack_with(AckKind::Progress).await.ok()?;
        let stream = tasks(&stage).await;
        let info = stream.consumer_info("echo").await.ok()?;
        (info.config.max_ack_pending != 2).then_some(())
    })
    .await;
    message.ack_with(AckKind::Term).await.expect("it is sent");
    eventually("there is a dead letter", SOON, || async { (stage.dead().await == 1).then_some(()) }).await;
    let listed = stage.run(&["dead", "ls"]).await.expect_code(0).text();
    assert!(listed.contains("echo/seq-") && listed.contains("host-error"), "{listed}");
}

#[tokio::test]
async fn a_queue_whose_dead_letters_are_full_stops_and_goes_on_by_itself() {
    let (stage, host) = Stage::with_host("full", &["fails"]).await;
    // The quota is 16 MiB; what others keep there takes its room all the same.
    let context = jetstream::new(stage.client.clone());
    let filling = async |bytes: usize| {
        for n in 0.. {
            let subject = format!("saggar.full.dead.fails.fill-{bytes}-{n}");
            let stored = context.publish(subject, vec![0; bytes].into()).await.expect("it is sent").await;
            if stored.is_err() {
                return;
            }
        }
    };
    filling(900_000).await;
    filling(1_000).await;
    stage.publish("fails", "a", "reject").await;
    host.wait_for_text("blocked: dead letters full", SOON).await;
    assert_eq!((stage.results().await, stage.queued().await), (0, 1), "nothing is lost for want of room");
    context.get_stream("SAGGAR_DEAD_full").await.unwrap().purge().await.expect("there is room");
    host.wait_for_text("no longer blocked", SOON).await;
    assert_eq!(stage.result("fails", "a").await.outcome, Outcome::Rejected);
    assert_eq!(stage.dead().await, 1);
}

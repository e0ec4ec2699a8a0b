//! A task that cannot be understood never loops and never vanishes: it is a dead letter, under a name of ours.

use saggar_harness::eventually;
use saggar_model::Outcome;

use crate::stage::{SOON, Stage};

#[tokio::test]
async fn malformed_tasks_end_as_invalid_in_the_dead_letters() {
    let (stage, _host) = Stage::with_host("malformed", &["echo"]).await;
    let long = "x".repeat(2000);
    let bad: [(&str, &[(&str, &str)]); 8] = [
        (&long, &[]),
        ("größe", &[]),
        ("seq-1-1", &[]),
        ("a1", &[("Saggar-Timeout", "soon")]),
        ("a2", &[("Saggar-Deadline", "tomorrow")]),
        ("a3", &[("Saggar-Reply-To", "saggar.other.reply.x")]),
        ("a4", &[("Saggar-Payload", "object:x")]),
        ("a5", &[("X-Large", &"x".repeat(17 * 1024))]),
    ];
    for (id, headers) in bad {
        stage.publish_with("echo", id, "clay", headers).await;
    }
    stage.publish("echo", "good", "clay").await;
    assert_eq!(stage.result("echo", "good").await.outcome, Outcome::Succeeded, "the host goes on");
    eventually("all of them are settled", SOON, || async {
        (stage.queued().await == 0 && stage.dead().await == bad.len() as u64).then_some(())
    })
    .await;
    let dead = stage.subjects("SAGGAR_DEAD_malformed").await;
    let under_our_name = dead.keys().filter(|subject| subject.contains(".echo.seq-")).count();
    assert_eq!(under_our_name, 3, "what cannot be a name is not used as one: {dead:?}");
    assert!(dead.keys().all(|subject| subject.is_ascii() && subject.len() < 128), "{dead:?}");
    let result = stage.result("echo", "a1").await;
    assert_eq!(result.outcome, Outcome::Invalid);
    assert!(result.reason().unwrap().contains("Saggar-Timeout: `soon`"), "{:?}", result.reason());
}

#[tokio::test]
async fn a_task_after_its_deadline_is_not_started() {
    let (stage, _host) = Stage::with_host("deadline", &["echo"]).await;
    stage.publish_with("echo", "late", "clay", &[("Saggar-Deadline", "2020-01-01T00:00:00Z")]).await;
    stage.publish_with("echo", "early", "clay", &[("Saggar-Deadline", "9999-12-30T00:00:00Z")]).await;
    let late = stage.result("echo", "late").await;
    assert_eq!((late.outcome, late.receipt.fuel), (Outcome::Expired, 0));
    assert_eq!(stage.result("echo", "early").await.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_publisher_can_shorten_the_wall_limit() {
    let stage = Stage::new("shorter").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["sleeps"], "retry = { attempts = 1 }").await;
    stage.publish_with("sleeps", "a", "", &[("Saggar-Timeout", "100ms")]).await;
    assert_eq!(stage.result("sleeps", "a").await.outcome, Outcome::TimedOut);
}

#[tokio::test]
async fn headers_that_command_the_message_system_have_no_effect() {
    let (stage, _host) = Stage::with_host("tricks", &["fails"]).await;
    stage.publish("fails", "before", "ok").await;
    stage.result("fails", "before").await;
    // The server refuses some of them to their publisher; none of those it takes is copied on.
    for (name, value) in [("Nats-TTL", "1h"), ("Nats-Rollup", "all"), ("Nats-Schedule", "@every 1s")] {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(name, value);
        let subject = "saggar.tricks.task.fails.trick";
        stage.client.publish_with_headers(subject, headers, "reject".into()).await.unwrap();
    }
    stage.publish_with("fails", "after", "reject", &[("Nats-Expected-Stream", "SAGGAR_TASKS_tricks")]).await;
    assert_eq!(stage.result("fails", "after").await.outcome, Outcome::Rejected);
    assert_eq!(stage.result("fails", "before").await.outcome, Outcome::Succeeded, "nothing was rolled up");
    let context = async_nats::jetstream::new(stage.client.clone());
    let dead = context.get_stream("SAGGAR_DEAD_tricks").await.unwrap();
    let letter = dead.direct_get_last_for_subject("saggar.tricks.dead.fails.after").await.unwrap();
    assert!(
        letter
            .headers
            .get("Nats-Expected-Stream")
            .is_none_or(|value| value.as_str() != "SAGGAR_TASKS_tricks")
    );
}

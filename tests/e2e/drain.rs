//! A host that is told to stop gives up nothing that it has begun.

use saggar_harness::eventually;
use saggar_model::Outcome;

use crate::stage::{SOON, Stage};

#[tokio::test]
async fn running_tasks_end_within_the_grace_and_the_host_exits_with_0() {
    let (stage, mut host) = Stage::with_host("grace", &["sleeps"]).await;
    stage.publish("sleeps", "a", "700").await;
    stage.running("sleeps", 1).await;
    host.terminate();
    assert_eq!(host.wait(SOON).await.code(), Some(0));
    assert_eq!(stage.results().await, 1, "it ended before the host did");
    assert_eq!(stage.result("sleeps", "a").await.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn what_does_not_end_in_time_is_given_back_uncounted() {
    let stage = Stage::new("give-back").await;
    let mut first = stage.host("host-1", "drain = '200ms'").await;
    stage.apply(&["sleeps"], "retry = { attempts = 1 }").await;
    for id in ["a", "b", "c"] {
        stage.publish("sleeps", id, "4000").await;
    }
    stage.running("sleeps", 3).await;
    first.terminate();
    assert_eq!(first.wait(SOON).await.code(), Some(0));
    assert_eq!(
        (stage.results().await, stage.queued().await),
        (0, 3),
        "nothing is lost and nothing is settled"
    );
    let _second = stage.host("host-2", "").await;
    for id in ["a", "b", "c"] {
        let result = stage.result("sleeps", id).await;
        assert_eq!(
            (result.outcome, result.receipt.attempt),
            (Outcome::Succeeded, 1),
            "of one attempt at most"
        );
        assert_eq!(result.receipt.host, "host-2");
    }
}

#[tokio::test]
async fn a_guest_that_stops_when_it_is_asked_to_has_lost_no_attempt() {
    let stage = Stage::new("polite").await;
    let mut first = stage.host("host-1", "").await;
    stage.apply(&["waits"], "retry = { attempts = 1 }").await;
    stage.publish("waits", "a", "").await;
    stage.running("waits", 1).await;
    first.terminate();
    assert_eq!(first.wait(SOON).await.code(), Some(0));
    assert_eq!((stage.results().await, stage.queued().await, stage.dead().await), (0, 1, 0));
}

#[tokio::test]
async fn hosts_that_are_restarted_in_turn_under_load_fail_no_task_and_none_is_delivered_twice() {
    const TASKS: usize = 2_400;
    const SLOTS: &str = "slots = 16\ndrain = '30s'";
    let stage = Stage::new("rolling").await;
    let mut hosts = Vec::new();
    for name in ["host-1", "host-2", "host-3"] {
        hosts.push((name, stage.host(name, SLOTS).await));
    }
    stage.apply(&["sleeps"], "concurrency = 64\nretry = { attempts = 1 }").await;
    let publishing = async {
        for n in 0..TASKS {
            stage.publish("sleeps", &format!("t{n}"), "200").await;
        }
    };
    let restarting = async {
        for (name, host) in &mut hosts {
            host.terminate();
            assert_eq!(host.wait(SOON).await.code(), Some(0));
            *host = stage.host(name, SLOTS).await;
        }
    };
    tokio::join!(publishing, restarting);
    eventually("every task has a result", SOON * 2, || async {
        (stage.results().await == TASKS as u64 && stage.queued().await == 0).then_some(())
    })
    .await;
    for n in 0..TASKS {
        let result = stage.result("sleeps", &format!("t{n}")).await;
        assert_eq!((result.outcome, result.receipt.attempt), (Outcome::Succeeded, 1), "t{n}");
    }
    let context = async_nats::jetstream::new(stage.client.clone());
    let stream = context.get_stream("SAGGAR_TASKS_rolling").await.unwrap();
    let delivered = stream.consumer_info("sleeps").await.unwrap().delivered.consumer_sequence;
    assert_eq!(delivered, TASKS as u64, "each once");
}

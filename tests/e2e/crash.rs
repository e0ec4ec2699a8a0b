//! A host that is killed loses nothing but time.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use saggar_harness::{eventually, now_or_panic};
use saggar_model::Outcome;

use crate::stage::{SOON, Stage};

/// Tasks of a killed host come back when the server has waited half a minute for a sign of life.
const REDELIVERY: Duration = Duration::from_mins(2);

#[tokio::test]
async fn after_kill_9_every_task_has_exactly_one_result() {
    const TASKS: usize = 200;
    let stage = Stage::new("crash").await;
    let mut host = stage.host("host-1", "slots = 200\nmemory = '64GiB'").await;
    stage.apply(&["sleeps"], "concurrency = 200").await;
    for n in 0..TASKS {
        stage.publish("sleeps", &format!("t{n}"), if n % 2 == 0 { "1500" } else { "10" }).await;
    }
    // Some have ended, the others run: the moment to die.
    eventually("half of the tasks have results", SOON, || async {
        (stage.results().await >= TASKS as u64 / 4).then_some(())
    })
    .await;
    host.kill_9().await;
    let before = stage.results().await;
    assert!(before < TASKS as u64, "some tasks still ran when the host was killed");

    let _again = stage.host("host-1", "slots = 200\nmemory = '64GiB'").await;
    eventually("every task has a result", REDELIVERY, || async {
        (stage.results().await == TASKS as u64 && stage.queued().await == 0).then_some(())
    })
    .await;
    let results = stage.subjects("SAGGAR_RESULTS_crash").await;
    assert_eq!(results.len(), TASKS);
    assert!(results.values().all(|count| *count == 1), "{results:?}");
    for n in 0..TASKS {
        let result = stage.result("sleeps", &format!("t{n}")).await;
        assert_eq!(result.outcome, Outcome::Succeeded);
        assert_eq!(result.receipt.attempt, 1, "a lost host does not count against the task");
    }
    assert_eq!(stage.dead().await, 0);
    let state = || async { (stage.messages("SAGGAR_STATE").await == 0).then_some(()) };
    eventually("what tasks had been through is forgotten", SOON, state).await;
}

#[tokio::test]
async fn tasks_of_a_lost_host_run_again_as_soon_as_the_server_has_waited_for_it() {
    // What the server waits, and what a machine that does ten other things may add; alone it is half a second.
    const RUN_AGAIN: Duration = Duration::from_secs(30 + 10);
    let stage = Stage::new("recovery").await;
    let mut first = stage.host("host-1", "").await;
    stage.apply(&["sleeps"], "events = true").await;
    for n in 0..8 {
        stage.publish("sleeps", &format!("t{n}"), "60000").await;
    }
    stage.running("sleeps", 8).await;
    let mut started = stage.client.subscribe("saggar.recovery.event.sleeps.*.started").await.unwrap();
    let _second = stage.host("host-2", "").await;
    first.kill_9().await;
    let lost = Instant::now();
    for n in 0..8 {
        now_or_panic("a task runs again", RUN_AGAIN.saturating_sub(lost.elapsed()), started.next()).await;
        println!("{} run again {:.1} s after their host was lost", n + 1, lost.elapsed().as_secs_f64());
    }
    assert_eq!(stage.results().await, 0, "none was over yet");
}

#[tokio::test]
async fn another_host_takes_over_from_one_that_is_gone() {
    let stage = Stage::new("takeover").await;
    let mut first = stage.host("host-1", "").await;
    stage.apply(&["sleeps"], "").await;
    stage.publish("sleeps", "a", "5000").await;
    eventually("it is delivered", SOON, || async {
        let context = async_nats::jetstream::new(stage.client.clone());
        let stream = context.get_stream("SAGGAR_TASKS_takeover").await.ok()?;
        let info = stream.consumer_info("sleeps").await.ok()?;
        (info.num_ack_pending == 1).then_some(())
    })
    .await;
    let _second = stage.host("host-2", "").await;
    first.kill_9().await;
    let result = stage.result_within("sleeps", "a", REDELIVERY).await;
    assert_eq!((result.outcome, result.receipt.host.as_str()), (Outcome::Succeeded, "host-2"));
}

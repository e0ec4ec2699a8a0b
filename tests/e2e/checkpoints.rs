//! A task of hours outlives its hosts: it goes on where it was.

use saggar_harness::{SaggarProcess, eventually};
use saggar_model::Outcome;

use crate::stage::{SOON, Stage};

/// How many checkpoints are kept.
async fn kept(stage: &Stage) -> usize {
    let subjects = stage.subjects(&format!("OBJ_saggar-{}-checkpoints", stage.tenant)).await;
    subjects.keys().filter(|subject| subject.contains(".M.")).count()
}

/// A host that is at work on a task, and has kept a checkpoint of it.
async fn at_work(stage: &Stage) -> SaggarProcess {
    let host = stage.host("host-1", "").await;
    stage.apply(&["resumes"], "retry = { attempts = 1 }").await;
    stage.publish("resumes", "export", "4 100").await;
    eventually("a checkpoint is kept", SOON, || async {
        let context = async_nats::jetstream::new(stage.client.clone());
        context.get_stream(format!("OBJ_saggar-{}-checkpoints", stage.tenant)).await.ok()?;
        (kept(stage).await == 1).then_some(())
    })
    .await;
    host
}

/// Another host finishes the task, from where the first one was.
async fn goes_on(stage: &Stage) {
    let _second = stage.host("host-2", "").await;
    let result = stage.result_within("resumes", "export", SOON * 2).await;
    assert_eq!((result.outcome, result.receipt.attempt), (Outcome::Succeeded, 1), "{:?}", result.reason());
    let said = String::from_utf8_lossy(&result.payload).into_owned();
    let from: u32 =
        said.strip_prefix("from ").and_then(|from| from.parse().ok()).expect("it says where it began");
    assert!((1..4).contains(&from), "{said}");
    eventually("the checkpoint goes with the task", SOON, || async {
        (kept(stage).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_a_drain_ends_goes_on_elsewhere_from_its_checkpoint() {
    let stage = Stage::new("resume-drain").await;
    let mut first = at_work(&stage).await;
    first.terminate();
    assert_eq!(first.wait(SOON).await.code(), Some(0));
    goes_on(&stage).await;
}

#[tokio::test]
async fn what_a_host_was_at_that_is_lost_goes_on_elsewhere_from_its_checkpoint() {
    let stage = Stage::new("resume-lost").await;
    at_work(&stage).await.kill_9().await;
    goes_on(&stage).await;
}

#[tokio::test]
async fn a_failed_attempt_is_followed_by_one_that_goes_on_from_its_checkpoint() {
    let stage = Stage::new("resume-retry").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["resumes"], "retry = { attempts = 2, base = '10ms', cap = '20ms' }").await;
    stage.publish("resumes", "a", "3 0 2").await;
    let result = stage.result("resumes", "a").await;
    assert_eq!((result.outcome, result.receipt.attempt), (Outcome::Succeeded, 2), "{:?}", result.reason());
    assert_eq!(result.payload, "from 2");
    // The next task of that name begins at the beginning.
    stage.drained().await;
    assert_eq!(kept(&stage).await, 0);
    stage.publish("resumes", "b", "1").await;
    assert_eq!(stage.result("resumes", "b").await.payload, "from 0");
}

#[tokio::test]
async fn a_task_that_fails_for_good_leaves_no_checkpoint_and_begins_anew_when_redriven() {
    let stage = Stage::new("resume-dead").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["resumes"], "retry = { attempts = 1 }").await;
    stage.publish("resumes", "a", "2 0 1").await;
    assert_eq!(stage.result("resumes", "a").await.outcome, Outcome::Trapped);
    stage.drained().await;
    assert_eq!((kept(&stage).await, stage.dead().await), (0, 1));
    stage.run(&["dead", "redrive", "resumes/a"]).await.expect_code(0);
    assert_eq!(stage.result("resumes", "a").await.outcome, Outcome::Trapped, "it began anew");
}

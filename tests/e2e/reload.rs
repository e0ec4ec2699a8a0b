//! A running host takes up what an operator changes, without a restart.

use saggar_harness::eventually;
use saggar_model::Outcome;

use crate::stage::{SOON, Stage};

#[tokio::test]
async fn new_queues_changed_limits_and_removed_queues_reach_a_running_host() {
    let stage = Stage::new("reload").await;
    let host = stage.host("host-1", "").await;
    stage.apply(&["spin"], "retry = { attempts = 1 }\nlimits = { fuel = 1_000_000 }").await;
    stage.publish("spin", "a", "").await;
    assert_eq!(stage.result("spin", "a").await.receipt.fuel, 1_000_000);

    stage
        .apply_queues(&[
            ("spin", "spin", "retry = { attempts = 1 }\nlimits = { fuel = 2_000_000 }"),
            ("echo", "echo", ""),
        ])
        .await;
    stage.publish("echo", "a", "clay").await;
    assert_eq!(stage.result("echo", "a").await.outcome, Outcome::Succeeded);
    let mut turn = 0;
    eventually("the new limit holds", SOON, || {
        turn += 1;
        let (stage, id) = (&stage, format!("b{turn}"));
        async move {
            stage.publish("spin", &id, "").await;
            (stage.result("spin", &id).await.receipt.fuel == 2_000_000).then_some(())
        }
    })
    .await;

    stage.apply(&["echo"], "").await;
    host.wait_for_text("no longer served", SOON).await;
    // The stream's subjects change by themselves, before or after the host stops serving.
    let refused =
        || async { (stage.run(&["task", "submit", "spin", "x"]).await.code == Some(66)).then_some(()) };
    eventually("a task for the removed queue is refused", SOON, refused).await;
}

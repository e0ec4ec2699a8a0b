//! A task belongs to one host for as long as that host gives a sign of life, and to another one after that.

use std::time::Duration;

use async_nats::jetstream::consumer::Info;
use saggar_harness::{SaggarProcess, eventually};
use saggar_model::Outcome;

use crate::stage::{SOON, Stage, get};

/// Longer than the server waits for a sign of life, and than what follows takes.
const TAKEN_OVER: Duration = Duration::from_secs(150);

async fn consumer(stage: &Stage) -> Option<Info> {
    let context = async_nats::jetstream::new(stage.client.clone());
    let stream = context.get_stream(format!("SAGGAR_TASKS_{}", stage.tenant)).await.ok()?;
    stream.consumer_info("sleeps").await.ok()
}

fn signal(host: &SaggarProcess, name: &str) {
    let pid = host.pid().expect("the host runs").to_string();
    let sent = std::process::Command::new("kill").args([name, &pid]).status().expect("kill is there");
    assert!(sent.success());
}

#[tokio::test]
async fn a_task_that_outlasts_the_servers_patience_stays_with_its_host() {
    let stage = Stage::new("patience").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["sleeps"], "limits = { timeout = '2m' }").await;
    stage.publish("sleeps", "long", "35000").await;
    let result = stage.result_within("sleeps", "long", TAKEN_OVER).await;
    assert_eq!((result.outcome, result.receipt.attempt), (Outcome::Succeeded, 1));
    assert!(result.receipt.duration >= Duration::from_secs(35), "{:?}", result.receipt.duration);
    let info = consumer(&stage).await.expect("the consumer is there");
    assert_eq!(info.delivered.consumer_sequence, 1, "it was delivered once");
}

#[tokio::test]
async fn what_a_frozen_host_finishes_when_it_wakes_is_discarded_and_counted() {
    let stage = Stage::new("frozen").await;
    let frozen = stage.start_host("host-1", "");
    let url = frozen.wait_for_url(SOON).await;
    stage.apply(&["sleeps"], "").await;
    stage.publish("sleeps", "a", "3000").await;
    eventually("it is running", SOON, || async {
        consumer(&stage).await.filter(|info| info.num_ack_pending == 1)
    })
    .await;
    signal(&frozen, "-STOP");
    let _other = stage.host("host-2", "").await;
    let result = stage.result_within("sleeps", "a", TAKEN_OVER).await;
    assert_eq!((result.outcome, result.receipt.host.as_str()), (Outcome::Succeeded, "host-2"));
    signal(&frozen, "-CONT");
    let line = r#"saggar_lost_leases_total{tenant="frozen",queue="sleeps"} 1"#;
    eventually("the late result is counted", SOON, || async {
        let (_, body) = get(&format!("{url}/metrics")).await?;
        body.contains(line).then_some(())
    })
    .await;
    assert_eq!((stage.results().await, stage.queued().await, stage.dead().await), (1, 0, 0));
}

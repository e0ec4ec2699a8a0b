//! NATS goes away and comes back: the host waits for it, and nothing is lost.

use std::collections::BTreeSet;

use saggar_harness::eventually;
use saggar_model::Outcome;

use crate::stage::{SOON, Stage, get};

#[tokio::test]
async fn a_restart_of_nats_under_load_loses_nothing_and_needs_nobody() {
    const TASKS: usize = 400;
    let (mut stage, host) = Stage::with_host("outage", &["sleeps"]).await;
    for n in 0..TASKS {
        stage.publish("sleeps", &format!("t{n}"), "20").await;
    }
    eventually("the host is in the middle of it", SOON, || async {
        (stage.results().await >= 50).then_some(())
    })
    .await;
    stage.server.restart().await.expect("the server comes back");
    eventually("every task has a result", SOON * 2, || async {
        // Right after the restart the server may not answer yet.
        let context = async_nats::jetstream::new(stage.client.clone());
        let mut results = context.get_stream("SAGGAR_RESULTS_outage").await.ok()?;
        (results.info().await.ok()?.state.messages == TASKS as u64).then_some(())
    })
    .await;
    for n in 0..TASKS {
        assert_eq!(stage.result("sleeps", &format!("t{n}")).await.outcome, Outcome::Succeeded);
    }
    let queued = || async { (stage.queued().await == 0).then_some(()) };
    eventually("every task is acknowledged", SOON, queued).await;
    drop(host);
}

#[tokio::test]
async fn a_host_says_over_http_whether_it_has_nats() {
    let mut stage = Stage::new("health").await;
    let host = stage.start_host("host-1", "");
    let url = host.wait_for_url(SOON).await;
    let status = |path: &'static str, wanted: u16| {
        let url = format!("{url}{path}");
        move || {
            let url = url.clone();
            async move { (get(&url).await?.0 == wanted).then_some(()) }
        }
    };
    eventually("it is ready", SOON, status("/readyz", 200)).await;
    eventually("it is alive", SOON, status("/livez", 200)).await;
    stage.server.stop().await;
    eventually("it is not ready without NATS", SOON, status("/readyz", 503)).await;
    eventually("it is alive all the same", SOON, status("/livez", 200)).await;
    stage.server.restart().await.expect("the server comes back");
    eventually("it is ready again by itself", SOON, status("/readyz", 200)).await;
}

#[tokio::test]
async fn what_a_host_did_can_be_scraped() {
    let stage = Stage::new("metrics").await;
    let host = stage.start_host("host-1", "");
    let url = host.wait_for_url(SOON).await;
    stage.apply(&["echo"], "").await;
    stage.publish("echo", "a", "clay").await;
    stage.result("echo", "a").await;
    let line = r#"saggar_tasks_total{tenant="metrics",queue="echo",outcome="succeeded"} 1"#;
    eventually("the task is counted", SOON, || async {
        let (status, body) = get(&format!("{url}/metrics")).await?;
        (status == 200 && body.contains(line)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn attack_67_no_task_and_no_guest_makes_a_series_of_metrics() {
    let stage = Stage::new("labels").await;
    let host = stage.start_host("host-1", "");
    let url = host.wait_for_url(SOON).await;
    stage.apply(&["fails"], "retry = { attempts = 1 }").await;
    // Names and labels of all series that have something to show.
    let series = async || {
        let (_, body) = get(&format!("{url}/metrics")).await.expect("the host answers");
        let lines = body.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect::<BTreeSet<_>>()
    };
    stage.publish("fails", "first", "reject").await;
    stage.result("fails", "first").await;
    let before = series().await;
    for n in 0..20 {
        let id = format!("chosen-{n}");
        stage.publish("fails", &id, if n % 2 == 0 { "reject" } else { "exit 3" }).await;
        stage.result("fails", &id).await;
    }
    let after = series().await;
    assert_eq!(before.symmetric_difference(&after).collect::<Vec<_>>(), Vec::<&String>::new());
    let chosen = ["chosen", "not-clay", "sand", "first"];
    assert!(!after.iter().any(|line| chosen.iter().any(|text| line.contains(text))), "{after:?}");
}

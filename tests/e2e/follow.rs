//! Hosts follow what is applied within a second, and what runs is not dropped for it.

use std::time::{Duration, Instant};

use saggar_model::Outcome;

use crate::stage::Stage;

/// What is promised.
const WITHIN: Duration = Duration::from_secs(1);

/// How often it is measured: the middle one counts, since this machine may be doing ten other things at any moment.
const ROUNDS: usize = 5;

#[tokio::test]
async fn a_change_of_anything_is_followed_within_a_second_and_what_runs_ends_as_it_began() {
    let stage = Stage::new("follow").await;
    let _host = stage.host("host-1", "").await;
    stage.push_clay("sleeps", "1.0.0").await;
    stage.push_clay("echo", "1.1.0").await;
    stage.run(&["apply", &stage.clay("1.0.0", "concurrency = 4")]).await.expect_code(0);
    for n in 0..4 {
        stage.publish("clay", &format!("long-{n}"), "8000").await;
    }
    stage.running("clay", 4).await;

    // Full as the queue is, what is published now runs only by the new concurrency.
    let settings = |round: usize| {
        let (concurrency, weight, timeout) = (10 + round, 1 + round, 20 + round);
        format!(
            "concurrency = {concurrency}\nweight = {weight}\nlimits = {{ timeout = '{timeout}s', log = '128KiB' }}"
        )
    };
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        let version = if round % 2 == 0 { "1.1.0" } else { "1.0.0" };
        let file = stage.clay(version, &settings(round));
        let id = format!("after-{round}");
        stage.run(&["apply", &file]).await.expect_code(0);
        let since = Instant::now();
        let mut turn = 0;
        saggar_harness::eventually("what is published runs by the new settings", crate::stage::SOON, || {
            turn += 1;
            let (stage, id) = (&stage, format!("{id}-{turn}"));
            async move {
                stage.publish("clay", &id, "1").await;
                let result = stage.result("clay", &id).await;
                let plugin = result.receipt.plugin.expect("a receipt names the plugin");
                (plugin.version.is_some_and(|ran| ran.as_str() == version)).then_some(())
            }
        })
        .await;
        took.push(since.elapsed());
    }
    println!("followed within {took:?} of the end of `saggar apply`");
    took.sort_unstable();
    assert!(took[ROUNDS / 2] < WITHIN, "{took:?}");
    for n in 0..4 {
        let result = stage.result("clay", &format!("long-{n}")).await;
        assert_eq!((result.outcome, result.receipt.attempt), (Outcome::Succeeded, 1));
        assert!(result.receipt.duration >= Duration::from_secs(8), "it ended by itself");
        let plugin = result.receipt.plugin.expect("a receipt names the plugin");
        assert_eq!(plugin.version.unwrap().as_str(), "1.0.0", "it ended as it began");
    }
    stage.drained().await;
    assert_eq!(stage.dead().await, 0);
}

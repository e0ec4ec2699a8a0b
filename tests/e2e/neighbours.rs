//! What a hostile task does, and what its neighbours notice of it: nothing.

use std::time::Duration;

use saggar_model::Outcome;

use crate::stage::Stage;

const ONCE: &str = "retry = { attempts = 1 }";

#[tokio::test]
async fn hostile_tasks_end_in_their_outcomes_and_the_neighbours_in_theirs() {
    let stage = Stage::new("hostile").await;
    let _host = stage.host("host-1", "").await;
    let little_fuel = format!("{ONCE}\nlimits = {{ fuel = 100_000_000 }}");
    let little_time = format!("{ONCE}\nlimits = {{ timeout = '500ms' }}");
    stage
        .apply_queues(&[
            ("echo", "echo", ""),
            ("spin", "spin", &little_fuel),
            ("hog", "hog", ONCE),
            ("panics", "panics", ONCE),
            ("recurses", "recurses", ONCE),
            ("sleeps", "sleeps", &little_time),
            ("returns", "returns", ONCE),
        ])
        .await;
    stage.publish("echo", "alone", "clay").await;
    let alone = stage.result("echo", "alone").await;
    let hostile = [
        ("spin", "", Outcome::OutOfFuel),
        ("hog", "", Outcome::OutOfMemory),
        ("panics", "kiln", Outcome::Trapped),
        ("recurses", "", Outcome::Trapped),
        ("sleeps", "", Outcome::TimedOut),
        ("returns", "1000000", Outcome::OutputTooLarge),
    ];
    for (queue, payload, _) in hostile {
        for n in 0..4 {
            stage.publish(queue, &format!("h{n}"), payload).await;
            stage.publish("echo", &format!("{queue}-{n}"), "clay").await;
        }
    }
    for (queue, _, outcome) in hostile {
        for n in 0..4 {
            let result = stage.result(queue, &format!("h{n}")).await;
            assert_eq!(result.outcome, outcome, "{queue}: {:?}", result.reason());
            let beside = stage.result("echo", &format!("{queue}-{n}")).await;
            assert_eq!(beside.payload, alone.payload);
            assert_eq!(beside.receipt.fuel, alone.receipt.fuel);
            assert_eq!(beside.receipt.peak_memory, alone.receipt.peak_memory);
        }
    }
    assert_eq!(stage.dead().await, 24);
}

#[tokio::test]
async fn a_queue_full_of_sleepers_does_not_hold_up_another() {
    let stage = Stage::new("sleepers").await;
    let _host = stage.host("host-1", "slots = 8").await;
    stage.apply_queues(&[("sleeps", "sleeps", "concurrency = 4"), ("echo", "echo", "")]).await;
    for n in 0..50 {
        stage.publish("sleeps", &format!("s{n}"), "2000").await;
    }
    stage.publish("echo", "a", "clay").await;
    let echo = stage.result("echo", "a").await;
    assert_eq!(echo.outcome, Outcome::Succeeded);
    assert!(echo.receipt.queued < Duration::from_secs(20), "{:?}", echo.receipt.queued);
    assert!(stage.queued().await > 30, "the sleepers are still at it");
}

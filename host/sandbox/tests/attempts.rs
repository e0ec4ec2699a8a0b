//! Attempts of real guests: every limit obeyed and every limit violated, and what a guest can see.

use std::future;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use saggar_model::{Ending, Failure, Limits, Outcome, Output};
use saggar_sandbox::{
    Attempt, LogLine, Options, Plugin, Refused, Request, Sandbox, Services, Silent, StopReason,
};

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| {
    Sandbox::new(&Options { slots: 32, max_memory: 1 << 30, ..Options::default() })
        .expect("this machine runs sandboxes")
});

fn guest(name: &str) -> Plugin {
    let path = format!(
        "{}/../../plugins/target/wasm32-wasip2/release/examples/{name}.wasm",
        env!("CARGO_MANIFEST_DIR")
    );
    let wasm = std::fs::read(path).expect("guests are built: run `make guests`");
    SANDBOX.load(&SANDBOX.compile(&wasm).expect("the guest compiles")).expect("the guest links")
}

fn request(input: &str, limits: Limits) -> Request {
    Request { limits, ..Request::local(input.to_owned().into()) }
}

async fn attempt(name: &str, input: &str, limits: Limits) -> Attempt {
    SANDBOX.run(&guest(name), request(input, limits), Arc::new(Silent), future::pending()).await
}

fn output(attempt: &Attempt) -> &Output {
    match &attempt.ending {
        Ending::Succeeded(output) => output,
        Ending::Failed(failure) => panic!("{failure:?}"),
    }
}

fn failure(attempt: &Attempt) -> &Failure {
    match &attempt.ending {
        Ending::Failed(failure) => failure,
        Ending::Succeeded(output) => panic!("succeeded with {output:?}"),
    }
}

#[tokio::test]
async fn within_its_limits_a_guest_returns_its_output_and_a_receipt() {
    let attempt = attempt("echo", "clay", Limits::default()).await;
    assert_eq!(output(&attempt).payload, "clay");
    assert_eq!((attempt.usage.bytes_in, attempt.usage.bytes_out), (4, 4));
    assert!(attempt.usage.fuel > 0 && attempt.usage.peak_memory >= 65_536, "{:?}", attempt.usage);
    assert!(attempt.usage.host_calls > 0 && attempt.usage.duration > Duration::ZERO);
}

#[tokio::test]
async fn spent_fuel_ends_a_guest_with_the_same_figure_each_time() {
    let limits = Limits { fuel: 50_000_000, ..Limits::default() };
    for _ in 0..3 {
        let attempt = attempt("spin", "", limits).await;
        assert_eq!(failure(&attempt).outcome, Outcome::OutOfFuel);
        assert_eq!(attempt.usage.fuel, limits.fuel);
    }
}

#[tokio::test]
async fn the_same_work_costs_the_same_fuel_and_half_of_it_is_not_enough() {
    let first = attempt("echo", "clay", Limits::default()).await.usage.fuel;
    let second = attempt("echo", "clay", Limits::default()).await.usage.fuel;
    assert_eq!(first, second);
    let exactly = Limits { fuel: first, ..Limits::default() };
    assert_eq!(attempt("echo", "clay", exactly).await.ending.outcome(), Outcome::Succeeded);
    let half = Limits { fuel: first / 2, ..Limits::default() };
    assert_eq!(attempt("echo", "clay", half).await.ending.outcome(), Outcome::OutOfFuel);
}

#[tokio::test]
async fn memory_within_the_limit_is_granted_and_beyond_it_is_the_end() {
    let limits = Limits { memory: 32 << 20, ..Limits::default() };
    let modest = attempt("hog", "10", limits).await;
    assert_eq!(output(&modest).payload, "held 10");
    assert!((10 << 20..=limits.memory).contains(&modest.usage.peak_memory), "{}", modest.usage.peak_memory);
    let greedy = attempt("hog", "", limits).await;
    assert_eq!(failure(&greedy).outcome, Outcome::OutOfMemory);
    assert!(greedy.usage.peak_memory <= limits.memory);
    assert!(failure(&greedy).reason.contains("32.0 MiB"), "{}", failure(&greedy).reason);
}

#[tokio::test]
async fn a_guest_whose_first_memory_is_too_large_is_out_of_memory_before_it_starts() {
    let attempt = attempt("echo", "", Limits { memory: 65_536, ..Limits::default() }).await;
    assert_eq!(failure(&attempt).outcome, Outcome::OutOfMemory);
}

#[tokio::test]
async fn a_sleeping_guest_is_ended_at_its_wall_limit_and_a_waking_one_is_not() {
    let limits = Limits { timeout: Duration::from_millis(300), ..Limits::default() };
    let awake = attempt("sleeps", "20", limits).await;
    assert_eq!(output(&awake).payload, "awake");
    let start = Instant::now();
    let asleep = attempt("sleeps", "", limits).await;
    assert_eq!(failure(&asleep).outcome, Outcome::TimedOut);
    assert!(asleep.usage.duration >= limits.timeout && start.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_busy_guest_is_ended_at_its_wall_limit_too() {
    let limits = Limits { timeout: Duration::from_millis(200), fuel: 1_000_000_000_000, ..Limits::default() };
    assert_eq!(failure(&attempt("spin", "", limits).await).outcome, Outcome::TimedOut);
}

#[tokio::test]
async fn output_up_to_the_limit_is_a_result_and_one_byte_more_is_none() {
    let limits = Limits { output: 1000, ..Limits::default() };
    assert_eq!(output(&attempt("returns", "1000", limits).await).payload.len(), 1000);
    assert_eq!(failure(&attempt("returns", "1001", limits).await).outcome, Outcome::OutputTooLarge);
}

#[tokio::test]
async fn output_too_large_to_cross_the_wall_is_output_too_large_as_well() {
    let attempt = attempt("returns", "50000000", Limits::default()).await;
    assert_eq!(failure(&attempt).outcome, Outcome::OutputTooLarge);
}

#[tokio::test]
async fn endless_recursion_is_trapped_with_a_backtrace() {
    let attempt = attempt("recurses", "", Limits::default()).await;
    let failure = failure(&attempt);
    assert_eq!(failure.outcome, Outcome::Trapped);
    assert!(failure.reason.contains("stack"), "{}", failure.reason);
    assert!(failure.backtrace.iter().any(|name| name.contains("deeper")), "{:?}", failure.backtrace);
}

#[tokio::test]
async fn a_panic_reaches_the_failure_with_message_place_and_function_names() {
    let attempt = attempt("panics", "kiln 7", Limits::default()).await;
    let failure = failure(&attempt);
    assert_eq!(failure.outcome, Outcome::Trapped);
    assert!(failure.reason.contains("the glaze cracked: kiln 7"), "{}", failure.reason);
    assert!(failure.reason.contains("panics.rs:"), "{}", failure.reason);
    assert!(failure.backtrace.iter().any(|name| name.contains("panics::fire")), "{:?}", failure.backtrace);
    assert!(failure.stderr.contains("the glaze cracked"));
}

#[tokio::test]
async fn what_a_handler_says_of_its_failure_is_kept() {
    let rejected = attempt("fails", "reject", Limits::default()).await;
    assert_eq!(failure(&rejected).outcome, Outcome::Rejected);
    assert_eq!(failure(&rejected).reason, "this clay is sand");
    assert_eq!(failure(&rejected).code.as_deref(), Some("not-clay"));
    let retried = attempt("fails", "retry-after 250", Limits::default()).await;
    assert_eq!(failure(&retried).outcome, Outcome::Retried);
    assert_eq!(failure(&retried).retry_after, Some(Duration::from_millis(250)));
    let exited = attempt("fails", "exit 0", Limits::default()).await;
    assert_eq!(failure(&exited).outcome, Outcome::Trapped);
    assert!(failure(&exited).reason.contains("exited with code 0"), "{}", failure(&exited).reason);
}

#[derive(Default)]
struct Recorder {
    lines: Mutex<Vec<String>>,
    reports: Mutex<Vec<(Option<f64>, String)>>,
}

impl Services for Recorder {
    fn progress(&self, fraction: Option<f64>, message: &str) {
        self.reports.lock().unwrap().push((fraction, message.to_owned()));
    }

    fn log(&self, line: LogLine<'_>) {
        self.lines.lock().unwrap().push(line.message.to_owned());
    }

    fn cancelled(&self) -> bool {
        true
    }

    fn denied(&self, _: saggar_model::Capability, _: &str) {}
}

#[tokio::test]
async fn log_and_standard_streams_reach_the_host_until_their_limit_and_the_task_goes_on() {
    let recorder = Arc::new(Recorder::default());
    let run = |lines: &str| {
        let request = request(lines, Limits { log: 4096, ..Limits::default() });
        let recorder = recorder.clone();
        let plugin = guest("chats");
        async move { SANDBOX.run(&plugin, request, recorder, future::pending()).await }
    };
    let few = run("1").await;
    assert_eq!(output(&few).payload, "said");
    assert_eq!(*recorder.lines.lock().unwrap(), ["log 0", "stdout 0", "stderr 0"]);
    let many = run("10000").await;
    assert_eq!(output(&many).payload, "said");
    let lines = recorder.lines.lock().unwrap();
    assert!(lines.len() < 70, "{} lines for 4 KiB", lines.len());
    assert!(lines.last().unwrap().contains("is spent"), "{:?}", lines.last());
    assert!(many.usage.log_bytes > 200_000, "all that was written is counted: {}", many.usage.log_bytes);
}

#[tokio::test]
async fn reports_of_progress_are_thinned_and_a_wish_to_stop_is_seen() {
    let recorder = Arc::new(Recorder::default());
    let request = request("10000", Limits::default());
    let attempt = SANDBOX.run(&guest("reports"), request, recorder.clone(), future::pending()).await;
    assert_eq!(output(&attempt).payload, "cancelled: true");
    let reports = recorder.reports.lock().unwrap();
    assert!((2..100).contains(&reports.len()), "{} reports", reports.len());
    assert_eq!(reports.last().unwrap(), &(Some(1.0), "step 10000".to_owned()));
}

#[tokio::test]
async fn a_guest_is_stopped_from_outside_wherever_it_is() {
    for (name, reason, outcome) in [
        ("sleeps", StopReason::Interrupted, Outcome::Interrupted),
        ("spin", StopReason::Cancelled, Outcome::Cancelled),
    ] {
        let limits = Limits { fuel: 1_000_000_000_000, ..Limits::default() };
        let stop = async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            reason
        };
        let attempt = SANDBOX.run(&guest(name), request("", limits), Arc::new(Silent), stop).await;
        assert_eq!(failure(&attempt).outcome, outcome);
    }
}

#[tokio::test]
async fn there_is_nothing_around_a_guest() {
    let mut request = request("", Limits::default());
    Arc::make_mut(&mut request.task).headers.visible = vec![("X-Customer".to_owned(), "7".to_owned())];
    request.attempt = 3;
    let attempt = SANDBOX.run(&guest("facts"), request, Arc::new(Silent), future::pending()).await;
    let facts: serde_json::Value = serde_json::from_slice(&output(&attempt).payload).unwrap();
    for empty in ["arguments", "readable", "connected", "looked_up"] {
        assert_eq!(facts[empty], serde_json::json!([]), "{empty}");
    }
    assert_eq!(facts["variables"], serde_json::json!({}));
    assert_eq!(facts["wall_clock_plausible"], true);
    assert_eq!(facts["clocks_are_coarse"], true);
    assert_eq!((&facts["attempt"], &facts["shouted_header"]), (&3.into(), &"7".into()));
    assert!(facts["deadline_ms"].as_u64().unwrap() <= 30_000);
}

#[tokio::test]
async fn a_hostile_guest_changes_nothing_for_its_neighbour() {
    let alone = attempt("echo", "clay", Limits::default()).await;
    let hostile = ["spin", "hog", "panics", "recurses", "chats"].map(|name| {
        let limits = Limits { fuel: 200_000_000, ..Limits::default() };
        tokio::spawn(async move { attempt(name, "100000", limits).await })
    });
    for _ in 0..50 {
        let beside = attempt("echo", "clay", Limits::default()).await;
        assert_eq!(beside.ending, alone.ending);
        assert_eq!(beside.usage.fuel, alone.usage.fuel);
        assert_eq!(beside.usage.peak_memory, alone.usage.peak_memory);
    }
    for handle in hostile {
        handle.await.expect("no guest brings its host down");
    }
}

/// A host with a fault that shows when a guest logs.
struct Faulty;

impl Services for Faulty {
    fn progress(&self, _fraction: Option<f64>, _message: &str) {}

    fn log(&self, line: LogLine<'_>) {
        panic!("a fault of ours at `{}`", line.message);
    }

    fn cancelled(&self) -> bool {
        false
    }

    fn denied(&self, _: saggar_model::Capability, _: &str) {}
}

#[tokio::test]
async fn a_panic_of_the_host_ends_its_attempt_as_a_host_error_and_no_other() {
    let (chatty, quiet) = (guest("chats"), guest("sleeps"));
    let beside = request("300", Limits::default());
    let beside = SANDBOX.run(&quiet, beside, Arc::new(Silent), future::pending());
    let faulty = async {
        // More often than there are slots: each is free again.
        for _ in 0..100 {
            let attempt = request("1", Limits::default());
            let attempt = SANDBOX.run(&chatty, attempt, Arc::new(Faulty), future::pending()).await;
            assert_eq!(failure(&attempt).outcome, Outcome::HostError);
            assert!(failure(&attempt).reason.contains("a fault of ours at `log 0`"), "{:?}", attempt.ending);
        }
    };
    let (beside, ()) = tokio::join!(beside, faulty);
    assert_eq!(output(&beside).payload, "awake");
}

#[test]
fn what_is_no_plugin_is_refused_before_it_is_compiled() {
    assert!(matches!(SANDBOX.compile(b"not wasm"), Err(Refused::NotWasm)));
    let empty = wat::parse_str("(component)").unwrap();
    assert!(matches!(SANDBOX.compile(&empty), Err(Refused::NotAPlugin { .. })));
}

#[test]
fn a_component_that_wants_what_no_host_has_is_refused_when_it_is_loaded() {
    let text = r#"(component
        (import "acme:magic/wand@1.0.0" (instance (export "wave" (func))))
        (component $c)
        (instance $i (instantiate $c))
        (export "saggar:task/handler@0.1.0" (instance $i)))"#;
    let compiled = SANDBOX.compile(&wat::parse_str(text).unwrap()).unwrap();
    match SANDBOX.load(&compiled) {
        Err(Refused::Unlinkable(reason)) => assert!(reason.contains("acme:magic/wand"), "{reason}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was linked"),
    }
}

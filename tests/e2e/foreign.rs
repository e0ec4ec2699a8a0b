//! Programs that know nothing of Saggar, each built by a toolchain of its own language: they run as tasks.

use std::path::PathBuf;

use saggar_harness::{foreign, guests};
use saggar_model::Outcome;
use serde_json::Value;

use crate::stage::Stage;

/// Enough for any of the language runtimes to start.
const SETTINGS: &str = "limits = { memory = '256MiB', fuel = 50_000_000_000 }\nretry = { attempts = 1 }";

/// What a program does as a task: with an input, and with none, which it cannot bear.
async fn runs_as_a_task(language: &str, program: PathBuf, without_input: Outcome) -> Value {
    let stage = Stage::new(&format!("foreign-{language}")).await;
    let host = stage.host("host-1", "").await;
    let file = program.display().to_string();
    stage.apply_files(&[("upper", "upper", program, SETTINGS)]).await;

    stage.publish("upper", "some", "clay and fire").await;
    let result = stage.result("upper", "some").await;
    assert_eq!(result.outcome, Outcome::Succeeded, "{:?}", result.reason());
    assert_eq!(String::from_utf8_lossy(&result.payload), "CLAY AND FIRE");
    assert_eq!(result.content_type, "application/octet-stream");

    // Enough for a heap to grow.
    let long = "clay and fire ".repeat(30_000);
    stage.publish("upper", "long", long.clone()).await;
    let result = stage.result("upper", "long").await;
    assert_eq!(result.outcome, Outcome::Succeeded, "{:?}", result.reason());
    assert!(result.payload == long.to_uppercase(), "{} bytes", result.payload.len());

    stage.publish("upper", "none", "").await;
    let result = stage.result("upper", "none").await;
    assert_eq!(result.outcome, without_input, "{:?}", result.reason());
    let reason = result.reason().expect("a failure has a reason");
    assert!(reason.contains("there is nothing to write"), "{reason}");

    let inspected = stage.run(&["plugin", "inspect", "upper@1.0.0", "--output", "json"]).await.expect_code(0);
    let beside = stage.run(&["plugin", "inspect", &file, "--output", "json"]).await.expect_code(0);
    let [inspected, beside] = [inspected, beside]
        .map(|finished| serde_json::from_slice::<Value>(&finished.stdout).expect("one object"));
    assert_eq!(inspected["data"]["world"], "wasi:cli/command");
    for same in ["digest", "adapted_from", "world", "imports"] {
        assert_eq!(inspected["data"][same], beside["data"][same], "{same}");
    }
    drop(host);
    inspected["data"].clone()
}

fn is_adapted(inspected: &Value) -> bool {
    let module = inspected["adapted_from"].as_str();
    module.is_some_and(|module| module.starts_with("sha256:") && inspected["digest"] != module)
}

#[tokio::test]
async fn a_program_in_c_runs_as_a_task() {
    let inspected = runs_as_a_task("c", foreign::path("c"), Outcome::Rejected).await;
    assert!(is_adapted(&inspected), "{inspected}");
}

#[tokio::test]
async fn a_program_in_go_runs_as_a_task() {
    let inspected = runs_as_a_task("go", foreign::path("go"), Outcome::Rejected).await;
    assert!(is_adapted(&inspected), "{inspected}");
}

#[tokio::test]
async fn a_program_in_javascript_runs_as_a_task() {
    let inspected = runs_as_a_task("javascript", foreign::path("javascript"), Outcome::Trapped).await;
    assert!(inspected["adapted_from"].is_null(), "{inspected}");
}

#[tokio::test]
async fn a_program_in_python_runs_as_a_task() {
    let inspected = runs_as_a_task("python", foreign::path("python"), Outcome::Trapped).await;
    assert!(inspected["adapted_from"].is_null(), "{inspected}");
}

#[tokio::test]
async fn a_program_in_rust_runs_as_a_task() {
    let inspected = runs_as_a_task("rust", guests::path("upper"), Outcome::Trapped).await;
    assert!(inspected["adapted_from"].is_null(), "{inspected}");
}

#[tokio::test]
async fn a_server_made_for_other_hosts_answers_tasks() {
    let (stage, host) = Stage::with_host("foreign-server", &["serves"]).await;
    stage.publish_with("serves", "some", "upper clay", &[("Content-Type", "text/plain")]).await;
    let result = stage.result("serves", "some").await;
    assert_eq!(result.outcome, Outcome::Succeeded, "{:?}", result.reason());
    assert_eq!((&result.payload[..], result.content_type.as_str()), (&b"CLAY"[..], "text/plain"));

    stage.publish("serves", "unknown", "fire").await;
    let result = stage.result("serves", "unknown").await;
    assert_eq!(result.outcome, Outcome::Rejected);
    let reason = result.reason().expect("a failure has a reason");
    assert!(reason.contains("answered with 404: there is no such word"), "{reason}");

    stage.publish_with("serves", "seen", "request", &[("X-Size", "200")]).await;
    let seen = String::from_utf8_lossy(&stage.result("serves", "seen").await.payload).into_owned();
    for line in ["serves.foreign-server", "saggar-task: seen", "saggar-attempt: 1", "x-size: 200"] {
        assert!(seen.lines().any(|seen| seen == line), "{line} in {seen}");
    }
    drop(host);
}

/// Of text, too, and without NATS: what a person tries first.
#[tokio::test]
async fn a_module_in_text_is_run_and_its_exit_code_is_the_outcome() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func (export "_start") (call $exit (i32.const 65))))"#;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rejects.wat");
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let args = ["run", file.as_str(), "--output", "json"];
    let finished = saggar_harness::run(crate::stage::saggar(), &args, b"", &[]).await.expect_code(1);
    let answer: Value = serde_json::from_slice(&finished.stdout).expect("one object");
    assert_eq!(answer["data"]["outcome"], "rejected");
    assert_eq!(answer["data"]["reason"], "exited with code 65");
}

//! `saggar run` and `saggar test`: real limits, no NATS.

use saggar_harness::{Finished, guests, run};
use serde_json::Value;

use crate::stage::saggar;

async fn run_guest(guest: &str, args: &[&str], input: &str) -> Finished {
    let path = guests::path(guest).display().to_string();
    let mut all = vec!["run", path.as_str(), "--input", "-"];
    all.extend(args);
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache").display().to_string();
    run(saggar(), &all, input.as_bytes(), &[("XDG_CACHE_HOME", cache.as_str())]).await
}

#[tokio::test]
async fn output_goes_to_stdout_and_the_receipt_to_stderr() {
    let finished = run_guest("echo", &[], "clay").await.expect_code(0);
    assert_eq!(finished.text(), "clay");
    assert!(finished.stderr.contains("succeeded") && finished.stderr.contains("fuel"), "{}", finished.stderr);
}

#[tokio::test]
async fn every_outcome_a_guest_can_cause_is_told_and_exits_with_1() {
    let table: [(&str, &[&str], &str, &str); 9] = [
        ("fails", &[], "reject", "rejected"),
        ("fails", &[], "retry", "retried"),
        ("fails", &[], "exit 3", "trapped"),
        ("panics", &[], "kiln", "trapped"),
        ("recurses", &[], "", "trapped"),
        ("spin", &["--fuel", "10_000_000"], "", "out-of-fuel"),
        ("hog", &["--memory", "16MiB"], "", "out-of-memory"),
        ("sleeps", &["--timeout", "100ms"], "", "timed-out"),
        ("returns", &["--max-output", "1KiB"], "1025", "output-too-large"),
    ];
    for (guest, args, input, outcome) in table {
        let mut json = args.to_vec();
        json.extend(["--output", "json"]);
        let finished = run_guest(guest, &json, input).await.expect_code(1);
        let answer: Value = serde_json::from_slice(&finished.stdout).expect("one object");
        assert_eq!(answer["data"]["outcome"], outcome, "{guest}: {answer}");
        assert!(answer["data"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{answer}");
        assert!(answer["data"]["receipt"]["fuel"].is_u64(), "{answer}");
    }
}

#[tokio::test]
async fn the_json_of_a_run_has_the_documented_shape() {
    let finished =
        run_guest("echo", &["--output", "json", "--content-type", "text/plain"], "clay").await.expect_code(0);
    let answer: Value = serde_json::from_slice(&finished.stdout).expect("one object");
    let data = &answer["data"];
    assert!(answer["meta"].is_object());
    assert_eq!((&data["output"], &data["output_encoding"]), (&"clay".into(), &"utf-8".into()));
    assert_eq!((&data["content_type"], &data["reason"]), (&"text/plain".into(), &Value::Null));
    for key in ["task", "tenant", "queue", "outcome"] {
        assert!(data[key].is_string(), "{key}: {data}");
    }
    let receipt = data["receipt"].as_object().expect("a receipt");
    for key in [
        "fuel",
        "peak_memory",
        "duration_ms",
        "cpu_ms",
        "queued_ms",
        "attempt",
        "bytes_in",
        "bytes_out",
        "log_bytes",
        "host_calls",
    ] {
        assert!(receipt[key].is_number(), "{key}: {data}");
    }
    for key in ["plugin", "digest", "host"] {
        assert!(receipt.contains_key(key), "{key}: {data}");
    }
}

#[tokio::test]
async fn what_a_stranger_wrote_cannot_command_the_terminal() {
    let finished = run_guest("panics", &[], "\u{1b}[2J\u{202e}gone").await.expect_code(1);
    assert!(
        !finished.stderr.contains('\u{1b}') && !finished.stderr.contains('\u{202e}'),
        "{}",
        finished.stderr
    );
    assert!(finished.stderr.contains("\\u{1b}[2J"), "{}", finished.stderr);
}

#[tokio::test]
async fn attack_66_a_line_without_end_cannot_command_the_terminal() {
    let attacks = saggar_conformance::all();
    let attack =
        attacks.iter().find(|attack| attack.id == "66-endless-line").expect("there is such an attack");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("line.wasm");
    std::fs::write(&path, attack.guest.build().expect("it is well-formed")).unwrap();
    let finished = run(saggar(), &["run", &path.display().to_string()], b"", &[]).await.expect_code(0);
    let obeyed = |character: char| character.is_control() && character != '\n' || character == '\u{202e}';
    assert!(!finished.stderr.contains(obeyed), "a terminal would obey it");
    assert!(finished.stderr.contains("\\u{1b}[2J\\u{202e}gnp\\u{0}\\r"), "it is shown for what it is");
    assert!(finished.stderr.contains("is spent"), "it is cut");
}

#[tokio::test]
async fn the_cases_of_every_plugin_hold() {
    for plugin in ["hello", "thumbnail", "csv-export", "webhook", "bulk-export", "csv-totals"] {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins");
        let finished = run(saggar(), &["test", &format!("{folder}/{plugin}")], b"", &[]).await;
        assert_eq!(finished.code, Some(0), "{}{}", finished.text(), finished.stderr);
    }
}

#[tokio::test]
async fn a_task_that_runs_here_keeps_things_in_memory_if_it_may() {
    let steps = r#"[["set", "b", "a", "mine"], ["get", "b", "a"], ["write", "c", "o", "object"], ["read", "c", "o"]]"#;
    let kept = run_guest("keeps", &["--grant", "kv", "--grant", "blobs"], steps).await.expect_code(0).text();
    assert_eq!(kept, r#"[null,"mine",null,"object"]"#);
    let denied = run_guest("keeps", &[], steps).await.expect_code(0).text();
    assert!(denied.contains("Denied") && !denied.contains("mine"), "{denied}");
}

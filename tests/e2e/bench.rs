//! The benchmark's mechanics. No figure is held against anything: how fast a machine is that runs tests, nobody knows.

use saggar_harness::run;
use serde_json::Value;

use crate::stage::saggar;

fn report(text: &str) -> Value {
    serde_json::from_str::<Value>(text).expect("one object")["data"].take()
}

/// Numbers that were written down and read again.
fn equal(left: &Value, right: f64) -> bool {
    left.as_f64().is_some_and(|left| (left - right).abs() <= right.abs() * 1e-12)
}

fn samples(row: &Value, side: &str) -> Vec<f64> {
    let samples = row["samples"][side].as_array().unwrap_or_else(|| panic!("samples in {row}"));
    samples.iter().map(|sample| sample.as_f64().unwrap_or_else(|| panic!("a number in {row}"))).collect()
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    let middle = samples.len() / 2;
    if samples.len() % 2 == 1 { samples[middle] } else { f64::midpoint(samples[middle - 1], samples[middle]) }
}

#[tokio::test]
async fn every_ratio_follows_from_the_samples_beside_it() {
    let rows = ["drain", "attempt", "json"];
    let args = [&["bench"], &rows[..], &["--quick", "--output", "json"]].concat();
    let finished = run(saggar(), &args, b"", &[]).await.expect_code(0);
    let report = report(&finished.text());
    assert!(report["machine"]["cores"].as_u64().is_some_and(|cores| cores > 0), "{report}");
    assert!(report["machine"]["nats_server"].is_string(), "{report}");
    let measured = report["rows"].as_array().expect("rows");
    for name in rows {
        assert!(measured.iter().any(|row| row["name"] == name), "{name} in {report}");
    }
    for row in measured {
        assert!(rows.iter().any(|name| row["name"] == *name), "{row} was not asked for");
        let (ours, limit) = (samples(row, "ours"), samples(row, "limit"));
        assert!(!ours.is_empty() && ours.len() == limit.len(), "{row}");
        let ratio = median(ours.iter().zip(&limit).map(|(ours, limit)| ours / limit).collect());
        assert!(equal(&row["ratio"], ratio), "{ratio}: {row}");
        assert!(equal(&row["ours"], median(ours)) && equal(&row["limit"], median(limit)), "{row}");
    }
}

#[tokio::test]
async fn a_row_that_there_is_not_is_named_with_those_that_there_are() {
    let finished = run(saggar(), &["bench", "drian"], b"", &[]).await.expect_code(2);
    assert!(
        finished.stderr.contains("drian") && finished.stderr.contains("drain-1mb"),
        "{}",
        finished.stderr
    );
}

#[tokio::test]
async fn a_row_without_its_component_says_how_to_build_it() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().display().to_string();
    let args = ["bench", "attempt", "json", "--quick", "--components", &nowhere, "--output", "json"];
    let finished = run(saggar(), &args, b"", &[]).await.expect_code(0);
    let report = report(&finished.text());
    let rows = report["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 2, "{report}");
    for row in rows {
        let error = row["error"].as_str().unwrap_or_default();
        assert!(error.contains("make guests") && error.contains(&nowhere), "{row}");
    }
}

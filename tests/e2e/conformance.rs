//! Every attack on the sandbox, through the command that operators run.

use saggar_harness::run;
use serde_json::Value;

use crate::stage::saggar;

fn rows(text: &str) -> Vec<Value> {
    let mut report: Value = serde_json::from_str(text).expect("one object");
    serde_json::from_value(report["data"]["rows"].take()).expect("rows")
}

#[tokio::test]
async fn every_attack_ends_as_it_must_and_leaves_neighbours_alone() {
    let args = ["conformance", "--repeat", "2", "--output", "json"];
    let finished = run(saggar(), &args, b"", &[]).await;
    let rows = rows(&finished.text());
    let failed: Vec<_> = rows.iter().filter(|row| row["passed"] != true).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(rows.len() >= 90, "{} attacks", rows.len());
    for row in &rows {
        let given = ["id", "name", "expected", "actual"].map(|field| row[field].is_string());
        assert_eq!(given, [true; 4], "{row}");
    }
    finished.expect_code(0);
}

#[tokio::test]
async fn an_attack_that_there_is_not_is_named_with_those_that_there_are() {
    let finished = run(saggar(), &["conformance", "endles-loop"], b"", &[]).await.expect_code(2);
    assert!(
        finished.stderr.contains("endles-loop") && finished.stderr.contains("endless-loop"),
        "{}",
        finished.stderr
    );
}

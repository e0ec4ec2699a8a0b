//! What a guest can read and tell, granted or not.

use std::future;
use std::sync::Arc;

use saggar_model::{Capability, Ending};
use saggar_sandbox::{Granted, Options, Request};
use serde_json::{Value, json};

use crate::stage::{Recorder, guest, sandbox};

async fn configured(grants: &str, key: &str) -> (Result<Value, String>, Arc<Recorder>) {
    let sandbox = sandbox(&Options { slots: 1, ..Options::default() });
    let plugin = guest(&sandbox, "configured");
    let grants = serde_json::from_str(grants).expect("these are grants");
    let granted = Arc::new(Granted::new(grants, &[].into()));
    let recorder = Arc::new(Recorder::default());
    let request = Request { granted, ..Request::local(key.to_owned().into()) };
    let attempt = sandbox.run(&plugin, request, recorder.clone(), future::pending()).await;
    let found = match attempt.ending {
        Ending::Succeeded(output) => Ok(serde_json::from_slice(&output.payload).expect("it is JSON")),
        Ending::Failed(failure) => Err(failure.reason),
    };
    (found, recorder)
}

#[tokio::test]
async fn a_guest_reads_its_configuration() {
    let grants = r#"{"config": {"size": "200x200", "colour": "red"}}"#;
    assert_eq!(configured(grants, "size").await.0.unwrap()["found"], json!("200x200"));
    assert_eq!(configured(grants, "weight").await.0.unwrap()["found"], json!(null));
    let all = configured(grants, "").await.0.unwrap();
    assert_eq!(all["found"], json!([["colour", "red"], ["size", "200x200"]]));
}

#[tokio::test]
async fn without_a_grant_it_is_told_what_to_ask_for_and_the_host_counts_it() {
    let (found, recorder) = configured("{}", "size\n\u{1b}[2J").await;
    let reason = found.unwrap_err();
    assert!(reason.contains("no grant `config`") && reason.contains("[queue.grants]"), "{reason}");
    assert_eq!(recorder.denials(), [(Capability::Config, "size\n\u{1b}[2J".to_owned())]);
    let lines = recorder.lines();
    assert!(lines.iter().any(|line| line.starts_with("size\\n\\u{1b}[2J: denied: ")), "{lines:?}");
}

#[tokio::test]
async fn a_granted_secret_that_the_host_does_not_know_is_said_to_be_missing() {
    let reason = configured(r#"{"secrets": ["TOKEN"]}"#, "TOKEN").await.0.unwrap_err();
    assert!(reason.contains("[secrets.local]"), "{reason}");
    let all = configured(r#"{"secrets": ["TOKEN"]}"#, "").await.0.unwrap();
    assert_eq!(all["found"], json!([]));
}

#[tokio::test]
async fn clocks_are_fine_only_where_that_is_granted() {
    let grants = |more: &str| format!(r#"{{"config": {{"a": "b"}}{more}}}"#);
    assert_eq!(configured(&grants(""), "").await.0.unwrap()["fine_clock"], json!(false));
    assert_eq!(configured(&grants(r#", "clock": true"#), "").await.0.unwrap()["fine_clock"], json!(true));
}

//! A secret that was granted stays among those who may have it.

use std::future;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use saggar_model::{Outcome, SecretValue};
use saggar_sandbox::{Attempt, Granted, Options, Plugin, Request, Sandbox};

use crate::stage::{Recorder, guest, sandbox};

const CANARY: &str = "canary-5b9d/7c+41\"8";

const SPELLINGS: [&str; 5] = ["plain", "hex", "base64", "base64-shifted", "base64-shifted-twice"];

fn granted(grants: &str) -> Arc<Granted> {
    let value = SecretValue::from_file(CANARY.as_bytes()).expect("it is fit to be a secret");
    let values = [("TOKEN".parse().expect("it is a name"), value)].into();
    Arc::new(Granted::new(serde_json::from_str(grants).expect("these are grants"), &values))
}

async fn run(
    sandbox: &Sandbox,
    plugin: &Plugin,
    input: String,
    granted: &Arc<Granted>,
) -> (Attempt, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let request = Request { granted: granted.clone(), ..Request::local(input.into()) };
    (sandbox.run(plugin, request, recorder.clone(), future::pending()).await, recorder)
}

/// Whether a secret can be read out of a text by whoever knows the usual encodings.
fn holds_canary(text: &str) -> bool {
    let base64 = |before: &str| {
        let encoded = STANDARD_NO_PAD.encode(format!("{before}{CANARY}"));
        // What depends on nothing but the secret.
        encoded[(before.len() * 8).div_ceil(6)..(before.len() + CANARY.len()) * 8 / 6].to_owned()
    };
    let spellings = [
        CANARY.to_owned(),
        CANARY.escape_debug().to_string(),
        hex::encode(CANARY),
        base64(""),
        base64("x"),
        base64("xy"),
    ];
    spellings.iter().any(|spelling| text.contains(spelling))
}

#[tokio::test]
async fn attack_61_a_secret_is_redacted_wherever_a_guest_lets_it_out() {
    let sandbox = sandbox(&Options { slots: 1, ..Options::default() });
    let leaks = guest(&sandbox, "leaks");
    let granted = granted(r#"{"secrets": ["TOKEN"]}"#);
    let ways = [
        ("output", Outcome::Succeeded),
        ("log", Outcome::Succeeded),
        ("long-log", Outcome::Succeeded),
        ("stdout", Outcome::Succeeded),
        ("stderr", Outcome::Succeeded),
        ("pieces", Outcome::Succeeded),
        ("progress", Outcome::Succeeded),
        ("panic", Outcome::Trapped),
        ("key", Outcome::Rejected),
        ("reject", Outcome::Rejected),
        ("retry", Outcome::Retried),
    ];
    for (way, outcome) in ways {
        for spelling in SPELLINGS {
            let (attempt, recorder) = run(&sandbox, &leaks, format!("{way} {spelling}"), &granted).await;
            assert_eq!(attempt.ending.outcome(), outcome, "{way} {spelling}: {attempt:?}");
            let said = format!("{} {attempt:?}", recorder.everything());
            assert!(!holds_canary(&said), "{way} {spelling}: {said}");
            if way != "key" {
                assert!(said.contains("***"), "{way} {spelling}: the guest did try: {said}");
            }
        }
    }
}

#[tokio::test]
async fn a_secret_that_is_only_sent_is_never_seen_by_the_guest() {
    let sandbox = sandbox(&Options { slots: 1, ..Options::default() });
    let configured = guest(&sandbox, "configured");
    let granted = granted(r#"{"secrets": [{"name": "TOKEN", "only_to": ["api.example.com"]}]}"#);
    let (attempt, _) = run(&sandbox, &configured, "TOKEN".to_owned(), &granted).await;
    let said = format!("{attempt:?}");
    assert!(said.contains("saggar-secret-") && !said.contains("***"), "{said}");
    assert!(!holds_canary(&said), "{said}");
}

#[tokio::test]
async fn a_secret_that_was_not_granted_is_not_there() {
    let sandbox = sandbox(&Options { slots: 1, ..Options::default() });
    let leaks = guest(&sandbox, "leaks");
    let (attempt, recorder) = run(&sandbox, &leaks, "output".to_owned(), &Arc::default()).await;
    assert_eq!(attempt.ending.outcome(), Outcome::Retried);
    let said = format!("{attempt:?}");
    assert!(said.contains("the queue has no grant `config`"), "{said}");
    assert_eq!(recorder.denials().len(), 1);
}

//! Hosts that trust some keys run what one of them has signed, whoever else can write to NATS.

use std::sync::atomic::{AtomicU32, Ordering};

use saggar_harness::{SaggarProcess, eventually, guests};
use saggar_model::{Digest, Outcome};
use serde_json::{Value, json};

use crate::stage::{SOON, Stage};

/// A stage with the keys `release` and `other`, and a plugin `echo` in a queue that no host has objected to yet.
async fn stage(tenant: &str) -> Stage {
    let stage = Stage::new(tenant).await;
    for name in ["release.pem", "other.pem"] {
        stage.run(&["plugin", "keygen", &path(&stage, name)]).await.expect_code(0);
    }
    // A host without a policy makes the queue, and leaves.
    let mut careless = stage.host("careless", "").await;
    stage.apply(&["echo"], "").await;
    careless.terminate();
    careless.wait(SOON).await;
    stage
}

fn path(stage: &Stage, name: &str) -> String {
    stage.dir.path().join(name).display().to_string()
}

/// A host that trusts the key `release`.
async fn careful(stage: &Stage) -> SaggarProcess {
    let trusted = path(stage, "release.pub.pem");
    stage.host("careful", &format!("[plugins]\ntrusted_keys = ['{trusted}']")).await
}

async fn sign(stage: &Stage, plugin: &str, key: &str) {
    stage.run(&["plugin", "sign", plugin, "--key", &path(stage, key)]).await.expect_code(0);
}

/// How a new task ends, and why.
async fn outcome(stage: &Stage, queue: &str, id: &str) -> (Outcome, String) {
    stage.publish(queue, id, "clay").await;
    let result = stage.result(queue, id).await;
    (result.outcome, result.reason().unwrap_or_default())
}

/// Waits until new tasks end so, with these words in the reason.
async fn becomes(stage: &Stage, queue: &str, wanted: Outcome, words: &str) {
    /// No two tasks have one id: the result of the first would be that of both.
    static TASKS: AtomicU32 = AtomicU32::new(0);
    eventually(&format!("tasks of {queue} end as {wanted:?}: {words}"), SOON, || async {
        let id = format!("t{}", TASKS.fetch_add(1, Ordering::Relaxed));
        let (outcome, reason) = outcome(stage, queue, &id).await;
        (outcome == wanted && reason.contains(words)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn attack_49_only_what_a_trusted_key_has_signed_is_run_and_a_later_signature_needs_no_restart() {
    let stage = stage("signed").await;
    let _host = careful(&stage).await;
    let (outcome_, reason) = outcome(&stage, "echo", "unsigned").await;
    assert_eq!(outcome_, Outcome::Invalid, "{reason}");
    assert!(reason.contains("echo@1.0.0") && reason.contains("nobody has signed it"), "{reason}");
    assert_eq!(stage.dead().await, 1, "it is kept, and can be redriven");

    sign(&stage, "echo@1.0.0", "other.pem").await;
    assert_eq!(outcome(&stage, "echo", "by-another").await.0, Outcome::Invalid);
    let other =
        stage.run(&["plugin", "verify", "echo@1.0.0", "--key", &path(&stage, "release.pub.pem")]).await;
    assert!(other.expect_code(64).stderr.contains("none of these keys is trusted"));

    sign(&stage, "echo@1.0.0", "release.pem").await;
    becomes(&stage, "echo", Outcome::Succeeded, "").await;
    stage
        .run(&["plugin", "verify", "echo@1.0.0", "--key", &path(&stage, "release.pub.pem")])
        .await
        .expect_code(0);
    stage.run(&["dead", "redrive", "echo/unsigned"]).await.expect_code(0);
    eventually("the redriven task is run", SOON, || async {
        (stage.result("echo", "unsigned").await.outcome == Outcome::Succeeded).then_some(())
    })
    .await;
}

#[tokio::test]
async fn attack_49_whoever_writes_to_the_records_gets_nothing_run() {
    let stage = stage("forged").await;
    sign(&stage, "echo@1.0.0", "release.pem").await;
    let evil = guests::path("spin").display().to_string();
    stage.run(&["plugin", "push", &evil, "--name", "evil", "--version", "1.0.0"]).await.expect_code(0);
    let evil = Digest::of(&std::fs::read(evil).unwrap()).to_string();
    let _host = careful(&stage).await;
    becomes(&stage, "echo", Outcome::Succeeded, "").await;

    // The tenant's record says that the signed version is another component.
    change(&stage, "saggar_tenants", "forged", |record| record["plugins"]["echo@1.0.0"] = json!(evil)).await;
    becomes(&stage, "echo", Outcome::Invalid, "is not of this name, version and component").await;
    // So does the version's record now, and keeps its signatures.
    change(&stage, "saggar_plugin_versions", "forged.echo.1.0.0", |record| record["digest"] = json!(evil))
        .await;
    let verified =
        stage.run(&["plugin", "verify", "echo@1.0.0", "--key", &path(&stage, "release.pub.pem")]).await;
    assert!(verified.expect_code(64).stderr.contains("is not of this name"));
    becomes(&stage, "echo", Outcome::Invalid, "is not of this name, version and component").await;
    let listed = stage.run(&["plugin", "ls"]).await.expect_code(0).text();
    assert!(listed.contains("1 damaged"), "{listed}");
}

#[tokio::test]
async fn attack_49_apply_and_push_say_early_what_hosts_will_not_run() {
    let stage = stage("early").await;
    let _host = careful(&stage).await;
    let echo = guests::path("echo").display().to_string();
    let push = ["plugin", "push", &echo, "--name", "echo", "--version"];
    let pushed = stage.run(&[&push[..], &["2.0.0"]].concat()).await.expect_code(0);
    assert!(
        pushed.stderr.contains("careful") && pushed.stderr.contains("plugin sign echo@2.0.0"),
        "{pushed:?}"
    );

    let apply = async |plugin: &str| {
        let text = format!("[tenant]\nname = 'early'\n[[queue]]\nname = 'echo'\nplugin = '{plugin}'\n");
        let file = stage.write("early.toml", &text).display().to_string();
        stage.run(&["apply", &file]).await
    };
    let refused = apply("echo@2.0.0").await.expect_code(64);
    for part in ["early/echo", "host careful", "nobody has signed it", "plugin sign echo@2.0.0", "ed25519:"] {
        assert!(refused.stderr.contains(part), "{part} in {}", refused.stderr);
    }
    // The same component was never signed under any version, until it is under this one.
    let digest = Digest::of(&std::fs::read(&echo).unwrap());
    apply(&format!("echo@{digest}")).await.expect_code(64);
    let key = path(&stage, "release.pem");
    let signed = stage.run(&[&push[..], &["3.0.0", "--sign", &key, "--output", "json"]].concat()).await;
    let signed: Value = serde_json::from_str(&signed.expect_code(0).text()).unwrap();
    assert!(signed["data"]["signed_by"].as_str().is_some_and(|key| key.starts_with("ed25519:")), "{signed}");
    apply("echo@2.0.0").await.expect_code(64);
    apply("echo@3.0.0").await.expect_code(0);
    becomes(&stage, "echo", Outcome::Succeeded, "").await;
    apply(&format!("echo@{digest}")).await.expect_code(0);
    becomes(&stage, "echo", Outcome::Succeeded, "").await;
}

#[tokio::test]
async fn attack_49_a_host_whose_keys_cannot_be_read_does_not_start() {
    let stage = Stage::new("keyless").await;
    stage.run(&["plugin", "keygen", &path(&stage, "release.pem")]).await.expect_code(0);
    for (name, file, why) in [
        ("missing", "nowhere.pem", "nowhere.pem does not exist"),
        ("private", "release.pem", "it is the private key"),
    ] {
        let trusted = path(&stage, file);
        let mut host = stage.start_host(name, &format!("[plugins]\ntrusted_keys = ['{trusted}']"));
        let code = host.wait(SOON).await.code();
        let said = host.stderr().join("\n");
        assert!(matches!(code, Some(64 | 66)) && said.contains(why), "{code:?}: {said}");
    }
}

#[tokio::test]
async fn who_signed_a_plugin_is_shown_and_what_was_pushed_can_be_had_back() {
    let stage = stage("shown").await;
    let inspect = async || stage.run(&["plugin", "inspect", "echo@1.0.0"]).await.expect_code(0).text();
    assert!(inspect().await.contains("by nobody"));
    sign(&stage, "echo@1.0.0", "release.pem").await;
    let key = std::fs::read_to_string(path(&stage, "release.pub.pem")).unwrap();
    let key = saggar_model::PublicKey::from_pem(&key).unwrap();
    assert!(inspect().await.contains(&key.to_string()));
    let listed = stage.run(&["plugin", "ls", "--output", "json"]).await.expect_code(0).text();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["data"]["rows"][0]["signatures"], json!([{ "key": key, "genuine": true }]));
    assert!(stage.run(&["plugin", "ls"]).await.expect_code(0).text().contains(&key.short()));

    let wrong = Digest::of(b"something else").to_string();
    let release = path(&stage, "release.pem");
    let sign = ["plugin", "sign", "echo@1.0.0", "--key", &release, "--digest", &wrong];
    assert!(stage.run(&sign).await.expect_code(64).stderr.contains("was to be signed"));
    stage.run(&["plugin", "sign", "echo@9.0.0", "--key", &release]).await.expect_code(66);

    let file = path(&stage, "pulled.wasm");
    stage.run(&["plugin", "pull", "echo@1.0.0", "-o", &file]).await.expect_code(0);
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(guests::path("echo")).unwrap());
    let again = stage.run(&["plugin", "pull", "echo@1.0.0", "-o", &file]).await.expect_code(64);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);
}

/// Writes to a record as somebody may who has the hosts' access to NATS and no key.
async fn change(stage: &Stage, bucket: &str, key: &str, change: impl Fn(&mut Value)) {
    let context = async_nats::jetstream::new(stage.client.clone());
    let bucket = context.get_key_value(bucket).await.expect("the bucket is there");
    let record = bucket.get(key).await.expect("it answers").expect("the record is there");
    let mut record: Value = serde_json::from_slice(&record).expect("it is JSON");
    change(&mut record);
    bucket.put(key, record.to_string().into()).await.expect("it is written");
}

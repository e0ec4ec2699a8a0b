//! What a guest can do with its tenant's stores, and what it cannot do to anybody with them.

use std::future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use saggar_harness::stores::{HOSTILE_KEYS, QUOTA};
use saggar_model::{
    Capability, Condition, Ending, Limits, NamePage, Outcome, StoreError, StoreKey, StoreName, Versioned,
};
use saggar_sandbox::{
    Attempt, Blobs, Granted, KeyValue, LocalStores, LogLine, Options, Plugin, Request, Sandbox, Services,
};
use serde_json::{Value, json};

use crate::stage::{Recorder, guest, sandbox};

/// A tenant's side of the wall.
struct Tenant<K> {
    recorder: Recorder,
    kv: Arc<K>,
    blobs: LocalStores,
}

impl Tenant<LocalStores> {
    fn new() -> Arc<Self> {
        let stores = LocalStores::new(QUOTA);
        Arc::new(Self { recorder: Recorder::default(), kv: Arc::new(stores.clone()), blobs: stores })
    }
}

impl<K: KeyValue + 'static> Services for Tenant<K> {
    fn progress(&self, fraction: Option<f64>, message: &str) {
        self.recorder.progress(fraction, message);
    }

    fn log(&self, line: LogLine<'_>) {
        self.recorder.log(line);
    }

    fn cancelled(&self) -> bool {
        false
    }

    fn denied(&self, capability: Capability, target: &str) {
        self.recorder.denied(capability, target);
    }

    fn kv(&self) -> Option<Arc<dyn KeyValue>> {
        Some(self.kv.clone())
    }

    fn blobs(&self) -> Option<Arc<dyn Blobs>> {
        Some(Arc::new(self.blobs.clone()))
    }
}

struct Stage {
    sandbox: Sandbox,
    plugin: Plugin,
}

impl Stage {
    fn new() -> Self {
        let sandbox = sandbox(&Options { slots: 2, ..Options::default() });
        let plugin = guest(&sandbox, "keeps");
        Self { sandbox, plugin }
    }

    async fn attempt(
        &self,
        services: Arc<dyn Services>,
        grants: &str,
        limits: Limits,
        steps: &Value,
    ) -> Attempt {
        let grants = serde_json::from_str(grants).expect("these are grants");
        let granted = Arc::new(Granted::new(grants, &[].into()));
        let request = Request { granted, limits, ..Request::local(steps.to_string().into()) };
        self.sandbox.run(&self.plugin, request, services, future::pending()).await
    }

    /// What came of the steps of a guest with both grants.
    async fn outcomes(&self, services: Arc<dyn Services>, steps: Value) -> Value {
        outcomes(self.attempt(services, GRANTED, Limits::default(), &steps).await)
    }
}

const GRANTED: &str = r#"{"kv": true, "blobs": true}"#;

fn outcomes(attempt: Attempt) -> Value {
    match attempt.ending {
        Ending::Succeeded(output) => serde_json::from_slice(&output.payload).expect("it is JSON"),
        Ending::Failed(failure) => panic!("{failure:?}"),
    }
}

#[tokio::test]
async fn a_guest_keeps_what_it_sets_and_pays_for_it() {
    let (stage, tenant) = (Stage::new(), Tenant::new());
    let steps = json!([
        ["get", "b", "a"],
        ["set", "b", "a", "1"],
        ["increment", "b", "a", "41"],
        ["keys", "b"],
        ["many", "m"],
        ["delete", "b", "a"],
        ["keys", "b"],
    ]);
    let attempt = stage.attempt(tenant.clone(), GRANTED, Limits::default(), &steps).await;
    assert!(attempt.usage.fuel > 13 * 20_000, "each request costs: {}", attempt.usage.fuel);
    assert_eq!(outcomes(attempt), json!([null, null, 42, ["a"], ["2", null, "1"], null, []]));
    let steps = json!([
        ["read", "c", "a"],
        ["write", "c", "a", "0123456789"],
        ["read", "c", "a"],
        ["part", "c", "a", "3", "5"],
        ["part", "c", "a", "9", "18446744073709551615"],
        ["names", "c"],
        ["large", "c", "1"],
        ["remove", "c"],
        ["names", "c"],
    ]);
    let done = stage.outcomes(tenant, steps).await;
    assert_eq!(done[0]["error"], "NotFound");
    assert_eq!(
        done.as_array().unwrap()[1..8],
        [json!(null), json!("0123456789"), json!("345"), json!("9"), json!(["a"]), json!(true), json!(null)]
    );
    assert_eq!(done[8]["error"], "NotFound");
}

#[tokio::test]
async fn without_a_grant_every_entry_says_what_to_ask_for_and_each_denial_is_counted() {
    let (stage, tenant) = (Stage::new(), Tenant::new());
    let steps = json!([["get", "b", "a"], ["write", "c", "a", ""], ["read", "c", "a"], ["remove", "c"]]);
    let attempt = stage.attempt(tenant.clone(), "{}", Limits::default(), &steps).await;
    let done = outcomes(attempt);
    for (n, grant) in [(0, "kv"), (1, "blobs"), (2, "blobs"), (3, "blobs")] {
        assert_eq!(done[n]["error"], "Denied", "{done}");
        let text = done[n]["text"].as_str().unwrap();
        assert!(text.contains(&format!("no grant `{grant}`")) && text.contains("[queue.grants]"), "{text}");
    }
    let denied = |capability, target: &str| (capability, target.to_owned());
    let (kv, blobs) = (Capability::Kv, Capability::Blobs);
    assert_eq!(
        tenant.recorder.denials(),
        [denied(kv, "b"), denied(blobs, "c"), denied(blobs, "c"), denied(blobs, "c")]
    );
}

#[tokio::test]
async fn attack_63_no_key_leads_out_of_the_tenants_own_stores() {
    let (stage, mine, theirs) = (Stage::new(), Tenant::new(), Tenant::new());
    let secret = json!([["set", "b", "secret", "theirs"], ["write", "c", "secret", "theirs"]]);
    stage.outcomes(theirs.clone(), secret).await;
    for text in HOSTILE_KEYS.into_iter().chain(["secret"]) {
        let steps = json!([
            ["get", text, text],
            ["get", "b", text],
            ["set", text, text, "mine"],
            ["get", text, text],
            ["keys", text],
            ["delete", text, text],
            ["write", text, text, "mine"],
            ["read", text, text],
            ["names", text],
            ["remove", text],
        ]);
        let done = stage.outcomes(mine.clone(), steps).await;
        assert_eq!(
            done,
            json!([null, null, null, "mine", [text], null, null, "mine", [text], null]),
            "{text:?}"
        );
    }
    let long = "k".repeat(5000);
    let steps = json!([
        ["get", "b", long],
        ["set", long, "a", ""],
        ["write", "c", long, ""],
        ["write", long, "a", ""]
    ]);
    let done = stage.outcomes(mine, steps).await;
    assert!((0..4).all(|n| done[n]["error"] == "TooLong"), "{done}");
    let kept = stage.outcomes(theirs, json!([["get", "b", "secret"], ["read", "c", "secret"]])).await;
    assert_eq!(kept, json!(["theirs", "theirs"]));
}

#[tokio::test]
async fn a_full_store_is_an_error_that_a_guest_can_act_on() {
    let (stage, tenant) = (Stage::new(), Tenant::new());
    let steps = json!([
        ["fill", "b", "65536"],
        ["delete", "b", "0"],
        ["set", "b", "x", "fits"],
        ["large", "c", "64"],
        ["write", "c", "a", "fits"]
    ]);
    let done = stage.outcomes(tenant, steps).await;
    assert_eq!(done[0][1], "Full", "{done}");
    assert_eq!(
        (&done[2], &done[3]["error"], &done[4]),
        (&json!(null), &json!("Full"), &json!(null)),
        "{done}"
    );
}

#[tokio::test]
async fn bodies_are_bounded_and_writes_of_nothing_cost_nothing_of_the_hosts() {
    let (stage, tenant) = (Stage::new(), Tenant::new());
    let done =
        stage.outcomes(tenant, json!([["bodies", "c"], ["nothing", "c"], ["read", "c", "nothing"]])).await;
    assert_eq!(done, json!([16, null, ""]));
}

#[tokio::test]
async fn more_keys_at_once_than_a_call_does_are_refused_before_anything_is_asked() {
    let (stage, tenant) = (Stage::new(), Tenant::new());
    let done = stage.outcomes(tenant, json!([["all", "1000", "b"], ["all", "1001", "b"]])).await;
    assert_eq!((&done[0], &done[1]["error"]), (&json!(1000), &json!("TooLarge")), "{done}");
}

/// Never answers.
struct Hanging;

#[async_trait]
impl KeyValue for Hanging {
    async fn get(&self, _: &StoreName, _: &StoreKey) -> Result<Option<Versioned>, StoreError> {
        future::pending().await
    }

    async fn put(&self, _: &StoreName, _: &StoreKey, _: Bytes, _: Condition) -> Result<u64, StoreError> {
        future::pending().await
    }

    async fn delete(&self, _: &StoreName, _: &StoreKey) -> Result<(), StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn keys(&self, _: &StoreName, _: u64) -> Result<NamePage, StoreError> {
        Err(StoreError::Unavailable)
    }
}

#[tokio::test]
async fn a_store_that_hangs_or_fails_costs_only_the_task_that_calls_it() {
    const WALL: Duration = Duration::from_millis(300);
    let stage = Stage::new();
    let hanging: Arc<dyn Services> = Arc::new(Tenant {
        recorder: Recorder::default(),
        kv: Arc::new(Hanging),
        blobs: LocalStores::default(),
    });
    let limits = Limits { timeout: WALL, ..Limits::default() };
    let begun = Instant::now();
    let (steps, neighbours) =
        (json!([["set", "b", "a", "1"]]), json!([["set", "b", "a", "1"], ["get", "b", "a"]]));
    let (hung, neighbour) = tokio::join!(
        stage.attempt(hanging.clone(), GRANTED, limits, &steps),
        stage.outcomes(Tenant::new(), neighbours),
    );
    assert_eq!(hung.ending.outcome(), Outcome::TimedOut);
    assert!(begun.elapsed() < WALL + Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(neighbour, json!([null, "1"]));
    let done = stage.outcomes(hanging, json!([["delete", "b", "a"], ["keys", "b"]])).await;
    assert_eq!((&done[0]["error"], &done[1]["error"]), (&json!("Unavailable"), &json!("Unavailable")));
}

#[tokio::test]
async fn a_guest_that_floods_a_store_pays_until_its_fuel_is_spent() {
    let (stage, tenant) = (Stage::new(), Tenant::new());
    let limits = Limits { fuel: 20_000_000, ..Limits::default() };
    let attempt = stage.attempt(tenant, GRANTED, limits, &json!([["flood", "b"]])).await;
    assert_eq!((attempt.ending.outcome(), attempt.usage.fuel), (Outcome::OutOfFuel, limits.fuel));
    assert!(attempt.usage.host_calls < 1000, "{} calls", attempt.usage.host_calls);
}

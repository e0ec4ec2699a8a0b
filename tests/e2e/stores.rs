//! What plugins keep between tasks: for their own tenant, on any host, within its quota.

use std::collections::BTreeSet;

use saggar_model::Outcome;
use serde_json::{Value, json};

use crate::stage::{SOON, Stage};

const GRANTED: &str = "[queue.grants]\nkv = true\nblobs = true";

/// Runs the steps as a task of the stage's tenant, and gives what came of each.
async fn keeps(stage: &Stage, queue: &str, id: &str, steps: Value) -> Value {
    stage.publish(queue, id, steps.to_string()).await;
    let result = stage.result(queue, id).await;
    assert_eq!(result.outcome, Outcome::Succeeded, "{:?}", result.reason());
    serde_json::from_slice(&result.payload).expect("it is JSON")
}

#[tokio::test]
async fn attack_63_two_tenants_on_one_host_keep_things_of_the_same_names_apart() {
    let mut stage = Stage::new("mine").await;
    let _host = stage.host("host-1", "").await;
    stage.apply_queues(&[("keeps", "keeps", GRANTED)]).await;
    let secrets = json!([["set", "b", "a", "mine"], ["write", "c", "a", "mine"], ["large", "c", "3"]]);
    assert_eq!(keeps(&stage, "keeps", "1", secrets).await, json!([null, null, true]));

    stage.tenant = "theirs".parse().unwrap();
    stage.apply_queues(&[("keeps", "keeps", GRANTED)]).await;
    let prying = json!([
        ["get", "b", "a"],
        ["keys", "b"],
        ["get", "*", ">"],
        ["get", "../../mine", "a"],
        ["read", "c", "a"],
        ["names", "../mine"],
        ["set", "b", "a", "theirs"],
        ["write", "c", "a", "theirs"],
        ["read", "c", "a"],
        ["fill", "b", "100000"],
    ]);
    let found = keeps(&stage, "keeps", "1", prying).await;
    assert_eq!(found.as_array().unwrap()[..4], [json!(null), json!([]), json!(null), json!(null)]);
    assert_eq!((&found[4]["error"], &found[5]["error"]), (&json!("NotFound"), &json!("NotFound")));
    assert_eq!((&found[8], &found[9][1]), (&json!("theirs"), &json!("Full")), "{found}");

    stage.tenant = "mine".parse().unwrap();
    let kept = json!([["get", "b", "a"], ["read", "c", "a"], ["set", "b", "more", "fits"]]);
    let found = keeps(&stage, "keeps", "2", kept).await;
    assert_eq!(found, json!(["mine", "mine", null]), "a neighbour's full store is the neighbour's");
}

#[tokio::test]
async fn tasks_that_count_at_once_on_two_hosts_are_each_counted_once() {
    const TASKS: u64 = 40;
    let stage = Stage::new("counting").await;
    let _hosts = (stage.host("host-1", "").await, stage.host("host-2", "").await);
    stage.apply_queues(&[("keeps", "keeps", GRANTED)]).await;
    for n in 0..TASKS {
        let step = json!([["increment", "b", "n", "1"]]);
        stage.publish("keeps", &format!("t{n}"), step.to_string()).await;
    }
    let mut sums = BTreeSet::new();
    for n in 0..TASKS {
        let result = stage.result("keeps", &format!("t{n}")).await;
        let outcomes: Value = serde_json::from_slice(&result.payload).expect("it is JSON");
        sums.insert(outcomes[0].as_u64().unwrap_or_else(|| panic!("{outcomes}")));
    }
    assert_eq!(sums, (1..=TASKS).collect());
}

#[tokio::test]
async fn a_queue_without_the_grant_is_denied_and_with_it_the_next_task_is_not() {
    let stage = Stage::new("granting").await;
    let host = stage.host("host-1", "").await;
    stage.apply_queues(&[("keeps", "keeps", "")]).await;
    let steps = || json!([["set", "b", "a", "1"], ["write", "c", "a", "1"]]);
    let denied = keeps(&stage, "keeps", "1", steps()).await;
    for (n, grant) in ["kv", "blobs"].into_iter().enumerate() {
        assert_eq!(denied[n]["error"], "Denied");
        assert!(denied[n]["text"].as_str().unwrap().contains(&format!("`{grant} = true`")), "{denied}");
    }
    let url = host.wait_for_url(SOON).await;
    let (_, metrics) = crate::stage::get(&format!("{}/metrics", url.trim_end_matches('/'))).await.unwrap();
    let counted = metrics
        .lines()
        .filter(|line| line.starts_with("saggar_denials_total{") && line.ends_with(" 1"))
        .count();
    assert!(counted >= 2, "{metrics}");
    stage.apply_queues(&[("keeps", "keeps", GRANTED)]).await;
    let granted = saggar_harness::eventually("the grant takes effect", SOON, async || {
        let id = format!("g{}", rand_id());
        let done = keeps(&stage, "keeps", &id, steps()).await;
        (done == json!([null, null])).then_some(())
    });
    granted.await;
}

fn rand_id() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos()
}

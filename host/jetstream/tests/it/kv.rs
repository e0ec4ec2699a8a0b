use std::time::{Duration, Instant};

use async_nats::jetstream;
use futures::TryStreamExt as _;
use rustix::process::{Pid, Signal, kill_process};
use saggar_jetstream::{Expected, Fault, Kv, Stores, Tenants};
use saggar_model::{Condition, Quota, StoreError, StoreKey, StoreKind, StoreName, TenantName, TenantRecord};

use crate::world::{World, record};

/// A world in which this tenant may keep things.
async fn world(tenants: &[&str]) -> World {
    let world = World::new().await;
    for tenant in tenants {
        let mut record = record(&[]);
        record.spec.name = tenant.parse().unwrap();
        Tenants::new(&world.nats).put(&record, Expected::Absent).await.unwrap();
    }
    world
}

fn kv(world: &World, tenant: &str) -> Kv {
    Stores::new(&world.nats, 1).kv(&tenant.parse().unwrap())
}

fn name(text: &str) -> StoreName {
    StoreName::new(text).unwrap()
}

fn key(text: &str) -> StoreKey {
    StoreKey::new(text).unwrap()
}

async fn streams(world: &World) -> Vec<String> {
    let js = jetstream::new(world.client().await);
    js.stream_names().try_collect().await.unwrap()
}

fn with_quota(tenant: &str, kv: u64) -> TenantRecord {
    let mut record = record(&[]);
    record.spec.name = tenant.parse().unwrap();
    record.spec.quota = Quota { kv, ..record.spec.quota };
    record
}

#[tokio::test]
async fn a_bucket_is_made_by_the_first_value_and_not_before() {
    let world = world(&["acme"]).await;
    let kv = kv(&world, "acme");
    assert_eq!(kv.get(&name("b"), &key("a")).await, Ok(None));
    assert_eq!(kv.keys(&name("b"), 0).await, Ok(saggar_model::NamePage::default()));
    assert_eq!(kv.delete(&name("b"), &key("a")).await, Ok(()));
    assert!(!streams(&world).await.contains(&"KV_saggar-acme-kv".to_owned()));
    kv.put(&name("b"), &key("user.42"), "v".into(), Condition::Always).await.unwrap();
    let js = jetstream::new(world.client().await);
    let bucket = js.get_key_value("saggar-acme-kv").await.unwrap();
    assert_eq!(bucket.status().await.unwrap().history(), 1);
    assert_eq!(bucket.get("b.user.42").await.unwrap().unwrap(), "v", "any client of NATS can read it");
    assert_eq!(bucket.keys().await.unwrap().try_collect::<Vec<_>>().await.unwrap(), ["b.user.42"]);
}

#[tokio::test]
async fn a_tenant_without_a_record_keeps_nothing() {
    let world = world(&[]).await;
    let refused = kv(&world, "ghost").put(&name("b"), &key("a"), "v".into(), Condition::Always).await;
    assert_eq!(refused, Err(StoreError::Unavailable));
    assert!(!streams(&world).await.contains(&"KV_saggar-ghost-kv".to_owned()));
}

#[tokio::test]
async fn attack_63_whatever_a_key_is_it_stays_in_the_tenants_own_bucket() {
    let world = world(&["acme", "other"]).await;
    let (acme, other) = (kv(&world, "acme"), kv(&world, "other"));
    other.put(&name("b"), &key("secret"), "theirs".into(), Condition::Always).await.unwrap();
    let before = world.nats_messages("KV_saggar-other-kv").await;
    for text in [
        "secret",
        "*",
        ">",
        "../saggar-other-kv/b.secret",
        "$KV.saggar-other-kv.b.secret",
        "x\r\nPUB $KV.saggar-other-kv.b.secret 4\r\nmine\r\n",
        "\0",
        "",
    ] {
        for bucket in [text, "b", "*", ">", "saggar-other-kv"] {
            let Ok(bucket) = StoreName::new(bucket) else { continue };
            assert_eq!(acme.get(&bucket, &key(text)).await, Ok(None), "{text:?}");
            acme.put(&bucket, &key(text), "mine".into(), Condition::Always).await.unwrap();
            assert_eq!(acme.get(&bucket, &key(text)).await.unwrap().unwrap().value, "mine", "{text:?}");
            assert!(!acme.keys(&bucket, 0).await.unwrap().names.is_empty());
            acme.delete(&bucket, &key(text)).await.unwrap();
            assert_eq!(
                acme.keys(&bucket, 0).await.unwrap().names,
                [""; 0],
                "{text:?} takes nothing else along"
            );
        }
    }
    assert_eq!(other.get(&name("b"), &key("secret")).await.unwrap().unwrap().value, "theirs");
    assert_eq!(world.nats_messages("KV_saggar-other-kv").await, before);
    assert!(StoreKey::new(&"k".repeat(5000)).is_err());
}

#[tokio::test]
async fn a_changed_quota_holds_at_once_and_evicts_nothing() {
    let world = world(&["acme"]).await;
    let kv = kv(&world, "acme");
    let put = |n: usize| {
        let kv = kv.clone();
        async move { kv.put(&name("b"), &key_of(n), vec![1; 256 << 10].into(), Condition::Always).await }
    };
    let mut kept = 0;
    while put(kept).await.is_ok() {
        kept += 1;
    }
    world.provisioner().ensure_tenant(&with_quota("acme", 4 << 20)).await.unwrap();
    put(kept).await.expect("there is room now");
    world.provisioner().ensure_tenant(&with_quota("acme", Quota::STORE_MIN)).await.unwrap();
    assert_eq!(put(kept + 1).await, Err(StoreError::Full(StoreKind::Kv)));
    for n in 0..=kept {
        assert!(kv.get(&name("b"), &key_of(n)).await.unwrap().is_some(), "{n} is kept");
    }
    assert_eq!(world.provisioner().verify_tenant(&with_quota("acme", Quota::STORE_MIN)).await, Ok(()));
}

fn key_of(n: usize) -> StoreKey {
    key(&format!("k{n}"))
}

#[tokio::test]
async fn a_bucket_that_would_evict_values_is_refused_by_name_and_put_right_by_applying() {
    let world = world(&["acme"]).await;
    let record = with_quota("acme", Quota::STORE_MIN);
    world.provisioner().ensure_tenant(&record).await.unwrap();
    kv(&world, "acme").put(&name("b"), &key("a"), "v".into(), Condition::Always).await.unwrap();
    let js = jetstream::new(world.client().await);
    let mut config = js.get_stream("KV_saggar-acme-kv").await.unwrap().cached_info().config.clone();
    config.discard = jetstream::stream::DiscardPolicy::Old;
    js.update_stream(&config).await.unwrap();
    let refused = world.provisioner().verify_tenant(&record).await.unwrap_err();
    assert_eq!(refused.fault(), Fault::Invalid);
    assert!(refused.to_string().contains("KV_saggar-acme-kv: discard"), "{refused}");
    world.provisioner().ensure_tenant(&record).await.unwrap();
    assert_eq!(world.provisioner().verify_tenant(&record).await, Ok(()));
}

#[tokio::test]
async fn what_an_operator_removes_with_other_tools_is_gone_and_can_be_set_again() {
    let world = world(&["acme"]).await;
    let kv = kv(&world, "acme");
    kv.put(&name("b"), &key("a"), "v".into(), Condition::Always).await.unwrap();
    let js = jetstream::new(world.client().await);
    js.get_key_value("saggar-acme-kv").await.unwrap().delete("b.a").await.unwrap();
    assert_eq!(kv.get(&name("b"), &key("a")).await, Ok(None));
    assert_eq!(kv.keys(&name("b"), 0).await.unwrap().names, [""; 0]);
    kv.put(&name("b"), &key("a"), "again".into(), Condition::Absent).await.unwrap();
    assert_eq!(kv.get(&name("b"), &key("a")).await.unwrap().unwrap().value, "again");
}

#[tokio::test]
async fn a_server_that_stands_still_costs_one_call_its_time_and_no_more() {
    let world = world(&["acme"]).await;
    let kv = kv(&world, "acme");
    kv.put(&name("b"), &key("a"), "v".into(), Condition::Always).await.unwrap();
    let server = Pid::from_raw(i32::try_from(world.server.pid().unwrap()).unwrap()).unwrap();
    kill_process(server, Signal::STOP).unwrap();
    let (begun, bucket, a) = (Instant::now(), name("b"), key("a"));
    let (read, written) =
        tokio::join!(kv.get(&bucket, &a), kv.put(&bucket, &a, "w".into(), Condition::Always));
    let took = begun.elapsed();
    kill_process(server, Signal::CONT).unwrap();
    assert_eq!(read, Err(StoreError::Unavailable));
    assert_eq!(written, Err(StoreError::Unavailable));
    assert!(took >= Duration::from_secs(9) && took < Duration::from_secs(13), "{took:?}");
    let back = crate::world::eventually("the store answers again", || async {
        kv.get(&name("b"), &key("a")).await.ok()
    });
    assert!(back.await.is_some());
}

/// Names of tenants are checked before they get here.
#[test]
fn a_tenants_name_is_no_pattern() {
    for text in ["*", ">", "a.b", "a b", ""] {
        assert!(text.parse::<TenantName>().is_err(), "{text:?}");
    }
}

use futures::{Stream, StreamExt as _};
use saggar_jetstream::{Expected, Fault, TenantChange, TenantEntry, Tenants, TenantsError};
use saggar_model::{TenantName, TenantRecord};

use crate::world::{PATIENCE, World, acme, record};

fn tenant(name: &str) -> TenantRecord {
    let mut record = record(&[]);
    record.spec.name = name.parse().unwrap();
    record
}

/// The next change; what fails while NATS is away is passed over.
async fn next(watch: &mut (impl Stream<Item = Result<TenantChange, TenantsError>> + Unpin)) -> TenantChange {
    let next = async {
        loop {
            match watch.next().await.expect("a watch never ends") {
                Ok(change) => return change,
                Err(error) => assert_eq!(error.fault(), Fault::Unavailable, "{error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await.expect("a change is seen")
}

fn put(change: &TenantChange) -> Option<(&TenantName, u32)> {
    match change {
        TenantChange::Put(entry) => Some((&entry.record.spec.name, entry.record.spec.weight)),
        TenantChange::Removed(_) | TenantChange::UpToDate => None,
    }
}

#[tokio::test]
async fn a_record_is_changed_only_by_whoever_knows_it() {
    let world = World::new().await;
    let tenants = Tenants::new(&world.nats);
    assert_eq!(tenants.get(&acme()).await, Ok(None));
    let first = tenants.put(&tenant("acme"), Expected::Absent).await.unwrap();
    assert_eq!(tenants.put(&tenant("acme"), Expected::Absent).await.unwrap_err().fault(), Fault::Conflict);
    let mut heavier = tenant("acme");
    heavier.spec.weight = 2;
    let second = tenants.put(&heavier, Expected::Revision(first)).await.unwrap();
    assert!(tenants.put(&heavier, Expected::Revision(first)).await.is_err());
    assert_eq!(tenants.get(&acme()).await, Ok(Some(TenantEntry { record: heavier, revision: second })));
    assert!(tenants.remove(&acme(), first).await.is_err());
    tenants.remove(&acme(), second).await.unwrap();
    assert_eq!(tenants.get(&acme()).await, Ok(None));
    assert!(tenants.put(&tenant("acme"), Expected::Absent).await.is_ok(), "absent again");
    tenants.put(&tenant("aaa"), Expected::Absent).await.unwrap();
    let names: Vec<_> =
        tenants.list().await.unwrap().iter().map(|e| e.record.spec.name.to_string()).collect();
    assert_eq!(names, ["aaa", "acme"]);
}

#[tokio::test]
async fn a_watch_sees_what_there_is_and_what_changes_also_over_a_restart() {
    let mut world = World::new().await;
    let tenants = Tenants::new(&world.nats);
    let first = tenants.put(&tenant("acme"), Expected::Absent).await.unwrap();
    let mut watch = tenants.watch();
    assert_eq!(put(&next(&mut watch).await), Some((&acme(), 1)));
    assert_eq!(next(&mut watch).await, TenantChange::UpToDate);
    let mut heavier = tenant("acme");
    heavier.spec.weight = 2;
    let second = tenants.put(&heavier, Expected::Revision(first)).await.unwrap();
    assert_eq!(put(&next(&mut watch).await), Some((&acme(), 2)));

    world.server.kill().await;
    world.server.restart().await.unwrap();
    let other: TenantName = "other".parse().unwrap();
    crate::world::eventually("it can be written again", || async {
        tenants.put(&tenant("other"), Expected::Absent).await.ok()
    })
    .await;
    let mut seen = Vec::new();
    while seen.is_empty() {
        let change = next(&mut watch).await;
        seen.extend(put(&change).map(|(name, _)| name.clone()));
    }
    assert_eq!(seen, [other], "and nothing that was seen before");

    tenants.remove(&acme(), second).await.unwrap();
    loop {
        match next(&mut watch).await {
            TenantChange::UpToDate => {}
            change => break assert_eq!(change, TenantChange::Removed(acme())),
        }
    }
}

#[tokio::test]
async fn a_record_nobody_understands_does_not_hide_the_others() {
    let world = World::new().await;
    let tenants = Tenants::new(&world.nats);
    let client = world.client().await;
    client.request("$KV.saggar_tenants.bad", "{".into()).await.unwrap();
    tenants.put(&tenant("acme"), Expected::Absent).await.unwrap();
    let (entries, unreadable) = tenants.snapshot().await.unwrap();
    assert_eq!((entries.len(), unreadable.len()), (1, 1));
    assert_eq!(tenants.list().await.unwrap_err().fault(), Fault::Internal);
    let mut watch = tenants.watch();
    assert!(watch.next().await.unwrap().is_err());
    assert_eq!(put(&watch.next().await.unwrap().unwrap()), Some((&acme(), 1)));
}

//! The records of schedules.

use saggar_jetstream::{Expected, Schedules, SchedulesError};
use saggar_model::{CatchUp, Overlap, Schedule};

use crate::world::{World, acme, work};

fn schedule(name: &str) -> Schedule {
    Schedule {
        name: name.parse().unwrap(),
        cron: "0 3 * * *".into(),
        zone: "UTC".into(),
        queue: work(),
        overlap: Overlap::Skip,
        catch_up: CatchUp::Last,
        payload: b"in".to_vec(),
        headers: Vec::new(),
        paused: false,
        decided_ms: 1,
        last: None,
        from_file: false,
    }
}

#[tokio::test]
async fn schedules_are_kept_by_tenant_and_changed_by_one_at_a_time() {
    let world = World::new().await;
    let schedules = Schedules::new(&world.nats);
    let other = "other".parse().unwrap();
    let revision = schedules.put(&acme(), &schedule("b"), Expected::Absent).await.unwrap();
    schedules.put(&acme(), &schedule("a"), Expected::Absent).await.unwrap();
    schedules.put(&other, &schedule("b"), Expected::Absent).await.unwrap();
    let again = schedules.put(&acme(), &schedule("b"), Expected::Absent).await;
    assert!(matches!(again, Err(SchedulesError::Conflict { .. })), "{again:?}");
    let (listed, unreadable) = schedules.list(Some(&acme())).await.unwrap();
    let names: Vec<_> = listed.iter().map(|stored| stored.schedule.name.as_str()).collect();
    assert_eq!((names, unreadable.len()), (vec!["a", "b"], 0));
    assert_eq!(schedules.list(None).await.unwrap().0.len(), 3);
    let name = "b".parse().unwrap();
    let changed = Schedule { paused: true, ..schedule("b") };
    let next = schedules.put(&acme(), &changed, Expected::Revision(revision)).await.unwrap();
    let late = schedules.remove(&acme(), &name, revision).await;
    assert!(matches!(late, Err(SchedulesError::Conflict { .. })), "{late:?}");
    schedules.remove(&acme(), &name, next).await.unwrap();
    assert_eq!(schedules.get(&acme(), &name).await, Ok(None));
    assert!(schedules.get(&other, &name).await.unwrap().is_some());
}

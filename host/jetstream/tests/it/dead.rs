use std::time::Duration;

use bytes::Bytes;
use saggar_jetstream::{
    DeadError, DeadLetters, DeadName, DeadPut, Fault, NewTask, Provisioner, PullMode, Redriven, Results,
};
use saggar_model::{DeadLetter, Quota};

use crate::world::{World, acme, failed, failure, id, receipt, record, succeeded, task, work};

const TTL: Duration = Duration::from_hours(1);

fn letter(name: &str, sequence: u64, payload: &'static str) -> DeadLetter {
    let original = [("X-Customer", "7"), ("Nats-Rollup", "all")];
    DeadLetter::new(
        &task(name),
        sequence,
        Bytes::from_static(payload.as_bytes()),
        original,
        &failure(),
        &receipt(),
    )
}

#[tokio::test]
async fn a_second_dead_letter_of_an_id_is_kept_beside_the_first() {
    let world = World::with_queue(1).await;
    let dead = DeadLetters::new(&world.nats);
    let put = |sequence, payload| {
        let dead = dead.clone();
        async move { dead.put(&acme(), &work(), &id("a"), sequence, &letter("a", sequence, payload)).await }
    };
    let (first, second) = (DeadName::from(id("a")), DeadName { id: id("a"), again: Some(9) });
    assert_eq!(put(7, "one").await, Ok(DeadPut::Stored(first.clone())));
    assert_eq!(put(7, "one").await, Ok(DeadPut::Already(first.clone())));
    assert_eq!(put(9, "two").await, Ok(DeadPut::Stored(second.clone())));
    assert_eq!(put(9, "two").await, Ok(DeadPut::Already(second.clone())));
    let all = dead.list(&acme(), Some(&work()), 0, 10).await.unwrap();
    assert_eq!(all.iter().map(|dead| dead.name.clone()).collect::<Vec<_>>(), [first.clone(), second]);
    let stored = dead.get(&acme(), &work(), &first).await.unwrap().unwrap();
    assert_eq!((stored.task_sequence, stored.letter.payload.as_ref()), (Some(7), b"one".as_ref()));
    assert_eq!(stored.header("saggar-reason"), Some("no good\\r\\nNats-Rollup: all"));
    assert_eq!(stored.header("x-customer"), Some("7"));
    assert!(!stored.letter.headers.iter().any(|(name, _)| name.starts_with("Nats-")), "{stored:?}");
}

#[tokio::test]
async fn full_dead_letters_say_so_and_give_nothing_up() {
    let world = World::new().await;
    let mut small = record(&[("work", 1)]);
    small.spec.quota = Quota { dead: 2000, ..small.spec.quota };
    Provisioner::new(&world.nats, 1).ensure_tenant(&small).await.unwrap();
    let dead = DeadLetters::new(&world.nats);
    let mut kept = 0;
    let full = loop {
        let name = format!("n-{kept}");
        match dead.put(&acme(), &work(), &id(&name), 1, &letter(&name, 1, "x")).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full, DeadError::Full { tenant: acme() });
    assert_eq!(dead.list(&acme(), None, 0, 100).await.unwrap().len(), kept);
}

#[tokio::test]
async fn a_redriven_task_keeps_its_id_and_headers_and_doing_it_twice_is_harmless() {
    let world = World::with_queue(5).await;
    let (dead, results) = (DeadLetters::new(&world.nats), Results::new(&world.nats));
    dead.put(&acme(), &work(), &id("a"), 7, &letter("a", 7, "in")).await.unwrap();
    results.put(&acme(), &failed("a", 7), TTL).await.unwrap();
    let name = DeadName::from(id("a"));
    let done = dead.redrive(&acme(), &work(), &name).await.unwrap();
    assert_eq!(done, Redriven::Published { id: id("a"), sequence: 1 });
    assert_eq!(results.get(&acme(), &work(), &id("a")).await.unwrap(), None);
    let missing = dead.redrive(&acme(), &work(), &name).await.unwrap_err();
    assert_eq!(missing.fault(), Fault::NotFound);

    // As if the process had died before the dead letter was removed.
    dead.put(&acme(), &work(), &id("a"), 7, &letter("a", 7, "in")).await.unwrap();
    assert_eq!(dead.redrive(&acme(), &work(), &name).await, Ok(Redriven::Waiting));
    let taken = world.pull(5, PullMode::Now, TTL).await;
    assert_eq!(taken.len(), 1, "one task, however often it is redriven");
    assert_eq!(
        (taken[0].subject(), taken[0].payload().as_ref()),
        ("saggar.acme.task.work.a", b"in".as_ref())
    );
    let headers: Vec<_> = taken[0].headers().filter(|(name, _)| !name.starts_with("Nats-")).collect();
    assert_eq!(headers, [("X-Customer", "7")]);
}

#[tokio::test]
async fn a_task_that_has_succeeded_since_is_not_run_again_by_a_redrive() {
    let world = World::with_queue(5).await;
    let (dead, results) = (DeadLetters::new(&world.nats), Results::new(&world.nats));
    dead.put(&acme(), &work(), &id("a"), 7, &letter("a", 7, "in")).await.unwrap();
    let since = succeeded("a", 8, "out");
    results.put(&acme(), &since, TTL).await.unwrap();
    let name = DeadName::from(id("a"));
    assert_eq!(dead.redrive(&acme(), &work(), &name).await, Ok(Redriven::Done));
    assert_eq!(results.get(&acme(), &work(), &id("a")).await.unwrap().unwrap().result, since);
    assert_eq!(dead.get(&acme(), &work(), &name).await, Ok(None));
    assert!(world.pull(5, PullMode::Now, TTL).await.is_empty());
}

#[tokio::test]
async fn a_task_without_an_id_is_redriven_once_under_a_new_one() {
    let world = World::with_queue(5).await;
    let dead = DeadLetters::new(&world.nats);
    let published = world.publish(NewTask::default()).await;
    let name = DeadName::from(published.id.clone());
    let mut ids = Vec::new();
    for _ in 0..2 {
        let letter = letter(published.id.as_str(), 1, "in");
        dead.put(&acme(), &work(), &published.id, 1, &letter).await.unwrap();
        match dead.redrive(&acme(), &work(), &name).await.unwrap() {
            Redriven::Published { id, .. } => ids.push(id),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], published.id);
    assert_eq!(world.pull(5, PullMode::Now, TTL).await.len(), 2, "the first task, and its one redrive");
}

#[tokio::test]
async fn a_dead_letter_of_a_removed_queue_stays_when_it_cannot_be_redriven() {
    let world = World::with_queue(1).await;
    let dead = DeadLetters::new(&world.nats);
    dead.put(&acme(), &work(), &id("a"), 7, &letter("a", 7, "in")).await.unwrap();
    world.provisioner().ensure_tenant(&record(&[])).await.unwrap();
    let name = DeadName::from(id("a"));
    assert_eq!(dead.redrive(&acme(), &work(), &name).await.unwrap_err().fault(), Fault::NotFound);
    let stored = dead.get(&acme(), &work(), &name).await.unwrap().unwrap();
    assert!(dead.remove(&acme(), stored.sequence).await.unwrap());
    assert!(!dead.remove(&acme(), stored.sequence).await.unwrap());
}

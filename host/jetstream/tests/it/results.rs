use std::time::Duration;

use futures::StreamExt as _;
use saggar_jetstream::{Fault, Put, Results};

use crate::world::{PATIENCE, World, acme, id, succeeded, work};

const TTL: Duration = Duration::from_hours(1);

#[tokio::test]
async fn the_first_writer_wins_and_the_second_is_told_what_is_stored() {
    let world = World::with_queue(1).await;
    let results = Results::new(&world.nats);
    let first = succeeded("order-17", 1, "first");
    assert_eq!(results.put(&acme(), &first, TTL).await.unwrap(), Put::Stored(1));
    let put = results.put(&acme(), &succeeded("order-17", 2, "second"), TTL).await.unwrap();
    let stored = results.get(&acme(), &work(), &id("order-17")).await.unwrap().unwrap();
    assert_eq!(put, Put::Refused(Box::new(stored.clone())));
    assert_eq!(stored.result, first);
    assert_eq!(results.get(&acme(), &work(), &id("order-18")).await.unwrap(), None);
}

#[tokio::test]
async fn a_removed_result_makes_room_for_another() {
    let world = World::with_queue(1).await;
    let results = Results::new(&world.nats);
    results.put(&acme(), &succeeded("order-17", 1, "first"), TTL).await.unwrap();
    let stored = results.get(&acme(), &work(), &id("order-17")).await.unwrap().unwrap();
    assert!(results.remove(&acme(), stored.sequence).await.unwrap());
    assert!(!results.remove(&acme(), stored.sequence).await.unwrap(), "it was gone already");
    assert_eq!(results.put(&acme(), &succeeded("order-17", 2, "b"), TTL).await.unwrap(), Put::Stored(2));
}

#[tokio::test]
async fn a_result_ends_by_itself() {
    let world = World::with_queue(1).await;
    let results = Results::new(&world.nats);
    results.put(&acme(), &succeeded("a", 1, "x"), Duration::from_secs(1)).await.unwrap();
    crate::world::eventually("it has ended", || async {
        results.get(&acme(), &work(), &id("a")).await.unwrap().is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn whoever_waits_gets_the_result_that_was_there_or_comes() {
    let world = World::with_queue(1).await;
    let results = Results::new(&world.nats);
    let there = succeeded("there", 1, "x");
    results.put(&acme(), &there, TTL).await.unwrap();
    let wait = |name: &'static str, timeout| {
        let results = results.clone();
        async move {
            results.wait(&acme(), &work(), &id(name), timeout).await.unwrap().map(|stored| stored.result)
        }
    };
    assert_eq!(wait("there", PATIENCE).await, Some(there));
    assert_eq!(wait("never", Duration::from_millis(50)).await, None);
    let comes = succeeded("comes", 2, "y");
    let (waited, ()) = tokio::join!(wait("comes", PATIENCE), async {
        assert_eq!(wait("never", Duration::from_millis(50)).await, None, "the other listens by now");
        results.put(&acme(), &comes, TTL).await.unwrap();
    });
    assert_eq!(waited, Some(comes));
}

#[tokio::test]
async fn results_are_listed_by_queue_and_page() {
    let world = World::with_queue(1).await;
    let results = Results::new(&world.nats);
    for number in 0..5 {
        results.put(&acme(), &succeeded(&format!("n-{number}"), number + 1, "x"), TTL).await.unwrap();
    }
    let all = results.list(&acme(), None, 0, 100).await.unwrap();
    assert_eq!(all.len(), 5);
    assert_eq!(results.list(&acme(), Some(&work()), all[1].sequence, 2).await.unwrap(), all[2..4]);
    assert_eq!(results.list(&acme(), Some(&"other".parse().unwrap()), 0, 9).await.unwrap(), []);
    let error = results.list(&"nobody".parse().unwrap(), None, 0, 9).await.unwrap_err();
    assert_eq!(error.fault(), Fault::NotFound);
}

#[tokio::test]
async fn a_result_is_sent_to_where_its_publisher_wants_it() {
    let world = World::with_queue(1).await;
    let client = world.client().await;
    let mut replies = client.subscribe("saggar.acme.reply.>").await.unwrap();
    client.flush().await.unwrap();
    let round_trip = client.request("$JS.API.INFO", "".into()).await;
    assert!(round_trip.is_ok(), "the subscription is known to the server");
    Results::new(&world.nats).forward("saggar.acme.reply.a", &succeeded("a", 1, "out")).await.unwrap();
    let reply = tokio::time::timeout(PATIENCE, replies.next()).await.unwrap().unwrap();
    assert_eq!(reply.payload.as_ref(), b"out");
    assert_eq!(reply.headers.unwrap().get("Saggar-Status").unwrap().as_str(), "succeeded");
}

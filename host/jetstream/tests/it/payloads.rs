use std::time::{Duration, SystemTime};

use async_nats::jetstream;
use bytes::Bytes;
use saggar_jetstream::{
    DeadLetters, Expected, NewTask, NewTimer, PartError, PayloadSweep, Payloads, Results, Stores, Tenants,
    Timers,
};
use saggar_model::{
    DeadLetter, Digest, PayloadName, Receipt, Sequence, StoreError, StoreKind, TaskRef, TaskResult,
    header_name,
};
use tokio::io::AsyncReadExt as _;

use crate::world::{World, acme, record, work};

const STREAM: &str = "OBJ_saggar-acme-payloads";

/// Enough for all that a test has.
const ALL: usize = usize::MAX;

async fn world() -> (World, Payloads) {
    let world = World::with_queue(1).await;
    Tenants::new(&world.nats).put(&record(&[("work", 1)]), Expected::Absent).await.unwrap();
    let payloads = Stores::new(&world.nats, 1).payloads(&acme());
    (world, payloads)
}

/// Puts these parts, without an end.
async fn put_parts(payloads: &Payloads, number: u128, parts: &[&[u8]]) -> PayloadName {
    let (name, mut after) = (PayloadName::input(number), 0);
    for part in parts {
        after = payloads.put_part(name, after, Bytes::copy_from_slice(part)).await.unwrap().after;
    }
    name
}

async fn put(payloads: &Payloads, number: u128) -> PayloadName {
    let name = put_parts(payloads, number, &[b"clay"]).await;
    payloads.finish(name, None).await.unwrap();
    name
}

fn naming(name: PayloadName) -> Vec<(String, String)> {
    vec![(header_name::PAYLOAD.to_lowercase(), name.header())]
}

async fn is_there(payloads: &Payloads, name: PayloadName) -> bool {
    match payloads.open(&name).await {
        Ok(_) => true,
        Err(StoreError::NotFound(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

/// A whole sweep, a little at a time, that spares nothing for its age.
async fn swept(payloads: &Payloads) -> usize {
    let (mut sweep, mut removed) = (None, 0);
    for _ in 0..100 {
        removed += payloads.sweep(&mut sweep, Duration::ZERO, 1).await.unwrap();
        if sweep.is_none() {
            return removed;
        }
    }
    panic!("a sweep has an end");
}

#[tokio::test]
async fn a_payload_put_in_parts_is_an_object_that_any_client_reads() {
    let (world, payloads) = world().await;
    let part = vec![7_u8; payloads.part_max()];
    let name = put_parts(&payloads, 1, &[&part, &part, b"end"]).await;
    assert!(!is_there(&payloads, name).await, "not before it is finished");
    let whole = [&part[..], &part, b"end"].concat();
    let finished = payloads.finish(name, Some(Digest::of(&whole))).await.unwrap();
    assert_eq!((finished.size, finished.digest), (whole.len() as u64, Digest::of(&whole)));
    assert_eq!(payloads.finish(name, None).await, Ok(finished), "asked again");

    let js = jetstream::new(world.client().await);
    let store = js.get_object_store("saggar-acme-payloads").await.unwrap();
    let mut read = Vec::new();
    store.get(name.to_string()).await.unwrap().read_to_end(&mut read).await.unwrap();
    assert!(read == whole);

    let (mut got, mut after) = (Vec::new(), 0);
    loop {
        let part = payloads.get_part(name, after).await.unwrap();
        got.extend_from_slice(&part.content);
        match part.after {
            Some(next) => after = next,
            None => break,
        }
    }
    assert!(got == whole);
    payloads.remove(&name).await.unwrap();
    assert_eq!(world.nats_messages(STREAM).await, 0, "nothing is left of it");
}

#[tokio::test]
async fn parts_come_one_after_another_and_each_once() {
    let (world, payloads) = world().await;
    let name = PayloadName::input(2);
    let put = async |after, content: &'static [u8]| {
        payloads.put_part(name, after, Bytes::from_static(content)).await
    };
    let first = put(0, b"one").await.unwrap().after;
    assert_eq!(put(0, b"one").await.unwrap().after, first, "its answer was lost");
    let second = put(first, b"two").await.unwrap().after;
    assert_eq!(put(first, b"two").await.unwrap().after, second);
    for (after, content) in [(0, &b"one"[..]), (first, b"2"), (second + 1, b"three"), (u64::MAX, b"x")] {
        let refused = put(after, content).await;
        assert!(
            matches!(refused, Err(PartError::Order { .. } | PartError::Store(_))),
            "{after}: {refused:?}"
        );
    }
    assert_eq!(payloads.finish(name, None).await.unwrap().size, 6);
    assert_eq!(world.nats_messages(STREAM).await, 3, "two parts, and what is known about them");
}

#[tokio::test]
async fn what_cannot_be_a_payload_is_refused_and_leaves_nothing() {
    let (world, payloads) = world().await;
    let name = put_parts(&payloads, 3, &[b"clay"]).await;
    let (given, found) = (Digest::of(b"sand"), Digest::of(b"clay"));
    assert_eq!(payloads.finish(name, Some(given)).await, Err(PartError::Digest { given, found }));
    assert_eq!(world.nats_messages(STREAM).await, 0);
    let missing = payloads.finish(name, None).await.unwrap_err();
    assert_eq!(missing.code(), "not-found");
    let output = PayloadName::output(3);
    assert_eq!(payloads.put_part(output, 0, "x".into()).await, Err(PartError::NotYours(output)));
    assert_eq!(payloads.put_part(name, 0, Bytes::new()).await, Err(PartError::Empty));
    let large = vec![0; payloads.part_max() + 1];
    assert_eq!(payloads.put_part(name, 0, large.into()).await.unwrap_err().code(), "too-large");
}

#[tokio::test]
async fn the_quota_bounds_what_a_tenant_puts() {
    let (_world, payloads) = world().await;
    let (name, part) = (PayloadName::input(4), Bytes::from(vec![1; payloads.part_max()]));
    let mut after = 0;
    for _ in 0..128 {
        match payloads.put_part(name, after, part.clone()).await {
            Ok(stored) => after = stored.after,
            Err(error) => {
                assert_eq!(error, PartError::Store(StoreError::Full(StoreKind::Payloads)));
                assert!(error.to_string().contains("`payloads`") && error.code() == "quota-full");
                // Renewing something in a store without room is no reason for a task not to move.
                return;
            }
        }
    }
    panic!("there is a quota");
}

#[tokio::test]
async fn a_sweep_keeps_what_a_task_a_timer_or_a_dead_letter_names() {
    let (world, payloads) = world().await;
    let [queued, delayed, failed, forgotten] = [
        put(&payloads, 11).await,
        put(&payloads, 12).await,
        put(&payloads, 13).await,
        put(&payloads, 14).await,
    ];
    world.publish(NewTask { headers: naming(queued), ..NewTask::default() }).await;
    let timer = NewTimer {
        queue: work(),
        id: "later".parse().unwrap(),
        name: "n1".parse().unwrap(),
        due: SystemTime::now() + Duration::from_hours(1),
        payload: Bytes::new(),
        headers: naming(delayed),
        ticket: None,
        message_id: None,
    };
    Timers::new(&world.nats).put(&acme(), timer).await.unwrap();
    let letter = DeadLetter { payload: Bytes::new(), headers: naming(failed) };
    let dead = DeadLetters::new(&world.nats);
    dead.put(&acme(), &work(), &"dead".parse().unwrap(), 9, &letter).await.unwrap();

    let mut sweep = None;
    assert_eq!(payloads.sweep(&mut sweep, Duration::from_hours(1), ALL).await, Ok(0), "they are young");
    assert_eq!(swept(&payloads).await, 1);
    for (name, kept) in [(queued, true), (delayed, true), (failed, true), (forgotten, false)] {
        assert_eq!(is_there(&payloads, name).await, kept, "{name}");
    }
    let stored = dead.list(&acme(), None, 0, 1).await.unwrap().remove(0);
    dead.remove(&acme(), stored.sequence).await.unwrap();
    assert_eq!((swept(&payloads).await, is_there(&payloads, failed).await), (1, false), "nobody redrives it");
}

#[tokio::test]
async fn a_task_that_moves_while_it_is_looked_for_keeps_its_payload() {
    let (world, payloads) = world().await;
    let name = put(&payloads, 21).await;
    let mut sweep: Option<PayloadSweep> = None;
    assert_eq!(payloads.sweep(&mut sweep, Duration::ZERO, 0).await, Ok(0));
    assert!(sweep.is_some(), "it has begun and read nothing");
    // Where the sweep meets it no more, since it is gone again: the worst that can happen.
    let letter = DeadLetter { payload: Bytes::new(), headers: naming(name) };
    let dead = DeadLetters::new(&world.nats);
    dead.put(&acme(), &work(), &"a".parse().unwrap(), 9, &letter).await.unwrap();
    let stored = dead.list(&acme(), None, 0, 1).await.unwrap().remove(0);
    dead.remove(&acme(), stored.sequence).await.unwrap();
    assert_eq!(payloads.sweep(&mut sweep, Duration::ZERO, ALL).await, Ok(0));
    assert!(sweep.is_none() && is_there(&payloads, name).await);
    assert_eq!(swept(&payloads).await, 1, "nothing moves it any more");
}

#[tokio::test]
async fn an_output_is_kept_for_its_result_and_no_longer() {
    let (world, payloads) = world().await;
    let [named, lost] = [PayloadName::output(31), PayloadName::output(32)];
    let task: TaskRef = "work/a".parse().unwrap();
    let ttl = Duration::from_hours(1);
    for name in [named, lost] {
        payloads.store_output(&name, &task, ttl, "vase".into()).await.unwrap();
    }
    let sequence: Sequence = 1;
    let ending = saggar_model::Ending::Succeeded(saggar_model::Output::default());
    let result = TaskResult::new(task.clone(), sequence, ending, Receipt::default(), None);
    let results = Results::new(&world.nats);
    let result = TaskResult { object: Some(named), ..result };
    results.put(&acme(), &result, ttl).await.unwrap();
    let stored = results.get(&acme(), &task.queue, &task.id).await.unwrap().unwrap();
    assert_eq!(stored.result.object, Some(named), "the record says where it lies");
    assert_eq!(swept(&payloads).await, 1, "the other was written by a host that was lost");
    assert!(is_there(&payloads, named).await && !is_there(&payloads, lost).await);
    results.remove(&acme(), stored.sequence).await.unwrap();
    assert_eq!((swept(&payloads).await, world.nats_messages(STREAM).await), (1, 0));
}

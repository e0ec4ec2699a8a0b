use std::time::{Duration, Instant};

use bytes::Bytes;
use saggar_jetstream::{Fault, NewTask, Provisioner, PublishError, PullMode, StartOptions, TaskState, Tasks};
use saggar_model::{Quota, TenantRecord};

use crate::world::{World, acme, id, named, record, work};

#[tokio::test]
async fn a_task_for_an_unknown_queue_is_refused_at_once() {
    let world = World::with_queue(1).await;
    let tasks = Tasks::new(&world.nats);
    let began = Instant::now();
    let error = tasks.publish(&acme(), &"nope".parse().unwrap(), NewTask::default()).await.unwrap_err();
    assert!(matches!(error, PublishError::UnknownQueue { .. }), "{error:?}");
    assert_eq!(error.fault(), Fault::NotFound);
    let error = tasks.publish(&"nobody".parse().unwrap(), &work(), NewTask::default()).await.unwrap_err();
    assert!(matches!(error, PublishError::UnknownQueue { .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_task_without_an_id_is_named_by_its_place_for_publisher_and_host_alike() {
    let world = World::with_queue(1).await;
    let published = world.publish(NewTask::default()).await;
    let taken = world.pull(1, PullMode::Now, Duration::ZERO).await;
    let created = world.queue().await.stream_created_ms();
    let seen = saggar_model::TaskId::from_sequence(created, taken[0].stream_sequence());
    assert_eq!(published.id, seen);
    assert_eq!((published.sequence, published.duplicate), (1, false));
}

#[tokio::test]
async fn the_same_message_id_is_the_same_task() {
    let world = World::with_queue(1).await;
    let task = NewTask { message_id: Some("order-1".into()), ..NewTask::default() };
    let first = world.publish(task.clone()).await;
    world.publish_many(1).await;
    let second = world.publish(task).await;
    assert!(second.duplicate && !first.duplicate);
    assert_eq!((first.id, first.sequence), (second.id, second.sequence));
}

#[tokio::test]
async fn a_unique_task_is_refused_while_one_of_its_id_is_queued_and_taken_afterwards() {
    let world = World::with_queue(1).await;
    let task = NewTask { unique: true, ..named("order-17", "in") };
    world.publish(task.clone()).await;
    let error = Tasks::new(&world.nats).publish(&acme(), &work(), task.clone()).await.unwrap_err();
    assert!(matches!(&error, PublishError::NotUnique { id, .. } if id.as_str() == "order-17"), "{error:?}");
    for delivery in world.pull(1, PullMode::Now, Duration::ZERO).await {
        delivery.ack().await.unwrap();
    }
    world.nats.flush(Duration::from_secs(5)).await.unwrap();
    crate::world::eventually("the id is free", || async {
        Tasks::new(&world.nats).publish(&acme(), &work(), task.clone()).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_full_quota_says_so() {
    let world = World::new().await;
    let mut small: TenantRecord = record(&[("work", 1)]);
    small.spec.quota = Quota { tasks: 2, ..small.spec.quota };
    Provisioner::new(&world.nats, 1).ensure_tenant(&small).await.unwrap();
    world.publish_many(2).await;
    let error = Tasks::new(&world.nats).publish(&acme(), &work(), NewTask::default()).await.unwrap_err();
    assert!(matches!(error, PublishError::QuotaFull { .. }), "{error:?}");
    assert!(error.to_string().contains("quota.tasks"), "{error}");
}

#[tokio::test]
async fn a_task_that_is_too_large_is_not_even_sent_and_the_largest_is_taken() {
    let options = StartOptions { config: Some("max_payload: 100KB".into()), ..StartOptions::default() };
    let world = World::with(options).await;
    world.provisioner().ensure_tenant(&record(&[("work", 1)])).await.unwrap();
    let max = saggar_jetstream::task_max_bytes(world.nats.max_payload());
    let task = |size: usize| NewTask { payload: Bytes::from(vec![0; size]), ..NewTask::default() };
    let error = Tasks::new(&world.nats).publish(&acme(), &work(), task(max + 1)).await.unwrap_err();
    assert_eq!(error, PublishError::TooLarge { size: max + 1, max });
    world.publish(task(max)).await;
    assert!(world.nats.is_connected());
}

#[tokio::test]
async fn a_task_is_queued_then_running_then_gone() {
    let world = World::with_queue(1).await;
    let tasks = Tasks::new(&world.nats);
    let nameless = world.publish(NewTask::default()).await.id;
    world.publish(named("order-17", "in")).await;
    let state = |id: saggar_model::TaskId| {
        let tasks = tasks.clone();
        async move { tasks.state_of(&acme(), &work(), &id).await.unwrap().map(|(state, _)| state) }
    };
    assert_eq!(state(nameless.clone()).await, Some(TaskState::Queued));
    let taken = world.pull(1, PullMode::Now, Duration::ZERO).await;
    assert_eq!(state(nameless.clone()).await, Some(TaskState::Running));
    assert_eq!(state(id("order-17")).await, Some(TaskState::Queued));
    assert_eq!(state(id("order-18")).await, None);
    assert_eq!(state(saggar_model::TaskId::from_sequence(1, 1)).await, None, "of another stream");
    taken[0].ack().await.unwrap();
    crate::world::eventually("it is gone", || async {
        state(nameless.clone()).await.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn queued_tasks_are_listed_in_order_page_by_page() {
    let world = World::with_queue(1).await;
    let tasks = Tasks::new(&world.nats);
    let mut ids = Vec::new();
    for number in 0..600 {
        let task = if number % 3 == 0 { named(&format!("n-{number}"), "x") } else { NewTask::default() };
        ids.push(world.publish(task).await.id);
    }
    let all = tasks.list(&acme(), &work(), 0, 1000).await.unwrap();
    assert_eq!(all.iter().map(|task| task.id.clone()).collect::<Vec<_>>(), ids);
    let page = tasks.list(&acme(), &work(), all[9].sequence, 5).await.unwrap();
    assert_eq!(page, all[10..15]);
    assert_eq!(tasks.list(&acme(), &work(), 600, 5).await.unwrap(), []);
}

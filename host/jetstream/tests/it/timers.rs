//! Timers: waiting, being found and removed, and the way of what is due into its queue.

use std::time::{Duration, SystemTime};

use futures::StreamExt as _;
use saggar_jetstream::{
    Delivery, Expected, Moved, NewTimer, PullMode, Reader, States, TaskQueue, Tenants, TimerError, Timers,
    Unmoved,
};
use saggar_model::{History, Quota, TenantRecord, Ticket};

use crate::world::{PATIENCE, World, acme, eventually, id, record, work};

/// Tenant `acme` with its record, a queue, and room for so many tasks and as many timers.
async fn world(tasks: u64) -> (World, TenantRecord) {
    let world = World::new().await;
    let mut record = record(&[("work", 4)]);
    record.spec.quota = Quota { tasks, ..record.spec.quota };
    world.provisioner().ensure_tenant(&record).await.unwrap();
    Tenants::new(&world.nats).put(&record, Expected::Absent).await.unwrap();
    (world, record)
}

fn timer(name: &str, due: SystemTime) -> NewTimer {
    NewTimer {
        queue: work(),
        id: id("order-17"),
        name: name.parse().unwrap(),
        due,
        payload: "clay".into(),
        headers: vec![("X-Customer".to_owned(), "7".to_owned())],
        ticket: None,
        message_id: None,
    }
}

fn in_an_hour() -> SystemTime {
    SystemTime::now() + Duration::from_hours(1)
}

/// What is due, as one pull brings it.
async fn due(world: &World, count: usize) -> Vec<Delivery> {
    let pull = TaskQueue::due(&world.nats, &acme()).pull(count, PullMode::Fill, PATIENCE).await.unwrap();
    let deliveries = tokio::time::timeout(PATIENCE, pull.collect::<Vec<_>>()).await.expect("a pull ends");
    deliveries.into_iter().map(|delivery| delivery.expect("a pull ends well")).collect()
}

#[tokio::test]
async fn a_timer_is_found_and_listed_while_it_waits_and_can_be_removed() {
    let (world, _) = world(10).await;
    let timers = Timers::new(&world.nats);
    assert_eq!(timers.find(&acme(), &work(), &id("order-17")).await, Ok(None), "there is no stream yet");
    assert_eq!(timers.tenants().await, Ok(vec![]));
    timers.put(&acme(), timer("one", in_an_hour())).await.unwrap();
    assert_eq!(timers.tenants().await, Ok(vec![acme()]));
    let found = timers.find(&acme(), &work(), &id("order-17")).await.unwrap().expect("it waits");
    assert!(!found.is_due && found.size == 4 && found.due > SystemTime::now());
    assert_eq!(timers.list(&acme(), None, 10).await, Ok(vec![found.clone()]));
    assert_eq!(timers.list(&acme(), Some(&"other".parse().unwrap()), 10).await, Ok(vec![]));
    assert!(timers.holds(&acme(), &work(), &found.id, &found.name).await.unwrap());
    assert!(timers.remove(&acme(), &found).await.unwrap());
    assert!(!timers.remove(&acme(), &found).await.unwrap(), "it is gone");
    assert_eq!(timers.find(&acme(), &work(), &id("order-17")).await, Ok(None));
}

#[tokio::test]
async fn a_timer_that_is_removed_takes_along_what_its_task_has_been_through() {
    let (world, _) = world(10).await;
    let (timers, states) = (Timers::new(&world.nats), States::new(&world.nats));
    states.put(&acme(), &work(), 5, &History { attempts: 1, ..History::default() }, 0).await.unwrap();
    let ticket = Ticket { origin: 5, secret: "6f1c".parse().unwrap(), count: 1 };
    let new = NewTimer { ticket: Some(ticket.clone()), ..timer("6f1c-1", in_an_hour()) };
    timers.put(&acme(), new).await.unwrap();
    let found = timers.find(&acme(), &work(), &id("order-17")).await.unwrap().unwrap();
    assert_eq!(found.ticket, Some(ticket));
    assert!(timers.remove(&acme(), &found).await.unwrap());
    assert_eq!(states.get(&acme(), &work(), 5).await, Ok(None));
}

#[tokio::test]
async fn setting_a_timer_again_sets_it_once() {
    let (world, _) = world(10).await;
    let timers = Timers::new(&world.nats);
    let due = in_an_hour();
    for _ in 0..3 {
        timers.put(&acme(), timer("one", due)).await.unwrap();
    }
    assert_eq!(timers.list(&acme(), None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_due_comes_into_its_queue_once_under_its_id_and_with_its_publishers_headers() {
    let (world, _) = world(10).await;
    let timers = Timers::new(&world.nats);
    timers.put(&acme(), timer("one", SystemTime::now() - Duration::from_hours(1))).await.unwrap();
    let due = due(&world, 1).await;
    assert_eq!(timers.move_on(&acme(), &due[0]).await, Ok(Moved::Published));
    assert_eq!(timers.move_on(&acme(), &due[0]).await, Ok(Moved::Already), "as after a lost acknowledgement");
    due[0].ack().await.unwrap();
    let tasks = world.pull(10, PullMode::Now, PATIENCE).await;
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0].subject(), "saggar.acme.task.work.order-17");
    assert_eq!(tasks[0].payload(), "clay");
    let mut headers: Vec<_> = tasks[0].headers().collect();
    headers.sort_unstable();
    assert_eq!(headers, [("Nats-Msg-Id", "one"), ("Saggar-Timer", "one"), ("X-Customer", "7")]);
}

#[tokio::test]
async fn a_timer_that_a_killed_server_made_due_twice_is_one_task() {
    let (world, _) = world(10).await;
    let timers = Timers::new(&world.nats);
    timers.put(&acme(), timer("one", in_an_hour())).await.unwrap();
    let context = async_nats::jetstream::new(world.client().await);
    for _ in 0..2 {
        context.publish("saggar.acme.due.work.order-17.one", "clay".into()).await.unwrap().await.unwrap();
    }
    let due = due(&world, 2).await;
    assert_eq!(timers.move_on(&acme(), &due[0]).await, Ok(Moved::Published));
    assert_eq!(timers.move_on(&acme(), &due[1]).await, Ok(Moved::Already));
    assert_eq!(world.pull(10, PullMode::Now, PATIENCE).await.len(), 1);
}

#[tokio::test]
async fn a_name_that_a_publisher_used_up_hides_no_timer() {
    let (world, _) = world(10).await;
    let timers = Timers::new(&world.nats);
    let taken = saggar_jetstream::NewTask { message_id: Some("one".to_owned()), ..Default::default() };
    world.publish(taken).await;
    timers.put(&acme(), timer("one", SystemTime::now())).await.unwrap();
    assert_eq!(timers.move_on(&acme(), &due(&world, 1).await[0]).await, Ok(Moved::Published));
    assert_eq!(world.pull(10, PullMode::Now, PATIENCE).await.len(), 2);
}

#[tokio::test]
async fn a_timer_waits_while_its_queue_is_full_or_gone() {
    let (world, mut record) = world(1).await;
    let timers = Timers::new(&world.nats);
    world.publish_many(1).await;
    timers.put(&acme(), timer("one", SystemTime::now())).await.unwrap();
    let due = due(&world, 1).await;
    assert_eq!(timers.move_on(&acme(), &due[0]).await, Err(Unmoved::Full));
    record.spec.queues.clear();
    world.provisioner().ensure_tenant(&record).await.unwrap();
    assert!(matches!(timers.move_on(&acme(), &due[0]).await, Err(Unmoved::NoQueue { .. })));
}

#[tokio::test]
async fn a_quota_bounds_timers_and_none_is_given_up_for_another() {
    let (world, _) = world(3).await;
    let timers = Timers::new(&world.nats);
    for name in ["one", "two", "three"] {
        timers.put(&acme(), timer(name, in_an_hour())).await.unwrap();
    }
    let full = |result| assert_eq!(result, Err(TimerError::Full { tenant: acme() }));
    full(timers.put(&acme(), timer("four", in_an_hour())).await);
    full(Timers::new(&world.nats).put(&acme(), timer("four", in_an_hour())).await);
    assert_eq!(timers.list(&acme(), None, 10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_timer_whose_task_would_not_fit_into_its_queue_is_refused() {
    let (world, _) = world(3).await;
    let large = NewTimer { payload: vec![0; (1 << 20) - (32 << 10)].into(), ..timer("one", in_an_hour()) };
    let refused = Timers::new(&world.nats).put(&acme(), large).await;
    assert!(matches!(refused, Err(TimerError::TooLarge { .. })), "{refused:?}");
}

#[tokio::test]
async fn the_streams_of_timers_are_set_right_and_looked_after_like_others() {
    let (world, record) = world(3).await;
    let timers = Timers::new(&world.nats);
    timers.put(&acme(), timer("one", in_an_hour())).await.unwrap();
    assert_eq!(world.provisioner().verify_tenant(&record).await, Ok(()), "as the server keeps it");
    let context = async_nats::jetstream::new(world.client().await);
    let mut config = context.get_stream("SAGGAR_TIMERS_acme").await.unwrap().cached_info().config.clone();
    config.subjects.push("acme.anything".to_owned());
    context.update_stream(&config).await.unwrap();
    let refused = world.provisioner().verify_tenant(&record).await.unwrap_err().to_string();
    assert!(refused.contains("SAGGAR_TIMERS_acme: subjects"), "{refused}");
    world.provisioner().ensure_tenant(&record).await.unwrap();
    assert_eq!(world.provisioner().verify_tenant(&record).await, Ok(()));
}

/// Has the pump's consumer see nothing but this.
async fn pump_sees(world: &World, filter: &str) {
    let context = async_nats::jetstream::new(world.client().await);
    let stream = context.get_stream("SAGGAR_TIMERS_acme").await.unwrap();
    let mut config = stream.consumer_info("pump").await.unwrap().config;
    config.filter_subject = String::new();
    config.filter_subjects = vec![filter.to_owned()];
    stream.create_consumer(config).await.unwrap();
}

#[tokio::test]
async fn what_is_due_and_was_passed_is_seen_and_delivered_by_a_consumer_that_is_made_anew() {
    let (world, record) = world(10).await;
    let timers = Timers::new(&world.nats);
    assert_eq!(world.nats.overlooked(&acme(), &Reader::Pump).await, Ok(None), "there are no timers");
    timers.put(&acme(), timer("late", in_an_hour())).await.unwrap();
    // As a server that was killed leaves it: one before those that are acknowledged is still there.
    pump_sees(&world, "saggar.acme.due.work.*.second").await;
    timers.put(&acme(), timer("first", SystemTime::now())).await.unwrap();
    eventually("the first is due", || async {
        let found = timers.list(&acme(), None, 10).await.ok()?;
        found.iter().any(|timer| timer.is_due).then_some(())
    })
    .await;
    timers.put(&acme(), timer("second", SystemTime::now())).await.unwrap();
    due(&world, 1).await[0].ack().await.unwrap();
    world.nats.flush(PATIENCE).await.unwrap();
    pump_sees(&world, "saggar.acme.due.>").await;
    eventually("it is seen", || async {
        world.nats.overlooked(&acme(), &Reader::Pump).await.ok()?.filter(|found| found.running == 0)
    })
    .await;
    world.provisioner().rebind(&record, &Reader::Pump).await.unwrap();
    let taken = due(&world, 1).await;
    assert_eq!(taken[0].subject(), "saggar.acme.due.work.order-17.first");
}

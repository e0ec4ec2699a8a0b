use async_nats::jetstream;
use saggar_jetstream::{
    Dangerous, Fault, LocalServer, Nats, ProvisionError, Provisioner, StartOptions, Target,
};

use crate::world::{World, acme, record};

#[tokio::test]
async fn making_a_tenant_again_changes_nothing() {
    let world = World::new().await;
    let record = record(&[("a", 3), ("b", 4)]);
    let (one, other) = (world.provisioner(), Provisioner::new(&world.nats, 1));
    let both = tokio::join!(one.ensure_tenant(&record), other.ensure_tenant(&record));
    assert_eq!(both, (Ok(()), Ok(())), "two at once do not break each other");
    world.provisioner().ensure_tenant(&record).await.unwrap();
    world.provisioner().ensure_common().await.unwrap();
    assert_eq!(world.provisioner().verify_tenant(&record).await, Ok(()));
}

#[tokio::test]
async fn a_dangerous_setting_is_refused_by_name_and_put_right_by_applying() {
    let world = World::new().await;
    let record = record(&[("a", 3)]);
    world.provisioner().ensure_tenant(&record).await.unwrap();
    let js = jetstream::new(world.client().await);
    for (stream, setting) in [
        ("SAGGAR_TASKS_acme", "allow_rollup_hdrs"),
        ("SAGGAR_RESULTS_acme", "max_age"),
        ("SAGGAR_DEAD_acme", "discard"),
        ("SAGGAR_TASKS_acme", "subjects"),
        ("SAGGAR_TASKS_acme", "max_msg_size"),
    ] {
        let mut config = js.get_stream(stream).await.unwrap().cached_info().config.clone();
        match setting {
            "allow_rollup_hdrs" => config.allow_rollup = true,
            "max_age" => config.max_age = std::time::Duration::from_hours(1),
            "discard" => {
                config.discard = jetstream::stream::DiscardPolicy::Old;
                config.discard_new_per_subject = false;
            }
            "subjects" => config.subjects.push("saggar.acme.task.>".to_owned()),
            _ => config.max_message_size = -1,
        }
        if setting == "subjects" {
            config.subjects.retain(|subject| subject.ends_with('>'));
        }
        js.update_stream(&config).await.unwrap();
        let Err(refused @ Dangerous::Settings { .. }) = world.provisioner().verify_tenant(&record).await
        else {
            panic!("{setting} must be refused")
        };
        assert_eq!(refused.fault(), Fault::Invalid);
        let text = refused.to_string();
        assert!(text.contains(stream) && text.contains(setting), "{text}");
        world.provisioner().ensure_tenant(&record).await.unwrap();
        assert_eq!(world.provisioner().verify_tenant(&record).await, Ok(()), "{setting}");
    }
}

#[tokio::test]
async fn a_missing_stream_is_not_taken_for_a_good_one() {
    let world = World::new().await;
    let error = world.provisioner().verify_tenant(&record(&[])).await.unwrap_err();
    assert_eq!(error.fault(), Fault::NotFound);
    assert!(error.to_string().contains("SAGGAR_TASKS_acme"), "{error}");
}

#[tokio::test]
async fn a_queue_changes_its_concurrency_without_losing_its_place() {
    let world = World::with_queue(2).await;
    world.publish_many(3).await;
    let taken = world.pull(2, saggar_jetstream::PullMode::Now, std::time::Duration::ZERO).await;
    assert_eq!(taken.len(), 2);
    world.provisioner().ensure_tenant(&record(&[("work", 3)])).await.unwrap();
    let depth = world.queue().await.depth().await.unwrap();
    assert_eq!((depth.running, depth.pending), (2, 1), "what runs still runs");
    assert_eq!(world.pull(2, saggar_jetstream::PullMode::Now, std::time::Duration::ZERO).await.len(), 1);
}

#[tokio::test]
async fn tasks_of_a_removed_queue_wait_for_it_to_come_back() {
    let world = World::with_queue(5).await;
    world.publish_many(2).await;
    world.provisioner().ensure_tenant(&record(&[])).await.unwrap();
    let js = jetstream::new(world.client().await);
    let mut stream = js.get_stream("SAGGAR_TASKS_acme").await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.consumer_count, 0);
    world.provisioner().ensure_tenant(&record(&[("work", 5)])).await.unwrap();
    assert_eq!(world.queue().await.depth().await.unwrap().pending, 2);
}

#[tokio::test]
async fn a_quota_that_does_not_fit_the_server_is_named() {
    let config = Some("jetstream { max_file_store: 100MB }".to_owned());
    let server = LocalServer::start(StartOptions { config, ..StartOptions::default() }).await.unwrap();
    let nats = Nats::connect(&Target::at(&server.url()), "test").await.unwrap();
    let error = Provisioner::new(&nats, 1).ensure_tenant(&record(&[])).await.unwrap_err();
    assert!(matches!(&error, ProvisionError::NoStorage { stream, .. } if stream.contains(acme().as_str())));
    assert!(error.to_string().contains("max_file_store"), "{error}");
}

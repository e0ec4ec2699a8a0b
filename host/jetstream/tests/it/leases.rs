use std::time::Duration;

use saggar_jetstream::{Hosts, Lease};

use crate::world::{PATIENCE, World};

#[tokio::test]
async fn one_leads_and_when_it_resigns_another_does() {
    let world = World::new().await;
    let mut first = Lease::campaign(&world.nats, "host-1");
    tokio::time::timeout(PATIENCE, first.elected()).await.unwrap();
    let mut second = Lease::campaign(&world.nats, "host-2");
    assert!(tokio::time::timeout(Duration::from_millis(300), second.elected()).await.is_err());
    assert!(first.is_leader() && !second.is_leader());
    assert_eq!(Hosts::new(&world.nats).list().await.unwrap(), [], "a lease is no host");
    first.resign().await;
    tokio::time::timeout(PATIENCE, second.elected()).await.unwrap();
    assert!(second.is_leader());
}

#[tokio::test]
async fn a_leader_that_dies_is_followed_by_another() {
    let world = World::new().await;
    let mut first = Lease::campaign(&world.nats, "host-1");
    tokio::time::timeout(PATIENCE, first.elected()).await.unwrap();
    drop(first);
    let mut second = Lease::campaign(&world.nats, "host-2");
    tokio::time::timeout(PATIENCE, second.elected()).await.unwrap();
}

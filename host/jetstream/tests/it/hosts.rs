use std::time::{Duration, Instant};

use saggar_jetstream::{Fault, HostInfo, Hosts, JoinError, SILENCE, Standing};

use crate::world::{PATIENCE, World, eventually};

fn host(name: &str) -> HostInfo {
    HostInfo { name: name.into(), version: "0.1.0".into(), slots: 4, ..HostInfo::default() }
}

#[tokio::test]
async fn the_name_of_a_live_host_is_refused_and_free_again_once_it_has_left() {
    let world = World::new().await;
    let hosts = Hosts::new(&world.nats);
    let first = hosts.join(host("host-1")).await.unwrap();
    let other = hosts.join(host("host-2")).await.unwrap();
    let error = hosts.join(host("host-1")).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Conflict);
    assert!(matches!(&error, JoinError::NameTaken { other, .. } if other.instance == first.info().instance));
    first.set_draining(true);
    eventually("everybody knows that it drains", || async {
        hosts.list().await.unwrap()[0].draining.then_some(())
    })
    .await;
    first.leave().await;
    assert_eq!(hosts.list().await.unwrap(), [other.info()]);
    let began = Instant::now();
    hosts.join(host("host-1")).await.unwrap();
    assert!(began.elapsed() < SILENCE);
}

#[tokio::test]
async fn a_killed_hosts_name_is_taken_over() {
    let world = World::new().await;
    let hosts = Hosts::new(&world.nats);
    // Dropping it ends the heartbeats and leaves the record, as a kill does.
    drop(hosts.join(host("host-1")).await.unwrap());
    let began = Instant::now();
    let again = hosts.join(host("host-1")).await.unwrap();
    let took = began.elapsed();
    assert!(took < SILENCE + Duration::from_secs(2), "{took:?}");
    assert_eq!(hosts.list().await.unwrap(), [again.info()]);
}

#[tokio::test]
async fn a_host_is_a_member_again_after_nats_was_away() {
    let mut world = World::new().await;
    let hosts = Hosts::new(&world.nats);
    let member = hosts.join(host("host-1")).await.unwrap();
    // As if NATS had been away for longer than a record lives.
    let js = async_nats::jetstream::new(world.client().await);
    js.get_stream("KV_saggar_hosts").await.unwrap().purge().await.unwrap();
    world.server.kill().await;
    world.server.restart().await.unwrap();
    eventually("it is back", || async { (hosts.list().await.ok()? == [member.info()]).then_some(()) }).await;
    assert_eq!(*member.standing().borrow(), Standing::Member);
}

#[tokio::test]
async fn a_host_whose_record_another_has_knows_it() {
    let world = World::new().await;
    let member = Hosts::new(&world.nats).join(host("host-1")).await.unwrap();
    let client = world.client().await;
    client.request("$KV.saggar_hosts.host-1", r#"{"instance":"another"}"#.into()).await.unwrap();
    let mut standing = member.standing();
    let taken = standing.wait_for(|standing| *standing == Standing::TakenOver);
    tokio::time::timeout(PATIENCE, taken).await.unwrap().unwrap();
}

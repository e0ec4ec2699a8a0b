use std::process::Stdio;

use saggar_jetstream::{ConnectError, Fault, LocalServer, Nats, StartOptions, Target, TaskQueue};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::world::{PATIENCE, World, acme, eventually, work};

fn runs(pid: u32) -> bool {
    // A process that has ended and was not collected yet is a zombie, and runs no more.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

#[tokio::test]
async fn a_server_keeps_its_port_and_its_streams_over_a_restart() {
    let mut world = World::with_queue(1).await;
    let (url, first) = (world.server.url(), world.server.pid().unwrap());
    world.publish_many(1).await;
    world.server.stop().await;
    assert!(!runs(first) && world.server.pid().is_none());
    world.server.restart().await.unwrap();
    assert_eq!(world.server.url(), url);
    eventually("the queue is back", || async {
        (TaskQueue::open(&world.nats, &acme(), &work()).await.ok()?.depth().await.ok()?.pending == 1)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_dropped_server_is_gone() {
    let server = LocalServer::start(StartOptions::default()).await.unwrap();
    let pid = server.pid().unwrap();
    assert!(runs(pid));
    drop(server);
    eventually("it has ended", || async { (!runs(pid)).then_some(()) }).await;
}

/// Not a test of its own: the owner that is killed below.
#[tokio::test]
async fn owner_for_the_test_below() {
    if std::env::var_os("SAGGAR_TEST_OWNER").is_none() {
        return;
    }
    let server = LocalServer::start(StartOptions::default()).await.unwrap();
    println!("\npid={}", server.pid().unwrap());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_server_does_not_outlive_an_owner_that_is_killed() {
    let mut owner = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "server::owner_for_the_test_below", "--nocapture"])
        .env("SAGGAR_TEST_OWNER", "1")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let reading = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("it says its pid");
            if let Some(pid) = line.strip_prefix("pid=") {
                return pid.parse::<u32>().unwrap();
            }
        }
    };
    let pid = tokio::time::timeout(PATIENCE, reading).await.unwrap();
    assert!(runs(pid));
    owner.kill().await.unwrap();
    eventually("the server has ended, too", || async { (!runs(pid)).then_some(()) }).await;
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let options = StartOptions { config: Some("no_such_option: 1".into()), ..StartOptions::default() };
    let error = LocalServer::start(options).await.unwrap_err().to_string();
    assert!(error.contains("did not start"), "{error}");
}

#[tokio::test]
async fn wrong_credentials_are_denied_and_right_ones_are_not() {
    let config = "authorization { user: u, password: p }".to_owned();
    let server =
        LocalServer::start(StartOptions { config: Some(config), ..StartOptions::default() }).await.unwrap();
    let target = |user: &str| Target {
        identity: saggar_jetstream::Identity::User(user.into(), "p".into()),
        ..Target::at(&server.url())
    };
    let error = Nats::connect(&target("x"), "test").await.unwrap_err();
    assert!(matches!(error, ConnectError::Denied { .. }), "{error:?}");
    assert_eq!(error.fault(), Fault::Denied);
    let nats = Nats::connect(&target("u"), "test").await.unwrap();
    assert_eq!((nats.warning(), nats.is_connected()), (None, true));
}

#[tokio::test]
async fn an_account_without_jetstream_is_told_what_to_do() {
    let config = "accounts { A { users: [{ user: u, password: p }] } }".to_owned();
    let server =
        LocalServer::start(StartOptions { config: Some(config), ..StartOptions::default() }).await.unwrap();
    let identity = saggar_jetstream::Identity::User("u".into(), "p".into());
    let error = Nats::connect(&Target { identity, ..Target::at(&server.url()) }, "test").await.unwrap_err();
    assert!(matches!(error, ConnectError::NotThisAccount { .. }), "{error:?}");
    assert!(error.to_string().contains("-js"), "{error}");
}

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use saggar_jetstream::{NewTask, PullError, PullMode};

use crate::world::{PATIENCE, World, acme, eventually, record, work};

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_pull_from_an_empty_queue_ends_when_its_time_is_over() {
    let world = World::with_queue(5).await;
    for (mode, least) in [(PullMode::Now, Duration::ZERO), (PullMode::Wait, SHORT), (PullMode::Fill, SHORT)] {
        let began = Instant::now();
        assert!(world.pull(10, mode, SHORT).await.is_empty());
        let took = began.elapsed();
        assert!(took >= least && took < SHORT + Duration::from_secs(1), "{mode:?}: {took:?}");
    }
}

#[tokio::test]
async fn a_pull_brings_what_is_there_and_does_not_wait_for_more() {
    let world = World::with_queue(5).await;
    world.publish_many(2).await;
    let began = Instant::now();
    let taken = world.pull(10, PullMode::Wait, LONG).await;
    assert_eq!(taken.iter().map(|task| task.payload().as_ref()).collect::<Vec<_>>(), [b"0", b"1"]);
    assert!(began.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_pull_that_waits_brings_the_first_task_that_comes() {
    let world = World::with_queue(5).await;
    let (taken, ()) = tokio::join!(world.pull(10, PullMode::Wait, LONG), async {
        let queue = world.queue().await;
        eventually("the pull stands", || async { (queue.depth().await.ok()?.pulls == 1).then_some(()) })
            .await;
        world.publish_many(1).await;
    });
    assert_eq!(taken.len(), 1);
}

#[tokio::test]
async fn a_pull_that_fills_goes_on_until_it_is_full() {
    let world = World::with_queue(5).await;
    world.publish_many(1).await;
    let mut pull = world.queue().await.pull(2, PullMode::Fill, LONG).await.unwrap();
    assert!(pull.next().await.unwrap().is_ok());
    world.publish_many(1).await;
    assert!(tokio::time::timeout(PATIENCE, pull.next()).await.unwrap().unwrap().is_ok());
    assert!(pull.next().await.is_none());
}

#[tokio::test]
async fn a_pull_beyond_the_concurrency_ends_in_time() {
    let world = World::with_queue(2).await;
    world.publish_many(5).await;
    let held = world.pull(10, PullMode::Wait, SHORT).await;
    assert_eq!(held.len(), 2);
    for mode in [PullMode::Now, PullMode::Wait, PullMode::Fill] {
        let began = Instant::now();
        assert!(world.pull(10, mode, SHORT).await.is_empty());
        assert!(began.elapsed() < Duration::from_secs(1), "{mode:?}");
    }
}

#[tokio::test]
async fn a_delivery_knows_where_it_stands() {
    let world = World::with_queue(5).await;
    let headers = vec![("X-A".to_owned(), "1".to_owned()), ("X-A".to_owned(), "2".to_owned())];
    world.publish(NewTask { headers, ..NewTask::default() }).await;
    world.publish_many(1).await;
    let taken = world.pull(1, PullMode::Now, SHORT).await;
    let first = &taken[0];
    assert_eq!(first.subject(), "saggar.acme.task.work.~");
    assert_eq!((first.stream_sequence(), first.consumer_sequence()), (1, 1));
    assert_eq!((first.delivered(), first.pending()), (1, 1));
    assert_eq!(first.headers().collect::<Vec<_>>(), [("X-A", "1"), ("X-A", "2")]);
    let age = first.published().elapsed().unwrap_or_default();
    assert!(age < PATIENCE, "{age:?}");
}

#[tokio::test]
async fn a_task_given_back_comes_again_and_an_acknowledged_one_does_not() {
    let world = World::with_queue(5).await;
    world.publish_many(2).await;
    let taken = world.pull(2, PullMode::Now, SHORT).await;
    taken[0].ack().await.unwrap();
    taken[1].nak(Duration::from_millis(50)).await.unwrap();
    let again = world.pull(2, PullMode::Wait, LONG).await;
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].stream_sequence(), again[0].delivered()), (2, 2));
}

#[tokio::test]
async fn a_sign_of_life_is_confirmed_until_the_queue_is_gone() {
    let world = World::with_queue(5).await;
    world.publish_many(1).await;
    let taken = world.pull(1, PullMode::Now, SHORT).await;
    taken[0].in_progress().await.unwrap();
    world.provisioner().ensure_tenant(&record(&[])).await.unwrap();
    assert!(taken[0].in_progress().await.is_err());
}

#[tokio::test]
async fn pulling_from_a_removed_queue_says_that_it_is_gone() {
    let world = World::with_queue(5).await;
    let queue = world.queue().await;
    let standing = queue.pull(1, PullMode::Fill, LONG).await.unwrap();
    eventually("the pull stands", || async { (queue.depth().await.ok()?.pulls == 1).then_some(()) }).await;
    world.provisioner().ensure_tenant(&record(&[])).await.unwrap();
    let gone = PullError::Gone { tenant: acme(), queue: work() };
    let seen: Vec<_> = tokio::time::timeout(PATIENCE, standing.collect()).await.unwrap();
    assert_eq!(seen.into_iter().map(Result::unwrap_err).collect::<Vec<_>>(), std::slice::from_ref(&gone));
    let seen: Vec<_> = queue.pull(1, PullMode::Fill, LONG).await.unwrap().collect().await;
    assert_eq!(seen.into_iter().map(Result::unwrap_err).collect::<Vec<_>>(), [gone]);
}

#[tokio::test]
async fn a_pull_is_not_deaf_for_ever_when_the_server_vanishes() {
    let mut world = World::with_queue(5).await;
    let pull = world.queue().await.pull(1, PullMode::Fill, SHORT).await.unwrap();
    world.server.kill().await;
    let seen: Vec<_> = tokio::time::timeout(PATIENCE, pull.collect()).await.unwrap();
    assert!(matches!(seen[..], [Err(PullError::Deaf { .. })]), "{seen:?}");
}

#[tokio::test]
async fn a_pull_works_again_after_a_restart_and_nothing_is_lost() {
    let mut world = World::with_queue(5).await;
    world.publish_many(3).await;
    let queue = world.queue().await;
    world.server.kill().await;
    world.server.restart().await.unwrap();
    let taken = eventually("the tasks come", || async {
        let pull = queue.pull(5, PullMode::Wait, SHORT).await.ok()?;
        let taken: Vec<_> = pull.filter_map(|task| async { task.ok() }).collect().await;
        (taken.len() == 3).then_some(taken)
    })
    .await;
    assert_eq!(taken[2].payload().as_ref(), b"2");
}

#[tokio::test]
async fn a_publishers_status_line_is_not_mistaken_for_the_servers() {
    use tokio::io::AsyncWriteExt as _;
    let world = World::with_queue(5).await;
    let mut raw = tokio::net::TcpStream::connect(("127.0.0.1", world.server.port())).await.unwrap();
    let header = "NATS/1.0 404 No Messages\r\n\r\n";
    let publish = format!(
        "CONNECT {{\"headers\":true,\"verbose\":false}}\r\nHPUB saggar.acme.task.work {} {}\r\n{header}hi\r\n",
        header.len(),
        header.len() + 2
    );
    raw.write_all(publish.as_bytes()).await.unwrap();
    let taken = world.pull(1, PullMode::Wait, LONG).await;
    assert_eq!(taken[0].payload().as_ref(), b"hi");
}

#[tokio::test]
async fn cancelling_a_pull_gives_what_had_come() {
    let world = World::with_queue(5).await;
    world.publish_many(2).await;
    let queue = world.queue().await;
    let pull = queue.pull(5, PullMode::Fill, LONG).await.unwrap();
    eventually("they are delivered", || async { (queue.depth().await.ok()?.running == 2).then_some(()) })
        .await;
    assert_eq!(pull.cancel().await.len(), 2);
}

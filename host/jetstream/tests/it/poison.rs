//! Messages that the server takes from a publisher and that must not cost a host its connection.

use std::time::Duration;

use saggar_jetstream::PullMode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::World;

/// Publishes on the wire what no client library would.
async fn publish_raw(world: &World, subject: &[u8], header: Option<&[u8]>) {
    let mut raw = tokio::net::TcpStream::connect(("127.0.0.1", world.server.port())).await.unwrap();
    raw.write_all(b"CONNECT {\"headers\":true,\"verbose\":false,\"pedantic\":false}\r\n").await.unwrap();
    let mut message = match header {
        Some(header) => [b"HPUB ", subject, format!(" {} {}\r\n", header.len(), header.len() + 2).as_bytes(), header].concat(),
        None => [b"PUB ", subject, b" 2\r\n"].concat(),
    };
    message.extend_from_slice(b"hi\r\nPING\r\n");
    raw.write_all(&message).await.unwrap();
    let mut seen = Vec::new();
    while !seen.windows(4).any(|window| window == b"PONG") {
        assert_ne!(raw.read_buf(&mut seen).await.unwrap(), 0, "the server takes it");
    }
}

async fn is_survived(subject: &[u8], header: Option<&[u8]>) {
    let world = World::with_queue(5).await;
    publish_raw(&world, subject, header).await;
    world.publish_many(1).await;
    let mut connects = world.nats.connects();
    connects.borrow_and_update();
    let taken = world.pull(2, PullMode::Wait, Duration::from_secs(5)).await;
    assert_eq!(taken.len(), 2);
    assert!(!connects.has_changed().unwrap(), "the connection was not lost");
    assert_eq!(taken[0].payload().as_ref(), b"hi");
}

#[tokio::test]
async fn a_carriage_return_in_a_header() {
    is_survived(b"saggar.acme.task.work", Some(b"NATS/1.0\r\nX: a\rb\r\n\r\n")).await;
}

#[tokio::test]
async fn a_header_that_is_no_utf_8() {
    is_survived(b"saggar.acme.task.work", Some(b"NATS/1.0\r\nX: \xff\r\n\r\n")).await;
}

#[tokio::test]
async fn a_header_line_without_a_colon() {
    is_survived(b"saggar.acme.task.work", Some(b"NATS/1.0\r\nnonsense\r\n\r\n")).await;
}

#[tokio::test]
async fn a_header_name_with_a_space() {
    is_survived(b"saggar.acme.task.work", Some(b"NATS/1.0\r\nX Y: a\r\n\r\n")).await;
}

#[tokio::test]
async fn a_header_block_of_nonsense() {
    is_survived(b"saggar.acme.task.work", Some(b"nonsense\r\n\r\n")).await;
}

#[tokio::test]
async fn a_status_that_is_no_number() {
    is_survived(b"saggar.acme.task.work", Some(b"NATS/1.0 abc\r\n\r\n")).await;
}

#[tokio::test]
async fn a_subject_that_is_no_utf_8() {
    is_survived(b"saggar.acme.task.work.\xff", None).await;
}

#[tokio::test]
async fn a_subject_with_a_space_of_another_alphabet() {
    is_survived("saggar.acme.task.work.a\u{a0}b".as_bytes(), Some(b"NATS/1.0\r\nX: a\r\n\r\n")).await;
}

//! The client library behind the relay: what it hears, from servers that are not kind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Message, Subscriber};
use futures::StreamExt as _;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use saggar_jetstream::{ConnectError, LocalServer, Nats, RequestError, StartOptions, Target};
use saggar_relay::{MALFORMED, Relay, Settings, TlsFiles};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::world::{PATIENCE, World, eventually};

/// A server that says to its one subscriber what the test wants said.
struct Puppet {
    relay: Relay,
    client: Client,
    heard: Subscriber,
    words: mpsc::UnboundedSender<Vec<u8>>,
    connections: Arc<AtomicUsize>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Puppet {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap().to_string();
        let (words, say) = mpsc::unbounded_channel();
        let connections = Arc::<AtomicUsize>::default();
        let lines = Arc::<Mutex<Vec<String>>>::default();
        tokio::spawn(play(listener, say, connections.clone(), lines.clone()));
        let relay = Relay::start(settings(&[&server])).await.unwrap();
        let options = ConnectOptions::new().name(relay.secret()).custom_inbox_prefix("_INBOX_t");
        let client = options.connect(relay.address().to_string()).await.unwrap();
        let heard = client.subscribe("a.>").await.unwrap();
        client.flush().await.unwrap();
        Self { relay, client, heard, words, connections, lines }
    }

    async fn next(&mut self) -> Message {
        let next = tokio::time::timeout(PATIENCE, self.heard.next());
        next.await.expect("it is heard in time").expect("the client lives")
    }
}

fn settings(servers: &[&str]) -> Settings {
    Settings {
        servers: servers.iter().map(|server| (*server).to_owned()).collect(),
        tls: TlsFiles::default(),
        name: "a test".to_owned(),
        inboxes: "_INBOX_t".to_owned(),
        patience: Duration::from_secs(5),
    }
}

async fn play(
    listener: TcpListener,
    mut say: mpsc::UnboundedReceiver<Vec<u8>>,
    connections: Arc<AtomicUsize>,
    said: Arc<Mutex<Vec<String>>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::Relaxed);
        let (from, mut to) = stream.into_split();
        to.write_all(b"INFO {\"version\":\"2.15.1\",\"headers\":true,\"max_payload\":1048576}\r\n")
            .await
            .unwrap();
        let mut lines = BufReader::new(from).lines();
        let mut is_heard = false;
        loop {
            tokio::select! {
                line = lines.next_line() => match line {
                    Ok(Some(line)) if line == "PING" => to.write_all(b"PONG\r\n").await.unwrap(),
                    Ok(Some(line)) if line.starts_with("SUB a.>") => is_heard = true,
                    Ok(Some(line)) => said.lock().unwrap().push(line),
                    Ok(None) | Err(_) => break,
                },
                Some(words) = say.recv(), if is_heard => to.write_all(&words).await.unwrap(),
            }
        }
    }
}

/// A message for the first subscription.
fn message(subject: &[u8], headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let line = format!(" 1 {} {}\r\n", headers.len(), headers.len() + payload.len());
    [b"HMSG ", subject, line.as_bytes(), headers, payload, b"\r\n"].concat()
}

/// Parts of headers, of which odd blocks are made more often than of any bytes.
fn block() -> impl Strategy<Value = Vec<u8>> {
    let odd = vec![
        "NATS/1.0",
        "\r\n",
        "\r",
        "\n",
        "\t",
        ": ",
        "X-Name",
        " 503 Gone",
        "\u{a0}",
        "\u{2028}ä",
        "\u{85}",
    ];
    let part = prop_oneof![
        4 => proptest::sample::select(odd).prop_map(|part| part.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    (any::<bool>(), proptest::collection::vec(part, 0..20)).prop_map(|(versioned, parts)| {
        let version: &[u8] = if versioned { b"NATS/1.0\r\n" } else { b"" };
        [version, &parts.concat()].concat()
    })
}

fn token() -> impl Strategy<Value = Vec<u8>> {
    let visible =
        any::<u8>().prop_filter("the server takes them apart there", |byte| !b" \t\r\n".contains(byte));
    prop_oneof![Just("\u{a0}\u{b}".as_bytes().to_vec()), proptest::collection::vec(visible, 1..8)]
}

#[test]
fn whatever_stands_in_headers_and_subjects_the_library_hears_every_message() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let puppet = tokio::sync::Mutex::new(runtime.block_on(Puppet::new()));
    let mut runner = TestRunner::new(Config { cases: 512, failure_persistence: None, ..Config::default() });
    let odd = proptest::collection::vec((token(), block()), 1..16);
    let tried = runner.run(&odd, |messages| {
        runtime.block_on(async {
            let mut puppet = puppet.lock().await;
            let words =
                messages.iter().map(|(token, block)| message(&[b"a.", &token[..]].concat(), block, b"clay"));
            puppet.words.send(words.collect::<Vec<_>>().concat()).unwrap();
            for (token, block) in &messages {
                let heard = puppet.next().await;
                assert_eq!(heard.payload, "clay", "{token:?} {block:?}");
                assert_eq!(heard.status, None, "{block:?}");
                let as_sent = heard.subject.as_bytes() == [b"a.", &token[..]].concat();
                let is_malformed = heard.headers.is_some_and(|headers| headers.get(MALFORMED).is_some());
                assert!(as_sent || is_malformed, "{token:?}");
            }
        });
        Ok(())
    });
    tried.unwrap();
    let puppet = puppet.into_inner();
    assert_eq!(puppet.connections.load(Ordering::Relaxed), 1, "it is the same connection");
    assert!(puppet.relay.failure().is_none());
    drop(puppet.client);
}

#[tokio::test]
async fn what_is_too_large_for_one_piece_arrives_whole() {
    let mut puppet = Puppet::new().await;
    let mut random = 7_u64;
    for size in [0, 1, 65_535, 65_536, 1 << 20, 8 << 20] {
        let payload: Vec<u8> = (0..size)
            .map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                random.to_le_bytes()[7]
            })
            .collect();
        let headers = format!("NATS/1.0\r\nX-Bad: a\rb\r\nX-Large: {}\r\n\r\n", "x".repeat(size / 8));
        puppet.words.send(message(b"a.b", headers.as_bytes(), &payload)).unwrap();
        let heard = puppet.next().await;
        assert!(heard.payload == payload, "{size}");
        assert_eq!(heard.headers.unwrap().get("X-Large").unwrap().as_str().len(), size / 8);
    }
}

#[tokio::test]
async fn who_does_not_know_the_secret_hears_nothing_and_says_nothing() {
    let world = World::new().await;
    let relay = Relay::start(settings(&[&world.server.url()])).await.unwrap();
    for first in ["CONNECT {\"name\":\"a test\"}\r\nPING\r\n", "PING\r\n", "SUB > 1\r\n", ""] {
        let mut stream = TcpStream::connect(relay.address()).await.unwrap();
        stream.write_all(first.as_bytes()).await.unwrap();
        if first.is_empty() {
            stream.shutdown().await.unwrap();
        }
        let mut said = String::new();
        let reading = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut said));
        // Closed with something unread, a connection is reset.
        drop(reading.await.expect("it is closed"));
        assert!(said.lines().count() <= 1 && !said.contains("PONG"), "{said}");
    }
    // Others who keep silent do not keep our own out.
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(TcpStream::connect(relay.address()).await.unwrap());
    }
    let client =
        ConnectOptions::new().name(relay.secret()).connect(relay.address().to_string()).await.unwrap();
    client.flush().await.unwrap();
}

#[tokio::test]
async fn a_server_that_goes_away_is_found_again_and_its_cluster_is_not_told_to_the_client() {
    let mut world = World::new().await;
    let mut connects = world.nats.connects();
    assert_eq!(*connects.borrow_and_update(), 1);
    world.server.kill().await;
    eventually("the connection is gone", || async { (!world.nats.is_connected()).then_some(()) }).await;
    world.server.restart().await.unwrap();
    tokio::time::timeout(PATIENCE, connects.changed()).await.unwrap().unwrap();
    world.nats.flush(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_has_ended_for_good_says_so_at_once() {
    let world = World::new().await;
    world.nats.flush(PATIENCE).await.unwrap();
    world.nats.close(PATIENCE).await;
    for _ in 0..3 {
        let error = world.nats.flush(PATIENCE).await.unwrap_err();
        assert!(matches!(error, RequestError::Closed { .. }), "{error}");
    }
}

#[tokio::test]
async fn of_several_servers_one_that_answers_is_enough() {
    let world = World::new().await;
    // Nobody listens on the first any more, and on the second somebody who says nothing.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let servers = [gone.to_string(), silent.local_addr().unwrap().to_string(), world.server.url()];
    let nats = Nats::connect(&Target { servers: servers.to_vec(), ..Target::at("") }, "test").await.unwrap();
    nats.flush(PATIENCE).await.unwrap();
    let nobody = Target { servers: vec![gone.to_string()], ..Target::at("") };
    let error = Nats::connect(&nobody, "test").await.unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn the_server_is_told_the_clients_name_and_never_the_secret() {
    let puppet = Puppet::new().await;
    let lines = puppet.lines.lock().unwrap().join("\n");
    assert!(lines.contains("\"name\":\"a test\"") && !lines.contains(puppet.relay.secret()), "{lines}");
    let error = Relay::start(settings(&["ws://127.0.0.1:1"])).await.unwrap_err();
    assert!(error.to_string().contains("ws"), "{error}");
}

#[tokio::test]
async fn what_a_client_says_before_it_ends_arrives() {
    const WORDS: usize = 10_000;
    let world = World::new().await;
    let relay = Relay::start(settings(&[&world.server.url()])).await.unwrap();
    let listener = world.client().await;
    let heard = listener.subscribe("last").await.unwrap();
    listener.flush().await.unwrap();
    world.nats.flush(PATIENCE).await.unwrap();
    let client =
        ConnectOptions::new().name(relay.secret()).connect(relay.address().to_string()).await.unwrap();
    for _ in 0..WORDS {
        client.publish("last", vec![b'x'; 500].into()).await.unwrap();
    }
    client.drain().await.unwrap();
    client.flush().await.ok();
    tokio::time::timeout(PATIENCE, relay.ended()).await.unwrap();
    let all = tokio::time::timeout(PATIENCE, heard.take(WORDS).count()).await;
    assert_eq!(all.unwrap(), WORDS);
}

/// A server that wants TLS, perhaps with a certificate of the client's.
async fn encrypted(verify: bool) -> LocalServer {
    let files = |name: &str| format!("{}/tests/it/certificates/{name}.pem", env!("CARGO_MANIFEST_DIR"));
    let config = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: {verify} }}",
        files("server"),
        files("server-key"),
        files("authority")
    );
    LocalServer::start(StartOptions { config: Some(config), ..StartOptions::default() }).await.unwrap()
}

#[tokio::test]
async fn the_handshake_is_the_relays() {
    let file = |name: &str| format!("{}/tests/it/certificates/{name}.pem", env!("CARGO_MANIFEST_DIR")).into();
    let certificate = Some((file("client"), file("client-key")));
    for verify in [false, true] {
        let server = encrypted(verify).await;
        let stranger = Target::at(&server.url());
        let believer = Target { ca: Some(file("authority")), ..stranger.clone() };
        let known = Target { certificate: certificate.clone(), ..believer.clone() };
        let asked = Target { servers: vec![server.url().replace("nats://", "tls://")], ..known.clone() };
        for target in [&known, &asked] {
            let nats = Nats::connect(target, "test").await.unwrap();
            nats.flush(PATIENCE).await.unwrap();
        }
        let refused = |result: Result<Nats, ConnectError>| result.unwrap_err().to_string();
        assert!(refused(Nats::connect(&stranger, "test").await).contains("certificate"));
        let believed = Nats::connect(&believer, "test").await;
        assert_eq!(believed.is_err(), verify, "{believed:?}");
    }
    let plain = World::new().await;
    let asked = Target::at(&plain.server.url().replace("nats://", "tls://"));
    assert!(Nats::connect(&asked, "test").await.is_err(), "who asks for TLS is not spoken to without");
}

//! Servers that are slow, endless, too much, or no servers at all: each costs a bounded time and brings a failure that
//! says what it was.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use saggar_egress::Bounds;
use saggar_model::{HttpFailure, HttpGrant, HttpTimeouts};

use crate::stage::{Connection, SOON, Sender, Server, empty, grant, quick, soon};

/// What a server does with a connection after it has read the request.
async fn serving<F, Doing>(serve: F) -> Server
where
    F: Fn(Connection) -> Doing + Send + Sync + Copy + 'static,
    Doing: Future<Output = ()> + Send + 'static,
{
    Server::start("127.0.0.1", move |mut connection| async move {
        if connection.request().await {
            serve(connection).await;
        }
    })
    .await
}

async fn get(server: &Server) -> Result<Bytes, HttpFailure> {
    let began = Instant::now();
    let got = Sender::to(server).get(&format!("http://{}/", server.address)).await;
    assert!(began.elapsed() < SOON);
    got.map(|(_, body)| body)
}

/// Writes a part again and again, until the other end has gone.
async fn endlessly(mut connection: Connection, begin: &str, part: &[u8]) {
    let mut going = connection.send(begin.as_bytes()).await;
    while going {
        going = connection.send(part).await;
    }
}

#[tokio::test]
async fn attack_60_a_server_that_says_nothing_is_left() {
    let server = serving(|mut connection| async move { connection.say_nothing().await }).await;
    assert_eq!(get(&server).await, Err(HttpFailure::ResponseTimedOut));
}

#[tokio::test]
async fn attack_60_a_head_that_comes_byte_by_byte_is_not_waited_for() {
    let server = serving(|mut connection| async move {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        connection.send(b"HTTP/1.1 200 OK\r\nx: ").await;
        loop {
            tick.tick().await;
            if !connection.send(b"a").await {
                return;
            }
        }
    })
    .await;
    assert_eq!(get(&server).await, Err(HttpFailure::ResponseTimedOut));
}

#[tokio::test]
async fn attack_60_a_head_without_end_is_too_large() {
    let long = serving(|connection| endlessly(connection, "HTTP/1.1 200 OK\r\nx: ", &[b'a'; 4096])).await;
    assert_eq!(get(&long).await, Err(HttpFailure::ResponseHeadersTooLarge));
    let many = serving(|connection| endlessly(connection, "HTTP/1.1 200 OK\r\n", b"a: b\r\n")).await;
    assert_eq!(get(&many).await, Err(HttpFailure::ResponseHeadersTooLarge));
    let line = serving(|connection| endlessly(connection, "HTTP/1.1 200 ", &[b'a'; 4096])).await;
    assert_eq!(get(&line).await, Err(HttpFailure::ResponseHeadersTooLarge));
}

#[tokio::test]
async fn attack_60_preliminary_answers_without_end_are_no_answer() {
    let server =
        serving(|connection| endlessly(connection, "", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"))
            .await;
    assert_eq!(get(&server).await, Err(HttpFailure::ResponseTimedOut));
}

#[tokio::test]
async fn attack_60_a_body_without_end_is_cut_at_what_is_granted() {
    const MOST: u64 = 100_000;
    let bodies = [
        ("HTTP/1.1 200 OK\r\n\r\n", Bytes::from(vec![b'a'; 4096])),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Bytes::from_static(b"3\r\nabc\r\n")),
    ];
    for (head, part) in bodies {
        let server = Server::start("127.0.0.1", move |mut connection| {
            let part = part.clone();
            async move {
                if connection.request().await {
                    endlessly(connection, head, &part).await;
                }
            }
        })
        .await;
        let grants = vec![HttpGrant { max_response: MOST, ..grant("127.0.0.1", server.port()) }];
        let sender = Sender::new(None, grants, quick());
        let response = sender
            .send(Request::get(format!("http://{}/", server.address)).body(empty()).unwrap())
            .await
            .unwrap();
        let (mut body, mut read) = (response.into_body(), 0);
        let failure = loop {
            match soon("a part", body.frame()).await.expect("it does not end") {
                Ok(frame) => read += frame.data_ref().map_or(0, Bytes::len) as u64,
                Err(failure) => break failure,
            }
        };
        assert_eq!(failure, HttpFailure::ResponseBodyTooLarge(MOST));
        assert!(read <= MOST, "{read}");
    }
}

#[tokio::test]
async fn attack_60_a_body_that_announces_too_much_is_not_begun() {
    let server = serving(|mut connection| async move {
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 107374182400\r\n\r\n").await;
        connection.say_nothing().await;
    })
    .await;
    assert_eq!(get(&server).await, Err(HttpFailure::ResponseBodyTooLarge(HttpGrant::MAX_RESPONSE_DEFAULT)));
}

#[tokio::test]
async fn attack_60_a_body_that_stops_coming_is_left() {
    let server = serving(|mut connection| async move {
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        connection.say_nothing().await;
    })
    .await;
    assert_eq!(get(&server).await, Err(HttpFailure::BodyTimedOut));
}

#[tokio::test]
async fn attack_60_a_body_that_trickles_ends_with_the_attempt() {
    let server = serving(|mut connection| async move {
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n").await;
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        loop {
            tick.tick().await;
            if !connection.send(b"a").await {
                return;
            }
        }
    })
    .await;
    // However slow the machine is, it is not the pauses that end this.
    let bounds = Bounds { between_bytes: SOON, ..quick() };
    let sender = Sender::new(None, vec![grant("127.0.0.1", server.port())], bounds);
    let request = Request::get(format!("http://{}/", server.address)).body(empty()).unwrap();
    let deadline = Instant::now() + Duration::from_millis(500);
    let response = sender.outbound.send(request, HttpTimeouts::default(), deadline).await.unwrap();
    let failure = soon("the response", response.into_body().collect()).await.unwrap_err();
    assert_eq!(failure, HttpFailure::ResponseTimedOut);
}

#[tokio::test]
async fn attack_60_connections_that_end_early_are_told_from_what_is_no_http() {
    let at_once = serving(|_| async {}).await;
    assert_eq!(get(&at_once).await, Err(HttpFailure::Terminated));
    for (answer, failure) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\nhalf", HttpFailure::Terminated),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhal", HttpFailure::Terminated),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhalf\r\n", HttpFailure::Protocol),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nhalf\r\n",
            HttpFailure::Protocol,
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nclay", HttpFailure::Protocol),
        ("HTTP/1.1 200 OK\r\ncontent-length: -4\r\n\r\nclay", HttpFailure::Protocol),
        ("HTTP/1.1 2000 OK\r\n\r\n", HttpFailure::Protocol),
        ("HTTP/2.0 200 OK\r\n\r\n", HttpFailure::Protocol),
        ("SSH-2.0-OpenSSH_9.9\r\n", HttpFailure::Protocol),
        ("INFO {\"server_id\":\"NATS\"}\r\n", HttpFailure::Protocol),
        (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
            HttpFailure::Protocol,
        ),
    ] {
        let server = Server::start("127.0.0.1", move |mut connection| async move {
            if connection.request().await {
                connection.send(answer.as_bytes()).await;
            }
        })
        .await;
        assert_eq!(get(&server).await, Err(failure), "{answer}");
    }
}

#[tokio::test]
async fn attack_60_bytes_after_a_response_are_nobodys_answer() {
    let server = Server::answering(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
    )
    .await;
    let sender = Sender::to(&server);
    for _ in 0..10 {
        assert_eq!(sender.get(&format!("http://{}/", server.address)).await.unwrap().1, "ok");
    }
}

#[tokio::test]
async fn nobody_there_is_told_from_nobody_answering() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let sender = Sender::new(None, vec![grant("127.0.0.1", address.port())], quick());
    assert_eq!(sender.get(&format!("http://{address}/")).await, Err(HttpFailure::ConnectionRefused));
}

#[tokio::test]
async fn a_guests_own_times_only_shorten_the_hosts_and_may_be_anything() {
    let server = serving(|mut connection| async move { connection.say_nothing().await }).await;
    let sender = Sender::to(&server);
    for time in [Duration::ZERO, Duration::from_nanos(1), Duration::from_nanos(u64::MAX), Duration::MAX] {
        for timeouts in [
            HttpTimeouts { connect: Some(time), ..HttpTimeouts::default() },
            HttpTimeouts { first_byte: Some(time), ..HttpTimeouts::default() },
            HttpTimeouts { between_bytes: Some(time), ..HttpTimeouts::default() },
        ] {
            let request = Request::get(format!("http://{}/", server.address)).body(empty()).unwrap();
            let sending = sender.outbound.send(request, timeouts, Instant::now() + SOON);
            let failure = soon("a request", sending).await.map(|_| ()).unwrap_err();
            let expected = [HttpFailure::ResponseTimedOut, HttpFailure::ConnectTimedOut];
            assert!(expected.contains(&failure), "{timeouts:?}: {failure:?}");
        }
    }
}

#[tokio::test]
async fn an_attempt_has_so_many_requests_open_and_no_more() {
    let server = serving(|mut connection| async move {
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n").await;
        connection.say_nothing().await;
    })
    .await;
    let bounds = Bounds { at_once: 3, ..quick() };
    let sender = Sender::new(None, vec![grant("127.0.0.1", server.port())], bounds);
    let request = || Request::get(format!("http://{}/", server.address)).body(empty()).unwrap();
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(sender.send(request()).await.unwrap());
    }
    assert_eq!(sender.send(request()).await.map(|_| ()), Err(HttpFailure::TooManyAtOnce));
    open.pop();
    assert!(sender.send(request()).await.is_ok(), "a response that is dropped makes room");
}

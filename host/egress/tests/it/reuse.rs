//! Connections are used again, and only by those that opened them.

use http_body_util::BodyExt as _;
use saggar_model::HttpGrant;

use crate::stage::{Sender, Server, empty, grant, quick, soon};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Sends requests one after another until `enough` of them have arrived over one connection, or as many have been sent
/// as it would take at most.
async fn connections_of(sender: &Sender, server: &Server, requests: usize) -> usize {
    let before = server.arrived().len();
    for _ in 0..requests {
        sender.get(&format!("http://{}/", server.address)).await.unwrap();
        // Giving back takes a turn of the other end.
        tokio::task::yield_now().await;
    }
    server.arrived().len() - before
}

#[tokio::test]
async fn requests_of_one_tenant_under_one_grant_share_a_connection() {
    let server = Server::answering(OK).await;
    let sender = Sender::to(&server);
    assert!(connections_of(&sender, &server, 50).await < 10, "{}", server.arrived().len());
}

#[tokio::test]
async fn another_tenant_and_another_grant_never_share_it() {
    let server = Server::answering(OK).await;
    let first = Sender::to(&server);
    connections_of(&first, &server, 5).await;
    let mine = grant("127.0.0.1", server.port());
    let changed = HttpGrant { max_response: 10, ..mine.clone() };
    for (tenant, grant) in [("other", mine), ("test", changed)] {
        let outbound = first.egress.outbound(tenant.parse().unwrap(), vec![grant]);
        let sender = Sender { egress: first.egress.clone(), outbound };
        assert_eq!(connections_of(&sender, &server, 1).await, 1, "{tenant}");
    }
}

#[tokio::test]
async fn a_response_that_is_dropped_half_read_closes_its_connection() {
    let server = Server::start("127.0.0.1", |mut connection| async move {
        while connection.request().await {
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        }
    })
    .await;
    let sender = Sender::to(&server);
    for sent in 1..=3 {
        let request = http::Request::get(format!("http://{}/", server.address)).body(empty()).unwrap();
        let mut response = sender.send(request).await.unwrap();
        soon("a part", response.body_mut().frame()).await.unwrap().unwrap();
        drop(response);
        assert_eq!(server.arrived().len(), sent);
    }
}

#[tokio::test]
async fn a_connection_that_the_other_end_closed_is_not_used_again() {
    let server = Server::start("127.0.0.1", |mut connection| async move {
        if connection.request().await {
            connection.send(OK.as_bytes()).await;
        }
    })
    .await;
    let sender = Sender::new(None, vec![grant("127.0.0.1", server.port())], quick());
    for _ in 0..20 {
        // Closed between two requests: found out before anything is sent, or told as what it is.
        match sender.get(&format!("http://{}/", server.address)).await {
            Ok((status, body)) => assert_eq!((status, body.as_ref()), (200, b"ok".as_slice())),
            Err(failure) => assert_eq!(failure, saggar_model::HttpFailure::Terminated),
        }
    }
}

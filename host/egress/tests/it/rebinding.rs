//! Names whose addresses change between one look and the next.

use saggar_model::{HttpDenial, HttpFailure, Missing};

use crate::stage::{Connection, Names, Sender, Server, grant_at, quick};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

async fn say_ok(mut connection: Connection) {
    if connection.request().await {
        connection.send(OK).await;
    }
}

fn missing(failure: HttpFailure) -> Missing {
    match failure {
        HttpFailure::Denied(denial) => match *denial {
            HttpDenial::Target { missing, .. } => missing,
            HttpDenial::Host(error) => panic!("{error}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn attack_57_a_name_that_moves_inside_is_denied_from_then_on() {
    // 127.0.0.2 stands for the public address: the grant names it, and nothing else.
    let [outside, inside] = Server::start_two(["127.0.0.2", "127.0.0.1"], say_ok).await;
    let port = outside.port();
    let names = Names::start(&[("kiln.example", &[&["127.0.0.2"], &["127.0.0.1"]])]).await;
    let sender = Sender::new(Some(&names), vec![grant_at("kiln.example", port, &["127.0.0.2"])], quick());
    let url = format!("http://kiln.example:{port}/");
    assert_eq!(sender.get(&url).await.unwrap().0, 200);
    for _ in 0..100 {
        let missing = missing(sender.get(&url).await.unwrap_err());
        assert_eq!(missing, Missing::Address { address: [127, 0, 0, 1].into(), is: "loopback" });
    }
    assert_eq!((outside.arrived().len(), inside.arrived().len()), (1, 0));
}

#[tokio::test]
async fn attack_57_one_address_inside_among_others_denies_them_all() {
    let outside = Server::start("127.0.0.2", say_ok).await;
    let port = outside.port();
    let names = Names::start(&[
        ("last.example", &[&["127.0.0.2", "127.0.0.1"]]),
        ("first.example", &[&["127.0.0.1", "127.0.0.2"]]),
        ("six.example", &[&["127.0.0.2", "::1"]]),
    ])
    .await;
    let sender = Sender::new(Some(&names), vec![grant_at("*", port, &["127.0.0.2"])], quick());
    for name in ["last", "first", "six"] {
        let failure = sender.get(&format!("http://{name}.example:{port}/")).await.unwrap_err();
        assert!(matches!(missing(failure), Missing::Address { .. }), "{name}");
    }
    assert!(outside.arrived().is_empty());
}

#[tokio::test]
async fn a_name_that_is_not_there_and_a_server_of_names_that_is_silent_are_told_apart() {
    let names = Names::start(&[]).await;
    let sender = Sender::new(Some(&names), vec![grant_at("*", 80, &[])], quick());
    assert_eq!(sender.get("http://absent.example/").await, Err(HttpFailure::LookupFailed));

    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let options = saggar_egress::EgressOptions {
        name_servers: vec![silent.local_addr().unwrap()],
        bounds: saggar_egress::Bounds { lookup: std::time::Duration::from_millis(200), ..quick() },
        ..saggar_egress::EgressOptions::default()
    };
    let egress = saggar_egress::Egress::new(options);
    let outbound = egress.outbound("test".parse().unwrap(), vec![grant_at("*", 80, &[])]);
    let sender = Sender { egress, outbound };
    assert_eq!(sender.get("http://absent.example/").await, Err(HttpFailure::LookupTimedOut));
}

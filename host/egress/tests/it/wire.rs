//! The bytes that reach a server, whatever a guest puts into its request.

use bytes::Bytes;
use futures::stream;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use saggar_egress::Body;
use saggar_model::HttpFailure;

use crate::stage::{Names, Sender, Server, empty, full, grant_at, quick};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

fn pieces(pieces: &[&'static str]) -> Body {
    let frames: Vec<_> =
        pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).collect();
    BodyExt::boxed_unsync(StreamBody::new(stream::iter(frames)))
}

async fn arrived(request: http::request::Builder, body: Body) -> Vec<String> {
    let names = Names::everywhere(&["127.0.0.1"]).await;
    let server = Server::answering(OK).await;
    let port = server.port();
    let sender = Sender::new(Some(&names), vec![grant_at("kiln.example", port, &["127.0.0.1"])], quick());
    let mut request = request.body(body).unwrap();
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    *request.uri_mut() = format!("http://kiln.example:{port}{path}").parse().unwrap();
    sender.fetch(request).await.unwrap();
    let port = port.to_string();
    server.arrived().into_iter().map(|bytes| bytes.replace(&port, "PORT")).collect()
}

#[tokio::test]
async fn attack_59_the_first_line_is_a_path_and_the_host_is_the_granted_one() {
    let request = Request::get("http://kiln.example/a?b=http://evil.example/")
        .header("host", "evil.example")
        .header("HOST", "evil.example:1")
        .header("x-forwarded-host", "mine")
        .header("connection", "x-forwarded-host, keep-alive")
        .header("proxy-connection", "keep-alive")
        .header("upgrade", "h2c")
        .header("http2-settings", "AAMAAABkAAQAAP__")
        .header("te", "trailers")
        .header("expect", "100-continue");
    assert_eq!(
        arrived(request, empty()).await,
        [
            "GET /a?b=http://evil.example/ HTTP/1.1\r\nx-forwarded-host: mine\r\nhost: kiln.example:PORT\r\n\r\n"
        ]
    );
}

#[tokio::test]
async fn attack_59_a_path_that_begins_with_a_host_stays_a_path() {
    assert_eq!(
        arrived(Request::get("http://kiln.example//evil.example/x"), empty()).await,
        ["GET //evil.example/x HTTP/1.1\r\nhost: kiln.example:PORT\r\n\r\n"]
    );
}

#[tokio::test]
async fn attack_59_a_body_with_a_length_is_sent_as_it_is_and_one_without_in_chunks() {
    const SMUGGLED: &str = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: evil.example\r\n\r\n";
    let request = Request::post("http://kiln.example/")
        .header("content-length", SMUGGLED.len())
        .header("transfer-encoding", "chunked")
        .header("transfer-encoding", "identity");
    assert_eq!(
        arrived(request, pieces(&[SMUGGLED])).await,
        [format!(
            "POST / HTTP/1.1\r\nhost: kiln.example:PORT\r\ncontent-length: {}\r\n\r\n{SMUGGLED}",
            SMUGGLED.len()
        )]
    );
    let request = Request::post("http://kiln.example/").header("trailer", "host");
    assert_eq!(
        arrived(request, pieces(&["0\r\n\r\n", "", "GET"])).await,
        ["POST / HTTP/1.1\r\nhost: kiln.example:PORT\r\ntransfer-encoding: chunked\r\n\r\n\
          5\r\n0\r\n\r\n\r\n3\r\nGET\r\n0\r\n\r\n"]
    );
}

#[tokio::test]
async fn attack_59_lengths_that_contradict_each_other_or_the_body_send_no_second_request() {
    let server = Server::answering(OK).await;
    let sender = Sender::to(&server);
    let url = format!("http://{}/", server.address);
    for lengths in [["5", "6"].as_slice(), &["4", "4"], &["+4"], &["4, 4"], &["0x4"]] {
        let request = lengths
            .iter()
            .fold(Request::post(&url), |request, value| request.header("content-length", *value));
        let request = request.body(full("clay")).unwrap();
        assert_eq!(sender.fetch(request).await, Err(HttpFailure::RequestInvalid), "{lengths:?}");
    }
    assert!(server.arrived().is_empty());

    for length in [2, 9] {
        let request = Request::post(&url).header("content-length", length).body(pieces(&["clay"])).unwrap();
        assert_eq!(sender.fetch(request).await, Err(HttpFailure::RequestBodySize), "{length}");
    }
    // What was begun was cut: no request was whole.
    assert!(
        server.arrived().iter().all(|bytes| bytes.matches("HTTP/1.1").count() <= 1),
        "{:?}",
        server.arrived()
    );
}

#[test]
fn attack_59_what_would_break_a_line_is_no_header_and_no_url() {
    for text in ["a\r\nb: c", "a\nb", "a\0b"] {
        assert!(http::HeaderValue::from_str(text).is_err());
        assert!(http::HeaderName::from_bytes(text.as_bytes()).is_err());
        assert!(http::Method::from_bytes(text.as_bytes()).is_err());
        assert!(format!("http://a.example/{text}").parse::<http::Uri>().is_err());
    }
}

//! Redirects are answers like any other.

use http_body_util::BodyExt as _;
use saggar_model::HttpFailure;

use crate::stage::{Sender, Server, empty, soon};

#[tokio::test]
async fn attack_58_a_redirect_is_shown_to_the_guest_and_its_target_is_checked_like_any() {
    let inside = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    for target in [
        format!("http://127.0.0.1:{}/secret", inside.port()),
        format!("http://[::ffff:127.0.0.1]:{}/secret", inside.port()),
        format!("//127.0.0.1:{}/secret", inside.port()),
        "http://169.254.169.254/latest/meta-data".to_owned(),
    ] {
        for status in [301, 302, 303, 307, 308] {
            let answer = format!("HTTP/1.1 {status} Go\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
            let outside = Server::answering(answer).await;
            let sender = Sender::to(&outside);
            let url = format!("http://{}/", outside.address);
            let response = sender.send(http::Request::get(&url).body(empty()).unwrap()).await.unwrap();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers()["location"], target);
            soon("the response", response.into_body().collect()).await.unwrap();
            if target.starts_with("http") {
                assert!(matches!(sender.get(&target).await, Err(HttpFailure::Denied(_))), "{target}");
            }
            assert_eq!(outside.arrived().len(), 1);
        }
    }
    assert!(inside.arrived().is_empty());
}

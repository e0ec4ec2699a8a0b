//! Who answers has to be who was asked for.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use saggar_egress::Roots;
use saggar_model::{HttpFailure, HttpGrant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::stage::{Names, Sender, Server, grant_at, quick};

/// Valid for `kiln.example` for a hundred years; nobody has the authority's key any more.
const AUTHORITY: &[u8] = include_bytes!("certificates/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("certificates/server.pem");
const KEY: &[u8] = include_bytes!("certificates/server.key");

async fn server() -> Server {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()],
            PrivateKeyDer::from_pem_slice(KEY).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Server::start("127.0.0.1", move |connection| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(connection.stream).await else { return };
            let mut part = [0; 1024];
            if stream.read(&mut part).await.is_ok_and(|read| read > 0) {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            }
        }
    })
    .await
}

fn authority() -> Roots {
    Roots::Only(vec![CertificateDer::from_pem_slice(AUTHORITY).unwrap()])
}

async fn get(host: &str, roots: Roots) -> Result<u16, HttpFailure> {
    let (server, names) = (server().await, Names::everywhere(&["127.0.0.1"]).await);
    let grant = HttpGrant { tls: true, ..grant_at("*", server.port(), &["127.0.0.1"]) };
    let sender = Sender::believing(Some(&names), vec![grant], quick(), roots);
    sender.get(&format!("https://{host}:{}/", server.port())).await.map(|(status, _)| status)
}

#[tokio::test]
async fn a_server_with_the_names_certificate_is_talked_to() {
    assert_eq!(get("kiln.example", authority()).await, Ok(200));
}

#[tokio::test]
async fn a_server_with_anothers_certificate_or_one_that_nobody_vouches_for_is_not() {
    assert_eq!(get("other.example", authority()).await, Err(HttpFailure::Certificate));
    assert_eq!(get("kiln.example", Roots::Only(Vec::new())).await, Err(HttpFailure::Certificate));
}

#[tokio::test]
async fn what_does_not_speak_tls_is_told_as_that() {
    let server = Server::start("127.0.0.1", |mut connection| async move {
        connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        connection.say_nothing().await;
    })
    .await;
    let names = Names::everywhere(&["127.0.0.1"]).await;
    let grant = HttpGrant { tls: true, ..grant_at("*", server.port(), &["127.0.0.1"]) };
    let sender = Sender::believing(Some(&names), vec![grant], quick(), authority());
    assert_eq!(sender.get(&format!("https://kiln.example:{}/", server.port())).await, Err(HttpFailure::Tls));
}

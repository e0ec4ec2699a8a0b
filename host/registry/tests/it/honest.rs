use saggar_model::Digest;
use saggar_registry::{Credentials, RegistryError};

use crate::server::{COMPONENT, Reply, Server, files, found, manifest};

#[tokio::test]
async fn a_component_is_fetched_by_tag_and_kept_by_digest() {
    let server = Server::with(manifest(COMPONENT), &[COMPONENT]).await;
    let artifact = server.fetch().await.unwrap();
    assert_eq!(artifact.component, COMPONENT);
    assert_eq!(artifact.digest, Digest::of(COMPONENT));
    let pinned = format!("@{}", Digest::of(&manifest(COMPONENT)));
    assert_eq!(artifact.source, format!("oci://{}/acme/app{pinned}", server.address));
    assert_eq!(server.fetch_as(&pinned, None).await, Ok(artifact));
}

#[tokio::test]
async fn a_registry_that_asks_for_a_token_gets_one() {
    let files = files(&manifest(COMPONENT), &[COMPONENT]);
    let server = Server::start(move |own, asked| {
        let header = |wanted: &str| asked.head.lines().any(|line| line.eq_ignore_ascii_case(wanted));
        if asked.path == "/token?service=shop&scope=repository%3Aacme%2Fapp%3Apull" {
            // `user:secret`
            return if header("Authorization: Basic dXNlcjpzZWNyZXQ=") {
                Reply::ok("application/json", r#"{"token":"open-sesame"}"#)
            } else {
                Reply::status(401, &[], "")
            };
        }
        if header("Authorization: Bearer open-sesame") {
            return found(&files, asked);
        }
        let challenge = format!(r#"Bearer realm="http://{own}/token",service="shop",scope="registry:*""#);
        Reply::status(401, &[("WWW-Authenticate", &challenge)], "")
    })
    .await;
    let credentials = Credentials { user: "user".to_owned(), password: "secret".to_owned() };
    assert_eq!(server.fetch_as(":1", Some(credentials)).await.unwrap().component, COMPONENT);
    assert!(matches!(server.fetch().await, Err(RegistryError::Denied { status: 401, .. })));
}

#[tokio::test]
async fn a_registry_may_lead_to_another_path_of_its_own() {
    let files = files(&manifest(COMPONENT), &[COMPONENT]);
    let server = Server::start(move |_, asked| match asked.path.split_once("/blobs/") {
        Some((_, digest)) => Reply::redirect(&format!("/storage/{digest}?signature=x")),
        None if asked.path.starts_with("/storage/") => Reply::ok("application/wasm", COMPONENT),
        None => found(&files, asked),
    })
    .await;
    assert_eq!(server.fetch().await.unwrap().component, COMPONENT);
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_a_registry_that_is_not_there_not_reached() {
    let server = Server::with(manifest(COMPONENT), &[COMPONENT]).await;
    assert!(matches!(server.fetch_as(":2", None).await, Err(RegistryError::NotFound { .. })));
    let busy = Server::start(|_, _| Reply::status(503, &[], "")).await;
    assert!(matches!(busy.fetch().await, Err(RegistryError::Status { status: 503, .. })));
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let reference = format!("oci://{address}/acme/app:1").parse().unwrap();
    let registry = saggar_registry::Registry::new(saggar_registry::Bounds::default(), None);
    assert!(matches!(registry.fetch(&reference).await, Err(RegistryError::Unreachable { .. })));
}

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use saggar_model::Digest;
use saggar_registry::{Astray, Credentials, RegistryError};
use serde_json::json;

use crate::server::{COMPONENT, MANIFEST, Reply, Server, described, files, found, manifest};

const ENDLESS: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/wasm\r\n\r\n";

/// An honest manifest of `size` bytes, and this for the component.
async fn serving(size: u64, blob: Reply) -> Server {
    let manifest = described(&json!(Digest::of(COMPONENT)), &json!(size));
    let files = files(&manifest, &[]);
    Server::start(
        move |_, asked| {
            if asked.path.contains("/blobs/") { blob.clone() } else { found(&files, asked) }
        },
    )
    .await
}

/// Refuses everybody without a token, which the server itself gives.
fn asks_for_a_token(own: &str) -> Reply {
    let challenge = format!("Bearer realm=\"http://{own}/token\"");
    Reply::status(401, &[("WWW-Authenticate", &challenge)], "")
}

fn endless(head: &str, piece: &[u8], pause: Duration) -> Reply {
    Reply::Endless { head: head.to_owned(), piece: piece.to_vec(), pause }
}

#[tokio::test]
async fn attack_51_a_hundred_gibibytes_are_refused_before_they_are_asked_for() {
    let manifest = described(&json!(Digest::of(COMPONENT)), &json!(100_u64 << 30));
    let server = Server::with(manifest, &[COMPONENT]).await;
    let most = 1 << 20;
    assert_eq!(server.fetch().await, Err(RegistryError::TooLarge { what: "component", most }));
    assert_eq!(server.asked().len(), 1, "nobody asks for them");
}

#[tokio::test]
async fn attack_51_more_bytes_than_were_said_are_refused_announced_or_not() {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 100_u64 << 30);
    for head in [&head, ENDLESS] {
        let server = serving(1000, endless(head, &[b'x'; 4096], Duration::ZERO)).await;
        let refused = server.fetch().await;
        assert_eq!(refused, Err(RegistryError::TooLarge { what: "component", most: 1000 }), "{head}");
    }
}

#[tokio::test]
async fn attack_51_a_byte_at_a_time_is_too_slow_and_so_is_nothing() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
    let server = serving(1_000_000, endless(head, b"x", Duration::from_millis(10))).await;
    assert!(matches!(server.fetch().await, Err(RegistryError::Slow { doing: "sending", .. })));
    let server = serving(1_000_000, Reply::Silence).await;
    assert!(matches!(server.fetch().await, Err(RegistryError::Slow { doing: "answering", .. })));
}

#[tokio::test]
async fn attack_51_headers_without_end_are_refused() {
    let slow = endless("HTTP/1.1 200 OK\r\n", b"X: y\r\n", Duration::from_millis(10));
    let fast = endless("HTTP/1.1 200 OK\r\n", b"X: y\r\n", Duration::ZERO);
    let long = endless("HTTP/1.1 200 OK\r\nX: ", &[b'y'; 4096], Duration::ZERO);
    let interim = endless("", b"HTTP/1.1 103 Early Hints\r\n\r\n", Duration::ZERO);
    for reply in [slow, fast, long, interim] {
        let server = Server::start(move |_, _| reply.clone()).await;
        let refused = server.fetch().await;
        assert!(
            matches!(refused, Err(RegistryError::Slow { .. } | RegistryError::Unreachable { .. })),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn attack_51_what_comes_compressed_is_not_unpacked() {
    // A kibibyte that would be a mebibyte.
    for encoding in ["gzip", "br", "identity, gzip", "x-bomb"] {
        let headers = [("Content-Encoding", encoding)];
        let server = serving(COMPONENT.len() as u64, Reply::status(200, &headers, COMPONENT)).await;
        let refused = server.fetch().await;
        let encoding = encoding.to_owned();
        assert_eq!(refused, Err(RegistryError::Encoded { what: "component", encoding }));
    }
}

#[tokio::test]
async fn attack_51_a_manifest_that_never_ends_is_refused() {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {MANIFEST}\r\n\r\n{{\"layers\":[");
    let server = Server::start(move |_, _| endless(&head, b"{},", Duration::ZERO)).await;
    assert_eq!(server.fetch().await, Err(RegistryError::TooLarge { what: "manifest", most: 4 << 10 }));
}

#[tokio::test]
async fn attack_51_nobody_else_on_this_machine_or_in_its_network_is_led_to() {
    let victim = Server::start(|_, _| Reply::ok("application/wasm", COMPONENT)).await;
    let port = victim.address.rsplit(':').next().unwrap().to_owned();
    let places = [
        (format!("http://127.0.0.1:{port}/x"), "without TLS"),
        (format!("http://localhost:{port}/x"), "without TLS"),
        (format!("//127.0.0.1:{port}/x"), "without TLS"),
        (format!("https://127.0.0.1:{port}/x"), "at 127.0.0.1"),
        (format!("https://localhost:{port}/x"), "no public address"),
        (format!("https://2130706433:{port}/x"), "at 127.0.0.1"),
        (format!("https://0x7f.1:{port}/x"), "at 127.0.0.1"),
        (format!("https://[::ffff:127.0.0.1]:{port}/x"), "no public address"),
        ("https://169.254.169.254/latest/meta-data".to_owned(), "at 169.254.169.254"),
        ("https://10.0.0.1/x".to_owned(), "at 10.0.0.1"),
        ("https://[fd00::1]/x".to_owned(), "at fd00::1"),
        ("file:///etc/passwd".to_owned(), "without TLS"),
        ("https://user:password@127.0.0.1/x".to_owned(), "a password"),
        ("https://".to_owned(), "no URL"),
    ];
    for (place, why) in places {
        let to = place.clone();
        let files = files(&manifest(COMPONENT), &[]);
        let server = Server::start(move |_, asked| {
            if asked.path.contains("/blobs/") { Reply::redirect(&to) } else { found(&files, asked) }
        })
        .await;
        let refused = server.fetch().await.unwrap_err();
        assert!(matches!(refused, RegistryError::Astray { .. }), "{place}: {refused}");
        assert!(refused.to_string().contains(why), "{place}: {refused}");
    }
    assert!(victim.asked().is_empty(), "nobody came: {:?}", victim.asked());
}

#[tokio::test]
async fn attack_51_a_registry_that_leads_in_circles_is_left() {
    let server = Server::start(|_, asked| Reply::redirect(&asked.path)).await;
    let refused = server.fetch().await;
    assert!(matches!(refused, Err(RegistryError::Astray { why: Astray::Often(3), .. })), "{refused:?}");
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn attack_51_a_password_is_not_carried_elsewhere() {
    let thief = Server::start(|_, _| Reply::ok("application/json", r#"{"token":"x"}"#)).await;
    let credentials = Credentials { user: "user".to_owned(), password: "secret".to_owned() };
    for realm in [format!("http://{}/token", thief.address), format!("https://{}/token", thief.address)] {
        let challenge = format!("Bearer realm=\"{realm}\"");
        let server =
            Server::start(move |_, _| Reply::status(401, &[("WWW-Authenticate", &challenge)], "")).await;
        let refused = server.fetch_as(":1", Some(credentials.clone())).await;
        assert!(matches!(refused, Err(RegistryError::Astray { .. })), "{realm}: {refused:?}");
    }
    let elsewhere = format!("http://{}/token", thief.address);
    let server = Server::start(move |own, asked| {
        if asked.path.starts_with("/token") { Reply::redirect(&elsewhere) } else { asks_for_a_token(own) }
    })
    .await;
    let refused = server.fetch_as(":1", Some(credentials)).await;
    assert!(matches!(refused, Err(RegistryError::Astray { why: Astray::Often(0), .. })), "{refused:?}");
    assert!(thief.asked().is_empty(), "nobody came: {:?}", thief.asked());
}

#[tokio::test]
async fn attack_51_tokens_that_are_none_or_never_suffice_end_the_fetch() {
    let huge = format!(r#"{{"token":"{}"}}"#, "x".repeat(8000));
    let tokens = [
        (r#"{"token":"never enough"}"#.to_owned(), "denies it (401)"),
        (r#"{"token":"a\r\nX-Header: b"}"#.to_owned(), "cannot be sent in a header"),
        (r#"{"token":""}"#.to_owned(), "gives no token"),
        ("{}".to_owned(), "gives no token"),
        ("[".repeat(4000), "gives no token"),
        (huge, "the token has more than"),
    ];
    for (token, why) in tokens {
        let server = Server::start(move |own, asked| {
            if asked.path.starts_with("/token") {
                Reply::ok("application/json", token.clone())
            } else {
                asks_for_a_token(own)
            }
        })
        .await;
        let refused = server.fetch().await.unwrap_err().to_string();
        assert!(refused.contains(why), "{why} in {refused}");
        assert!(server.asked().len() <= 3, "it is not asked over and over");
    }
}

#[tokio::test]
async fn attack_50_other_bytes_than_were_named_are_refused() {
    let (honest, evil) = (manifest(COMPONENT), b"\0asm: quite evl");
    assert_eq!(evil.len(), COMPONENT.len());
    let server = serving(COMPONENT.len() as u64, Reply::ok("application/wasm", *evil)).await;
    let (wanted, found_) = (Digest::of(COMPONENT), Digest::of(evil));
    let refused = server.fetch().await;
    assert_eq!(refused, Err(RegistryError::WrongDigest { what: "component", wanted, found: found_ }));

    let server = serving(COMPONENT.len() as u64 + 1, Reply::ok("application/wasm", COMPONENT)).await;
    assert!(matches!(server.fetch().await, Err(RegistryError::WrongSize { .. })));

    // Whatever it is asked for, by digest as well, it answers with a manifest of its own.
    let other = manifest(evil);
    let served = other.clone();
    let server = Server::start(move |_, _| Reply::ok(MANIFEST, served.clone())).await;
    let (wanted, found_) = (Digest::of(&honest), Digest::of(&other));
    let refused = server.fetch_as(&format!("@{wanted}"), None).await;
    assert_eq!(refused, Err(RegistryError::WrongDigest { what: "manifest", wanted, found: found_ }));

    // It says itself that it is another one.
    let claimed = wanted.to_string();
    let server = Server::start(move |_, _| {
        Reply::status(200, &[("Content-Type", MANIFEST), ("Docker-Content-Digest", &claimed)], other.clone())
    })
    .await;
    assert!(matches!(server.fetch().await, Err(RegistryError::WrongDigest { what: "manifest", .. })));
}

#[tokio::test]
async fn attack_50_a_tag_that_moves_meanwhile_is_what_it_was_when_it_was_looked_up() {
    let (first, second) = (COMPONENT.to_vec(), b"\0asm: another one".to_vec());
    let mut all = files(&manifest(&first), &[&first, &second]);
    all.retain(|path, _| path.contains("/blobs/"));
    let looked_up = AtomicUsize::new(0);
    let components = [first.clone(), second];
    let server = Server::start(move |_, asked| {
        if !asked.path.contains("/manifests/") {
            return found(&all, asked);
        }
        let turn = looked_up.fetch_add(1, Ordering::Relaxed).min(1);
        Reply::ok(MANIFEST, manifest(&components[turn]))
    })
    .await;
    let artifact = server.fetch().await.unwrap();
    assert_eq!(artifact.component, first);
    assert!(artifact.source.ends_with(&Digest::of(&manifest(&first)).to_string()), "{}", artifact.source);
    assert_eq!(server.asked().iter().filter(|asked| asked.path.contains("/manifests/")).count(), 1);
}

#[tokio::test]
async fn attack_50_a_manifest_in_the_place_of_a_layer_is_refused() {
    // The layer is the manifest that names it as far as size goes; its digest cannot be.
    let inner = manifest(COMPONENT);
    let server = Server::with(manifest(&inner), &[&inner]).await;
    // It is a layer like any other, and is then no component; a manifest that is served as another kind is none.
    assert_eq!(server.fetch().await.unwrap().component, inner);
    let server = Server::start(|_, _| Reply::ok("application/wasm", manifest(COMPONENT))).await;
    assert!(matches!(server.fetch().await, Err(RegistryError::Manifest(_))));
}

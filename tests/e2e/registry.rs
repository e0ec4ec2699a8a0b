//! Components from registries. What hostile ones try is tested beside the client; here is the way through the command.

use std::collections::HashMap;
use std::sync::Arc;

use saggar_harness::guests;
use saggar_model::{Digest, Outcome};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::stage::Stage;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry on this machine with one artifact, `acme/echo:1.0.0`; its address, and the manifest's digest.
async fn registry(component: Vec<u8>) -> (String, Digest) {
    let manifest = json!({
        "schemaVersion": 2,
        "config": {
            "mediaType": "application/vnd.wasm.config.v0+json", "digest": Digest::of(b"{}"), "size": 2,
        },
        "layers": [{
            "mediaType": "application/wasm", "digest": Digest::of(&component), "size": component.len(),
        }],
    });
    let manifest = manifest.to_string().into_bytes();
    let digest = Digest::of(&manifest);
    let blob = format!("/v2/acme/echo/blobs/{}", Digest::of(&component));
    let files: Arc<HashMap<_, _>> = Arc::new(
        [
            ("/v2/acme/echo/manifests/1.0.0".to_owned(), (MANIFEST, manifest)),
            (blob, ("application/wasm", component)),
        ]
        .into(),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
    let address = listener.local_addr().expect("it has an address").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let files = files.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                let mut path = String::new();
                while stream.read_line(&mut line).await.is_ok_and(|count| count > 2) {
                    if path.is_empty() {
                        path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                    }
                    line.clear();
                }
                let (status, (kind, body)) = match files.get(&path) {
                    Some((kind, body)) => (200, (*kind, body.as_slice())),
                    None => (404, ("application/json", &b"{}"[..])),
                };
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
                );
                // Whoever has heard enough hangs up.
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(body).await;
            });
        }
    });
    (address, digest)
}

#[tokio::test]
async fn a_component_comes_from_a_registry_and_is_known_by_its_digest() {
    let (stage, _host) = Stage::with_host("registry", &[]).await;
    let component = std::fs::read(guests::path("echo")).unwrap();
    let (address, manifest) = registry(component.clone()).await;
    let reference = format!("oci://{address}/acme/echo:1.0.0");
    let pushed = stage.run(&["plugin", "push", &reference, "--output", "json"]).await.expect_code(0);
    let pushed: Value = serde_json::from_str(&pushed.text()).unwrap();
    let data = &pushed["data"];
    assert_eq!((data["name"].as_str(), data["version"].as_str()), (Some("echo"), Some("1.0.0")));
    assert_eq!(data["digest"], Digest::of(&component).to_string());
    let source = format!("oci://{address}/acme/echo@{manifest}");
    assert_eq!(data["source"], source);
    assert!(stage.run(&["plugin", "inspect", "echo@1.0.0"]).await.expect_code(0).text().contains(&source));

    let text = "[tenant]\nname = 'registry'\n[[queue]]\nname = 'echo'\nplugin = 'echo@1.0.0'\n";
    let file = stage.write("registry.toml", text).display().to_string();
    stage.run(&["apply", &file]).await.expect_code(0);
    stage.publish("echo", "a", "clay").await;
    assert_eq!(stage.result("echo", "a").await.outcome, Outcome::Succeeded);

    let file = stage.dir.path().join("pulled.wasm");
    let pull = ["plugin", "pull", &reference, "-o", &file.display().to_string()];
    stage.run(&pull).await.expect_code(0);
    assert_eq!(std::fs::read(&file).unwrap(), component);
}

#[tokio::test]
async fn attack_50_what_a_registry_serves_in_a_components_place_is_not_stored() {
    let stage = Stage::new("impostor").await;
    let (address, _) = registry(br#"{"schemaVersion":2}"#.to_vec()).await;
    let reference = |rest: &str| format!("oci://{address}/acme/echo{rest}");
    let refused = stage.run(&["plugin", "push", &reference(":1.0.0")]).await.expect_code(64);
    assert!(refused.stderr.contains("not WebAssembly"), "{}", refused.stderr);
    stage.run(&["plugin", "push", &reference(":2.0.0")]).await.expect_code(66);
    stage.run(&["plugin", "push", &reference(":1.0.0@sha256:abc")]).await.expect_code(2);
    stage.run(&["plugin", "push", "oci://127.0.0.1:1/acme/echo:1"]).await.expect_code(69);
    let listed = stage.run(&["plugin", "ls"]).await.expect_code(0);
    assert!(listed.stderr.contains("has no plugin"), "{}", listed.stderr);
}

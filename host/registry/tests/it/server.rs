//! A registry that says whatever a test has it say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use saggar_model::Digest;
use saggar_registry::{Artifact, Bounds, Credentials, Reference, Registry, RegistryError};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Longer than anything here takes that ends at all.
const SOON: Duration = Duration::from_secs(30);

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const COMPONENT: &[u8] = b"\0asm: not quite";

/// What is answered.
#[derive(Clone)]
pub enum Reply {
    /// This.
    Full { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// This, and then the piece over and over, with a pause between.
    Endless { head: String, piece: Vec<u8>, pause: Duration },
    /// Nothing.
    Silence,
}

impl Reply {
    pub fn ok(kind: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::status(200, &[("Content-Type", kind)], body)
    }

    pub fn status(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self::Full { status, headers, body: body.into() }
    }

    pub fn redirect(to: &str) -> Self {
        Self::status(307, &[("Location", to)], "")
    }

    async fn send(self, stream: &mut TcpStream) -> std::io::Result<()> {
        match self {
            Self::Full { status, headers, body } => {
                let mut head = format!("HTTP/1.1 {status} -\r\nContent-Length: {}\r\n", body.len());
                for (name, value) in headers {
                    head += &format!("{name}: {value}\r\n");
                }
                stream.write_all(format!("{head}\r\n").as_bytes()).await?;
                stream.write_all(&body).await
            }
            Self::Endless { head, piece, pause } => {
                stream.write_all(head.as_bytes()).await?;
                let mut beat = tokio::time::interval(pause.max(Duration::from_nanos(1)));
                loop {
                    if !pause.is_zero() {
                        beat.tick().await;
                    }
                    stream.write_all(&piece).await?;
                }
            }
            Self::Silence => std::future::pending().await,
        }
    }
}

/// What was asked: the path, and all headers.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub head: String,
}

type Answers = dyn Fn(&Asked) -> Reply + Send + Sync;

/// A server, and what it was asked.
pub struct Server {
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Answers each connection's request by `answers`, which is given the server's address, too.
    pub async fn start(answers: impl Fn(&str, &Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
        let address = listener.local_addr().expect("it has an address").to_string();
        let (asked, own): (Arc<Mutex<Vec<Asked>>>, _) = (Arc::default(), address.clone());
        let log = asked.clone();
        let answers: Arc<Answers> = Arc::new(move |asked| answers(&own, asked));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, answers.clone(), log.clone()));
            }
        });
        Self { address, asked, task }
    }

    /// A registry with this manifest as `app:1`, and these blobs.
    pub async fn with(manifest: Vec<u8>, blobs: &[&[u8]]) -> Self {
        let files = files(&manifest, blobs);
        Self::start(move |_, asked| found(&files, asked)).await
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics meanwhile").clone()
    }

    pub fn reference(&self, rest: &str) -> Reference {
        format!("oci://{}/acme/app{rest}", self.address).parse().expect("a test refers to something")
    }

    /// Fetches `app:1` as a command would, only less patiently.
    pub async fn fetch(&self) -> Result<Artifact, RegistryError> {
        self.fetch_as(":1", None).await
    }

    pub async fn fetch_as(
        &self,
        rest: &str,
        credentials: Option<Credentials>,
    ) -> Result<Artifact, RegistryError> {
        let bounds = Bounds {
            component: 1 << 20,
            manifest: 4 << 10,
            answer: Duration::from_millis(500),
            rate: 100_000,
            total: Duration::from_secs(10),
            redirects: 3,
        };
        let registry = Registry::new(bounds, credentials);
        tokio::time::timeout(SOON, registry.fetch(&self.reference(rest))).await.expect("a fetch ends")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, answers: Arc<Answers>, log: Arc<Mutex<Vec<Asked>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let asked = Asked { path, head };
    log.lock().expect("no test panics meanwhile").push(asked.clone());
    // Whoever has heard enough hangs up.
    let _ = answers(&asked).send(&mut stream).await;
}

/// What an honest registry has, by path.
pub type Files = HashMap<String, (String, Vec<u8>)>;

pub fn files(manifest: &[u8], blobs: &[&[u8]]) -> Files {
    let mut files = Files::new();
    for name in ["1".to_owned(), Digest::of(manifest).to_string()] {
        files.insert(format!("/v2/acme/app/manifests/{name}"), (MANIFEST.to_owned(), manifest.to_vec()));
    }
    for blob in blobs {
        let path = format!("/v2/acme/app/blobs/{}", Digest::of(blob));
        files.insert(path, ("application/octet-stream".to_owned(), blob.to_vec()));
    }
    files
}

pub fn found(files: &Files, asked: &Asked) -> Reply {
    files
        .get(&asked.path)
        .map_or_else(|| Reply::status(404, &[], "{}"), |(kind, bytes)| Reply::ok(kind, bytes.clone()))
}

/// The manifest of a component.
pub fn manifest(component: &[u8]) -> Vec<u8> {
    described(&json!(Digest::of(component)), &json!(component.len()))
}

/// A manifest that says this of its layer.
pub fn described(digest: &Value, size: &Value) -> Vec<u8> {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.wasm.config.v0+json", "digest": Digest::of(b"{}"), "size": 2,
        },
        "layers": [{ "mediaType": "application/wasm", "digest": digest, "size": size }],
    });
    manifest.to_string().into_bytes()
}

//! One request over one connection of its own: to an address that was checked, without following anything, within bounds.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, HOST, HeaderValue,
};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use saggar_model::escape_and_cut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::bounds::Bounds;
use crate::error::{Astray, RegistryError, astray};
use crate::origin::Reach;

/// Headers of an answer: registries send some twenty.
const HEADERS_MAX: usize = 100;

/// Bytes of an answer's headers.
const HEADERS_MAX_BYTES: usize = 64 << 10;

/// Bytes made room for before they have come.
const AT_FIRST_MAX: u64 = 1 << 20;

/// What is asked for.
pub(crate) struct Question<'a> {
    pub(crate) url: &'a Url,
    pub(crate) reach: Reach,
    /// The media type that is wanted.
    pub(crate) accept: &'static str,
    pub(crate) authorization: Option<HeaderValue>,
}

/// An answer of which the headers have come.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    host: String,
    body: Incoming,
    /// Drives the connection while the body is read.
    _connection: AbortOnDropHandle<()>,
}

/// Asks, and waits for the headers of the answer.
pub(crate) async fn ask(question: Question<'_>, bounds: &Bounds) -> Result<Answer, RegistryError> {
    let host = question.url.authority().to_owned();
    let slow = |doing| RegistryError::Slow { host: host.clone(), doing, after: bounds.answer };
    let stream = timeout(bounds.answer, connect(question.url, question.reach))
        .await
        .map_err(|_| slow("connecting"))??;
    if question.url.scheme() == "https" {
        let tls = timeout(bounds.answer, handshake(question.url, stream));
        let tls = tls.await.map_err(|_| slow("agreeing on TLS"))??;
        answer(tls, question, bounds).await
    } else {
        answer(stream, question, bounds).await
    }
}

async fn connect(url: &Url, reach: Reach) -> Result<TcpStream, RegistryError> {
    let host = url.authority();
    let unreachable = |reason: String| RegistryError::Unreachable { host: host.to_owned(), reason };
    let addresses: Vec<SocketAddr> = match (url.host(), url.port_or_known_default()) {
        (Some(url::Host::Domain(name)), Some(port)) => tokio::net::lookup_host((name, port))
            .await
            .map_err(|error| unreachable(error.to_string()))?
            .collect(),
        (Some(url::Host::Ipv4(address)), Some(port)) => vec![(address, port).into()],
        (Some(url::Host::Ipv6(address)), Some(port)) => vec![(address, port).into()],
        _ => Vec::new(),
    };
    reach.check(&addresses).map_err(|why| astray(host, host, why))?;
    // The addresses that were checked, and not the name once more, which could lead elsewhere by now.
    TcpStream::connect(&addresses[..]).await.map_err(|error| unreachable(error.to_string()))
}

async fn handshake(
    url: &Url,
    stream: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, RegistryError> {
    let unreachable =
        |reason: String| RegistryError::Unreachable { host: url.authority().to_owned(), reason };
    // Brackets belong to the URL, not to the address.
    let name = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(name).map_err(|error| unreachable(error.to_string()))?;
    let connector = TlsConnector::from(authorities().map_err(unreachable)?);
    connector.connect(name, stream).await.map_err(|error| unreachable(error.to_string()))
}

/// Whom this machine trusts to say who a server is. Read once: it may take a tenth of a second.
fn authorities() -> Result<Arc<ClientConfig>, String> {
    static READ: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    READ.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        if roots.add_parsable_certificates(found.certs).0 == 0 {
            return Err(
                "this machine has no certificates of authorities; SSL_CERT_FILE names a file with some"
                    .to_owned(),
            );
        }
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    })
    .clone()
}

async fn answer<S>(stream: S, question: Question<'_>, bounds: &Bounds) -> Result<Answer, RegistryError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let host = question.url.authority().to_owned();
    let failed =
        |error: hyper::Error| RegistryError::Unreachable { host: host.clone(), reason: error.to_string() };
    let asking = async {
        let (mut sender, connection) = http1::Builder::new()
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEADERS_MAX_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        let connection = AbortOnDropHandle::new(tokio::spawn(async move { _ = connection.await }));
        let response = sender.send_request(request(&question)?).await.map_err(failed)?;
        let (parts, body) = response.into_parts();
        let (status, headers) = (parts.status, parts.headers);
        Ok(Answer { status, headers, host: host.clone(), body, _connection: connection })
    };
    timeout(bounds.answer, asking).await.unwrap_or_else(|_| {
        Err(RegistryError::Slow { host: host.clone(), doing: "answering", after: bounds.answer })
    })
}

fn request(question: &Question<'_>) -> Result<Request<Empty<Bytes>>, RegistryError> {
    let url = question.url;
    let mut path = url.path().to_owned();
    if let Some(query) = url.query() {
        path = format!("{path}?{query}");
    }
    // Without a default port, as every browser has it.
    let host = url.port().map_or_else(
        || url.host_str().unwrap_or_default().to_owned(),
        |port| format!("{}:{port}", url.host_str().unwrap_or_default()),
    );
    let mut request = Request::get(path)
        .header(HOST, host)
        .header(ACCEPT, question.accept)
        // What comes compressed could be a thousand times as much.
        .header(ACCEPT_ENCODING, "identity");
    if let Some(authorization) = &question.authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    request.body(Empty::new()).map_err(|_| astray(url.authority(), url.as_str(), Astray::NoUrl))
}

impl Answer {
    /// A header, as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The answer's bytes: at most so many, at a steady pace.
    pub(crate) async fn read(
        self,
        what: &'static str,
        most: u64,
        bounds: &Bounds,
    ) -> Result<Bytes, RegistryError> {
        let Self { headers, host, mut body, _connection, .. } = self;
        let encoded = headers.get_all(CONTENT_ENCODING).iter().find(|encoding| *encoding != "identity");
        if let Some(encoding) = encoded {
            let encoding = escape_and_cut(&String::from_utf8_lossy(encoding.as_bytes()), 64);
            return Err(RegistryError::Encoded { what, encoding });
        }
        let too_large = RegistryError::TooLarge { what, most };
        let announced =
            headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|announced| announced > most) {
            return Err(too_large);
        }
        let at_first = announced.unwrap_or(0).min(AT_FIRST_MAX);
        let mut bytes = Vec::with_capacity(usize::try_from(at_first).unwrap_or(0));
        let begun = Instant::now();
        loop {
            let patience = bounds.patience(bytes.len() as u64);
            let Ok(frame) = timeout_at(begun + patience, body.frame()).await else {
                return Err(RegistryError::Slow { host, doing: "sending", after: patience });
            };
            let Some(frame) = frame else { return Ok(bytes.into()) };
            let frame = frame.map_err(|error| RegistryError::Unreachable {
                host: host.clone(),
                reason: format!("the {what} was cut short: {error}"),
            })?;
            let Some(data) = frame.data_ref() else { continue };
            if (bytes.len() + data.len()) as u64 > most {
                return Err(too_large);
            }
            bytes.extend_from_slice(data);
        }
    }
}

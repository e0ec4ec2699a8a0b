//! A connection to an address that was checked.

use std::error::Error as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use saggar_model::{HttpDenial, HttpFailure, HttpGrant, HttpHost, HttpTarget, Missing};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::egress::Shared;
use crate::request_body::RequestBody;

/// Addresses that are tried, in the order of the answer: who has more has more trouble than one request can mend.
const TRIED: usize = 4;

/// Headers of a response. Their bytes are bounded as well.
const HEADERS_MAX: usize = 128;

/// Bytes that wait for the guest to read them, or for the network to take them.
const BUFFER_MAX: usize = 64 << 10;

/// A connection and the task that moves its bytes, which ends with it.
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<RequestBody>,
    pub(crate) opened: Instant,
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    /// Connects to a target, at an address that the grant permits.
    ///
    /// # Errors
    /// The name has no address, or one that is not permitted, or nobody answers there who is who they should be.
    pub(crate) async fn open(
        shared: &Shared,
        grant: &HttpGrant,
        target: &HttpTarget,
        within: Duration,
    ) -> Result<Self, HttpFailure> {
        let addresses = match &target.host {
            HttpHost::Address(address) => vec![*address],
            HttpHost::Name(name) => shared.resolver.addresses(name, shared.bounds.lookup).await?,
        };
        // One forbidden address among others is a trick or a mistake, and the next answer may begin with it.
        for address in &addresses {
            check(grant, target, *address)?;
        }
        let connecting = Self::connect(shared, target, &addresses, within);
        tokio::time::timeout(within, connecting).await.map_err(|_| HttpFailure::ConnectTimedOut)?
    }

    async fn connect(
        shared: &Shared,
        target: &HttpTarget,
        addresses: &[IpAddr],
        within: Duration,
    ) -> Result<Self, HttpFailure> {
        let tried = addresses.len().clamp(1, TRIED);
        let share = within / u32::try_from(tried).unwrap_or(1);
        let mut failure = HttpFailure::LookupFailed;
        for address in addresses.iter().take(tried) {
            let connecting = TcpStream::connect(SocketAddr::new(*address, target.port));
            failure = match tokio::time::timeout(share, connecting).await {
                Ok(Ok(stream)) => return Self::begin(shared, target, stream).await,
                Ok(Err(error)) => refused(&error),
                Err(_) => HttpFailure::ConnectTimedOut,
            };
        }
        Err(failure)
    }

    async fn begin(shared: &Shared, target: &HttpTarget, stream: TcpStream) -> Result<Self, HttpFailure> {
        // Small requests should not wait for company. Where it cannot be set, they do.
        let _ = stream.set_nodelay(true);
        if target.tls {
            Self::over(shared, shared.tls.handshake(&target.host, stream).await?).await
        } else {
            Self::over(shared, stream).await
        }
    }

    async fn over(
        shared: &Shared,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Self, HttpFailure> {
        let mut builder = Builder::new();
        builder
            .max_headers(HEADERS_MAX)
            .max_header_size(shared.bounds.response_head)
            .max_buf_size(BUFFER_MAX);
        let (sender, driver) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|error| failure_of(&error))?;
        let driver = tokio::spawn(async move {
            // What goes wrong is told to the request that it goes wrong for.
            let _ = driver.await;
        });
        Ok(Self { sender, opened: Instant::now(), _driver: AbortOnDropHandle::new(driver) })
    }
}

fn check(grant: &HttpGrant, target: &HttpTarget, address: IpAddr) -> Result<(), HttpFailure> {
    if grant.permits_address(address) {
        return Ok(());
    }
    let is = saggar_model::forbidden_address(address).unwrap_or("forbidden");
    let missing = Missing::Address { address, is };
    Err(HttpFailure::Denied(Box::new(HttpDenial::Target { target: target.clone(), missing })))
}

fn refused(error: &io::Error) -> HttpFailure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => HttpFailure::ConnectionRefused,
        io::ErrorKind::TimedOut => HttpFailure::ConnectTimedOut,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => HttpFailure::Terminated,
        _ => HttpFailure::Unreachable,
    }
}

/// What an error of the protocol means to a guest.
pub(crate) fn failure_of(error: &hyper::Error) -> HttpFailure {
    if let Some(failure) = error.source().and_then(|source| source.downcast_ref::<HttpFailure>()) {
        // The body of the request could not go on.
        return failure.clone();
    }
    if error.is_parse_too_large() {
        HttpFailure::ResponseHeadersTooLarge
    } else if error.is_parse() {
        HttpFailure::Protocol
    } else {
        let invalid = |source: &(dyn std::error::Error + 'static)| {
            let broken = [io::ErrorKind::InvalidData, io::ErrorKind::InvalidInput];
            source.downcast_ref::<io::Error>().is_some_and(|error| broken.contains(&error.kind()))
        };
        // Broken chunks are reported as broken input; everything else is a connection that ended.
        if error.source().is_some_and(invalid) { HttpFailure::Protocol } else { HttpFailure::Terminated }
    }
}

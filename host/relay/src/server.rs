//! Reaching a server: its address, the connection to it, and its first word.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use url::Url;

use crate::filter::{LINE_MAX, line_end};
use crate::info::Info;
use crate::tls::TlsFiles;

/// Where servers listen unless they say otherwise.
const PORT_DEFAULT: u16 = 4222;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    host: String,
    port: u16,
    /// It is spoken to over TLS, whether it asks for it or not.
    wants_tls: bool,
}

/// An address that leads to no server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(String);

impl AddressError {
    pub(crate) fn no_port(error: io::Error) -> Self {
        Self(format!("no port to listen on at 127.0.0.1: {error}"))
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("nats://{text}")) };
        let url = url.map_err(|error| AddressError(format!("NATS server URL is invalid: {error}")))?;
        let wants_tls = match url.scheme() {
            "nats" => false,
            "tls" => true,
            other => {
                return Err(AddressError(format!(
                    "invalid scheme for NATS server URL: {other}; use nats or tls"
                )));
            }
        };
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(AddressError("NATS server URL names no host".to_owned()));
        }
        Ok(Self { host, port: url.port().unwrap_or(PORT_DEFAULT), wants_tls })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A connection to a server that has said who it is.
pub(crate) struct Server {
    pub(crate) stream: ServerStream,
    pub(crate) info: Info,
    /// What it has said since.
    pub(crate) rest: Vec<u8>,
}

/// The bytes to and from a server.
pub(crate) enum ServerStream {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl Server {
    /// Connects, to the first of the host's addresses that answers.
    pub(crate) async fn reach(address: &Address, tls: &TlsFiles) -> io::Result<Self> {
        let mut stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
        stream.set_nodelay(true)?;
        let (line, rest) = read_line(&mut stream).await?;
        let info = line.strip_prefix(b"INFO ").and_then(Info::read);
        let info =
            info.ok_or_else(|| io::Error::other("it is no NATS server: it does not begin with INFO"))?;
        let stream = if address.wants_tls || info.wants_tls {
            if !rest.is_empty() {
                return Err(io::Error::other("it speaks before the handshake"));
            }
            ServerStream::Encrypted(Box::new(tls.handshake(&address.host, stream).await?))
        } else {
            ServerStream::Plain(stream)
        };
        Ok(Self { stream, info, rest })
    }
}

/// Reads up to the end of a line. What has come behind it is given as well.
pub(crate) async fn read_line(stream: &mut TcpStream) -> io::Result<(Vec<u8>, Vec<u8>)> {
    const PIECE: usize = 4096;
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = line_end(&bytes) {
            let rest = bytes.split_off(end + 2);
            bytes.truncate(end);
            return Ok((bytes, rest));
        }
        if bytes.len() > LINE_MAX {
            return Err(io::Error::other("its first line does not end"));
        }
        bytes.reserve(PIECE);
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it says nothing"));
        }
    }
}

impl AsyncRead for ServerStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Encrypted(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ServerStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Encrypted(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Encrypted(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Encrypted(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_nats_commands_write_them() {
        let read = |text: &str| text.parse::<Address>().map(|read| (read.to_string(), read.wants_tls));
        assert_eq!(read("nats://127.0.0.1:4333"), Ok(("127.0.0.1:4333".to_owned(), false)));
        assert_eq!(read("tls://user:pass@nats.example"), Ok(("nats.example:4222".to_owned(), true)));
        assert_eq!(read("host:1"), Ok(("host:1".to_owned(), false)));
        assert_eq!(read("nats://[::1]:5"), Ok(("::1:5".to_owned(), false)));
        for wrong in ["ws://host", "wss://host:443", "http://host", "nats://", "nats://host:99999"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

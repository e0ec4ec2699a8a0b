//! A line between a host and a server that can be cut, silenced and slowed down.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What passes at once.
const CHUNK: usize = 64 << 10;

/// How the line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// As if it were not there.
    Open,
    /// Whatever passes takes so much longer.
    Slow(Duration),
    /// Nothing passes; nobody is told.
    Silent,
    /// Connections are closed, and new ones at once.
    Cut,
}

/// A listener that passes everything on to one server, as its line allows. It goes on for as long as this lives.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    /// Every connection holds the other end.
    line: watch::Sender<Line>,
}

impl Proxy {
    /// Listens on a free port for connections to `server`.
    pub async fn to(server: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (line, state) = watch::channel(Line::Open);
        tokio::spawn(listen(listener, server, state));
        Ok(Self { address, line })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the line, for connections that there are and those to come.
    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

async fn listen(listener: TcpListener, server: SocketAddr, line: watch::Receiver<Line>) {
    let mut gone = line.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Whoever could change the line is gone.
            _ = gone.wait_for(|_| false) => return,
        };
        let Ok((client, _)) = accepted else { continue };
        if *line.borrow() == Line::Cut {
            continue;
        }
        tokio::spawn(connect(client, server, line.clone()));
    }
}

async fn connect(client: TcpStream, server: SocketAddr, line: watch::Receiver<Line>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    // What is sent in small pieces is to arrive in small pieces, as it would without the proxy.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // When one direction ends, both do.
    tokio::select! {
        () = pass(from_client, to_server, line.clone()) => {}
        () = pass(from_server, to_client, line) => {}
    }
}

/// Passes bytes on until an end closes or the line is cut.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut line: watch::Receiver<Line>) {
    let mut cut = line.clone();
    let passing = async {
        let mut chunk = vec![0; CHUNK];
        loop {
            let Ok(read @ 1..) = from.read(&mut chunk).await else { return };
            let Ok(now) = line.wait_for(|line| *line != Line::Silent).await.map(|line| *line) else { return };
            if let Line::Slow(by) = now {
                tokio::time::sleep(by).await;
            }
            if to.write_all(&chunk[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = passing => {}
        _ = cut.wait_for(|line| *line == Line::Cut) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    /// A server that sends back what it gets, a line to it, and a connection through that.
    async fn echo() -> (Proxy, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut read, mut write) = stream.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut read, &mut write).await });
            }
        });
        let proxy = Proxy::to(server).await.unwrap();
        let stream = TcpStream::connect(proxy.address()).await.unwrap();
        (proxy, stream)
    }

    async fn there_and_back(stream: &mut TcpStream) -> Option<u8> {
        stream.write_all(b"x").await.ok()?;
        stream.read_u8().await.ok()
    }

    #[tokio::test]
    async fn a_slow_line_takes_longer_both_ways() {
        let (proxy, mut stream) = echo().await;
        assert_eq!(there_and_back(&mut stream).await, Some(b'x'));
        proxy.set(Line::Slow(Duration::from_millis(30)));
        let began = Instant::now();
        assert_eq!(there_and_back(&mut stream).await, Some(b'x'));
        assert!(began.elapsed() >= Duration::from_millis(60), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_line_that_is_cut_ends_connections_and_takes_none() {
        let (proxy, mut stream) = echo().await;
        assert_eq!(there_and_back(&mut stream).await, Some(b'x'));
        proxy.set(Line::Cut);
        assert!(tokio::time::timeout(SOON, stream.read_u8()).await.unwrap().is_err());
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(tokio::time::timeout(SOON, refused.read_u8()).await.unwrap().is_err());
        proxy.set(Line::Open);
        let mut again = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(tokio::time::timeout(SOON, there_and_back(&mut again)).await.unwrap(), Some(b'x'));
    }

    #[tokio::test]
    async fn what_a_silent_line_got_arrives_when_it_is_open_again() {
        let (proxy, mut stream) = echo().await;
        proxy.set(Line::Silent);
        stream.write_all(b"x").await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await.is_err());
        proxy.set(Line::Open);
        assert_eq!(tokio::time::timeout(SOON, stream.read_u8()).await.unwrap().unwrap(), b'x');
    }
}

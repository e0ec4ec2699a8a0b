//! Carrying bytes between the client and its server, both ways at once, until one of them ends.
//!
//! What is read is written before more is read: whoever is slow slows the other down, and nothing piles up here.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::filter::{Filter, Step};
use crate::info::Info;
use crate::server::ServerStream;

/// Bytes read at once, with room for as many each way. Of large messages a quarter of this costs a third more processor
/// time, and four times as much saves nothing.
const PIECE: usize = 256 << 10;

/// How long the last words may take to arrive, once one of the two has ended.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// Carries until one of the two ends, and passes on what was said before that. `rest` is what the server has already said.
pub(crate) async fn carry(
    client: &mut TcpStream,
    server: ServerStream,
    filter: Filter,
    rest: Vec<u8>,
    hear: impl FnMut(&Info),
) -> io::Result<()> {
    let (from_client, mut to_client) = client.split();
    match server {
        ServerStream::Plain(mut server) => {
            let (from_server, mut to_server) = server.split();
            both(from_client, &mut to_client, from_server, &mut to_server, filter, rest, hear).await
        }
        ServerStream::Encrypted(server) => {
            let (from_server, mut to_server) = tokio::io::split(server);
            both(from_client, &mut to_client, from_server, &mut to_server, filter, rest, hear).await
        }
    }
}

async fn both(
    from_client: impl AsyncRead + Unpin,
    to_client: &mut (impl AsyncWrite + Unpin),
    from_server: impl AsyncRead + Unpin,
    to_server: &mut (impl AsyncWrite + Unpin),
    filter: Filter,
    rest: Vec<u8>,
    hear: impl FnMut(&Info),
) -> io::Result<()> {
    let mut down = std::pin::pin!(down(from_server, to_client, filter, rest, hear));
    let up = async {
        let mut from_client = from_client;
        let sent = up(&mut from_client, to_server).await;
        if sent.is_ok() {
            // The client is gone, and nobody reads what the server may still say.
            timeout(LINGER, to_server.shutdown()).await.ok();
        }
        sent
    };
    tokio::select! {
        ended = &mut down => ended,
        sent = up => match sent {
            Ok(()) => Ok(()),
            // The server is gone; why, it may have said before.
            Err(error) => timeout(LINGER, down).await.unwrap_or(Err(error)),
        },
    }
}

/// From client to server, everything, until the client ends.
async fn up(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let bytes = match from.read(&mut piece).await {
            Ok(0) | Err(_) => return Ok(()),
            Ok(bytes) => bytes,
        };
        to.write_all(&piece[..bytes]).await?;
        to.flush().await?;
    }
}

/// From server to client, through the filter, until the server ends.
async fn down(
    mut from: impl AsyncRead + Unpin,
    to: &mut (impl AsyncWrite + Unpin),
    mut filter: Filter,
    rest: Vec<u8>,
    mut hear: impl FnMut(&Info),
) -> io::Result<()> {
    let mut held = rest;
    let mut filled = held.len();
    held.resize(filled.max(PIECE), 0);
    loop {
        // Up to `at` is decided on; of that, up to `sent` is written.
        let (mut sent, mut at) = (0, 0);
        let needed = loop {
            let (taken, with) = match filter.step(&held[at..filled]).map_err(io::Error::other)? {
                Step::Pass(bytes) => {
                    at += bytes;
                    continue;
                }
                Step::More(needed) => break needed,
                Step::Replace(taken, with) => (taken, with),
                Step::Info(taken, info) => {
                    hear(&info);
                    (taken, info.line)
                }
            };
            to.write_all(&held[sent..at]).await?;
            to.write_all(&with).await?;
            at += taken;
            sent = at;
        };
        to.write_all(&held[sent..at]).await?;
        held.copy_within(at..filled, 0);
        filled -= at;
        make_room(&mut held, filled, needed);
        match from.read(&mut held[filled..]).await? {
            0 => return Ok(()),
            bytes => filled += bytes,
        }
    }
}

/// Room for what is needed beside what is there; and no longer what one large message has needed.
fn make_room(held: &mut Vec<u8>, filled: usize, needed: usize) {
    let wanted = if needed > PIECE { needed.max(2 * filled) } else { PIECE };
    if held.len() < wanted || (held.len() > wanted && filled <= PIECE && needed <= PIECE) {
        held.resize(wanted, 0);
        held.shrink_to_fit();
    }
}

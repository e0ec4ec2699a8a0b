//! One connection of the client, from its arrival at the relay to its end.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::connect::introduced;
use crate::filter::Filter;
use crate::pump::{LINGER, carry};
use crate::relay::Shared;
use crate::server::{Address, Server, ServerStream, read_line};

/// A client that has shown who it is, and the server it is to talk to.
pub(crate) struct Session {
    client: TcpStream,
    stream: ServerStream,
    filter: Filter,
    rest: Vec<u8>,
    address: Address,
}

impl Session {
    /// Finds a server for a client, and out whether it is ours.
    pub(crate) async fn open(shared: &Shared, mut client: TcpStream) -> io::Result<Self> {
        let until = Instant::now() + shared.settings.patience;
        client.set_nodelay(true)?;
        let (address, server) = reach(shared, until).await?;
        let Server { mut stream, info, rest } = server;
        let greeting = async {
            client.write_all(&info.line).await?;
            let (line, more) = read_line(&mut client).await?;
            let over_tls = matches!(stream, ServerStream::Encrypted(_));
            let line = introduced(&line, &shared.secret, &shared.settings.name, over_tls)
                .ok_or_else(|| io::Error::other("somebody else has connected"))?;
            stream.write_all(&[line, more].concat()).await?;
            stream.flush().await
        };
        timeout_at(until, greeting).await??;
        let filter = Filter::new(&shared.settings.inboxes);
        Ok(Self { client, stream, filter, rest, address })
    }

    /// Carries what the two say to each other, to its end.
    pub(crate) async fn run(self, shared: &Shared) -> io::Result<()> {
        let Self { mut client, stream, filter, rest, address } = self;
        let carried = carry(&mut client, stream, filter, rest, |info| {
            let mut roster = shared.roster();
            roster.hear(&info.others);
            if info.leaves {
                roster.failed(&address);
            }
        });
        let carried = carried.await;
        // What the server said last arrives only if nothing is left unread that the client said meanwhile.
        let ending = async {
            client.shutdown().await?;
            tokio::io::copy(&mut client, &mut tokio::io::sink()).await
        };
        timeout(LINGER, ending).await.ok();
        carried
    }
}

/// The first server that answers. Each gets its part of the time, so that one that is silent does not take all of it.
async fn reach(shared: &Shared, until: Instant) -> io::Result<(Address, Server)> {
    const PARTS: u32 = 3;
    let order = shared.roster().order();
    let each = if order.len() > 1 { shared.settings.patience / PARTS } else { Duration::MAX };
    let mut failures = Vec::new();
    for address in order {
        let reaching = timeout(each, Server::reach(&address, &shared.settings.tls));
        let failure = match timeout_at(until, reaching).await {
            Ok(Ok(Ok(server))) => {
                let mut roster = shared.roster();
                roster.succeeded(&address);
                roster.hear(&server.info.others);
                if server.info.leaves {
                    roster.failed(&address);
                }
                drop(roster);
                shared.reached(None);
                return Ok((address, server));
            }
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(_)) | Err(_) => "it does not answer".to_owned(),
        };
        shared.roster().failed(&address);
        failures.push(format!("{address}: {failure}"));
        if Instant::now() >= until {
            break;
        }
    }
    let failures = failures.join("; ");
    shared.reached(Some(failures.clone()));
    Err(io::Error::other(failures))
}

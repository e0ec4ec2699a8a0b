//! A client that writes the protocol of NATS by hand, because no library would write what it writes.

use std::time::Duration;

use nkeys::KeyPair;
use saggar_harness::now_or_panic;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::stage::SOON;

/// A connection to a server.
pub struct Wire {
    lines: BufReader<OwnedReadHalf>,
    to: OwnedWriteHalf,
}

impl Wire {
    /// Connects, as nobody or as the owner of a seed, perhaps one that a JWT belongs to. The error is the server's word.
    pub async fn connect(url: &str, seed: Option<&str>, jwt: Option<&str>) -> Result<Self, String> {
        let address = url.strip_prefix("nats://").expect("it is a server's address");
        let (from, to) = TcpStream::connect(address).await.map_err(|error| error.to_string())?.into_split();
        let mut wire = Self { lines: BufReader::new(from), to };
        let info = wire.line().await?;
        let info: Value = serde_json::from_str(info.strip_prefix("INFO ").ok_or(&info)?).expect("it is JSON");
        let mut connect =
            json!({ "verbose": false, "pedantic": false, "headers": true, "no_responders": true });
        if let Some(seed) = seed {
            let key = KeyPair::from_seed(seed).expect("it is a seed");
            let signature =
                key.sign(info["nonce"].as_str().unwrap_or_default().as_bytes()).expect("it can sign");
            connect["sig"] =
                base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, signature).into();
            match jwt {
                Some(jwt) => connect["jwt"] = jwt.into(),
                None => connect["nkey"] = key.public_key().into(),
            }
        }
        wire.say(format!("CONNECT {connect}\r\n").as_bytes()).await;
        wire.heard_of().await?;
        Ok(wire)
    }

    /// Writes bytes as they are.
    pub async fn say(&mut self, bytes: &[u8]) {
        // A server that has closed the connection says why to whoever reads.
        self.to.write_all(bytes).await.ok();
    }

    /// Publishes a message with headers as they are.
    pub async fn publish(&mut self, subject: &[u8], headers: &[u8], payload: &[u8]) {
        let lengths = format!(" {} {}\r\n", headers.len(), headers.len() + payload.len());
        self.say(&[b"HPUB ", subject, lengths.as_bytes(), headers, payload, b"\r\n"].concat()).await;
    }

    /// Waits until the server has dealt with everything that was said. The error is its complaint.
    pub async fn heard_of(&mut self) -> Result<(), String> {
        self.say(b"PING\r\n").await;
        loop {
            match self.line().await? {
                line if line == "PONG" => return Ok(()),
                line if line.starts_with("-ERR") => return Err(line),
                _ => {}
            }
        }
    }

    /// The next line; the error says that there is none.
    pub async fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        let reading = self.lines.read_until(b'\n', &mut line);
        match now_or_panic("a word of the server", SOON, reading).await {
            Ok(0) => Err("the connection is closed".to_owned()),
            Ok(_) => Ok(String::from_utf8_lossy(&line).trim_end().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Longer than a task of a neighbour takes while somebody floods the server, on a machine that does ten other things.
pub const BESIDE_A_FLOOD: Duration = Duration::from_secs(20);

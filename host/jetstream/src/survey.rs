//! What `saggar doctor` reads of NATS: facts, no judgements. Each reading is bounded, and what cannot be read is absent.

use std::time::{Duration, SystemTime};

use saggar_model::TenantRecord;
use saggar_model::checkup::{Rules, ServerSettings, StreamFacts, Sync};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::api::RequestError;
use crate::difference::{of_consumers, of_streams};
use crate::provision::{ProvisionError, Provisioner};
use crate::{Difference, Nats, clock, layout};

/// How long a question may take that the server may not want to answer.
const ASK: Duration = Duration::from_secs(2);

/// The most that a server says of its settings.
const ANSWER_MAX: u64 = 1 << 20;

/// How far the clocks are apart, and how far the reading may be off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    /// Between the server's clock and ours.
    pub apart: Duration,
    /// Half of the time that asking took.
    pub about: Duration,
}

/// How a tenant's streams differ from what they should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// Streams and consumers that were looked at.
    pub looked_at: usize,
    /// Settings that differ.
    pub settings: Vec<Difference>,
    /// What is not there.
    pub missing: Vec<String>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    total: usize,
    streams: Option<Vec<Listed>>,
}

#[derive(Deserialize)]
struct Listed {
    config: ListedConfig,
    state: ListedState,
    cluster: Option<ListedCluster>,
}

#[derive(Deserialize)]
struct ListedConfig {
    name: String,
    #[serde(default)]
    num_replicas: u32,
    #[serde(default)]
    max_bytes: i64,
}

#[derive(Deserialize)]
struct ListedState {
    #[serde(default)]
    consumer_count: u32,
}

#[derive(Deserialize)]
struct ListedCluster {
    replicas: Option<Vec<Peer>>,
}

#[derive(Deserialize)]
struct Peer {
    #[serde(default)]
    current: bool,
    #[serde(default)]
    offline: bool,
}

#[derive(Deserialize)]
struct Told {
    data: User,
}

#[derive(Deserialize)]
struct User {
    permissions: Option<Permissions>,
}

#[derive(Deserialize, Default)]
struct Permissions {
    publish: Option<Patterns>,
    subscribe: Option<Patterns>,
}

#[derive(Deserialize, Default)]
struct Patterns {
    allow: Option<Vec<String>>,
    deny: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Jetstream {
    config: JetstreamConfig,
}

#[derive(Deserialize)]
struct JetstreamConfig {
    max_storage: u64,
    /// Nanoseconds.
    #[serde(default)]
    sync_interval: u64,
    #[serde(default)]
    sync_always: bool,
}

impl Nats {
    /// Saggar's own streams, buckets and stores.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn list_streams(&self) -> Result<Vec<StreamFacts>, RequestError> {
        let (mut found, mut listed) = (Vec::new(), 0);
        loop {
            let body = serde_json::json!({ "offset": listed });
            let Page { total, streams } = self.ask("listing streams", "STREAM.LIST", &body).await?;
            let page = streams.unwrap_or_default();
            listed += page.len();
            let last = page.is_empty() || listed >= total;
            found.extend(page.into_iter().filter(|it| is_ours(&it.config.name)).map(facts));
            if last {
                return Ok(found);
            }
        }
    }

    /// How far this machine's clock is from the server's; nothing if the server does not say what time it is.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn skew(&self) -> Result<Option<Skew>, RequestError> {
        let Some(clock::Told { time: theirs, at, about }) = self.told_time().await? else { return Ok(None) };
        let ours = SystemTime::now() - at.elapsed();
        let apart = theirs.duration_since(ours).or_else(|_| ours.duration_since(theirs)).unwrap_or_default();
        Ok(Some(Skew { apart, about }))
    }

    /// What this connection's user may publish and subscribe to; nothing if the server does not say.
    pub async fn rules(&self) -> Option<(Rules, Rules)> {
        let asking = self.request("asking who we are", "$SYS.REQ.USER.INFO", None, "".into(), ASK);
        let told: Told = serde_json::from_slice(&asking.await.ok()?.payload).ok()?;
        let Permissions { publish, subscribe } = told.data.permissions.unwrap_or_default();
        let rules = |patterns: Option<Patterns>| {
            let Patterns { allow, deny } = patterns.unwrap_or_default();
            Rules { allow: allow.unwrap_or_default(), deny: deny.unwrap_or_default() }
        };
        Some((rules(publish), rules(subscribe)))
    }

    /// What answers to this connection go to, without the part that differs each time.
    #[must_use]
    pub fn inbox(&self) -> String {
        let inbox = self.client().new_inbox();
        inbox.rsplit_once('.').map_or(inbox.clone(), |(prefix, _)| prefix.to_owned())
    }

    /// The server's settings, if this connection belongs to its system account; few do.
    pub async fn server_settings(&self) -> Option<ServerSettings> {
        #[derive(Deserialize)]
        struct Answer {
            data: Jetstream,
        }
        let subject = "$SYS.REQ.SERVER.PING.JSZ";
        let answer = self.request("asking for settings", subject, None, "".into(), ASK).await.ok()?;
        serde_json::from_slice::<Answer>(&answer.payload).ok().map(|answer| settings(&answer.data))
    }
}

/// The settings of the server whose monitoring listens on this `host:port`; nothing if it does not answer.
pub async fn monitored(address: &str) -> Option<ServerSettings> {
    let asking = async {
        let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
        let request = format!("GET /jsz HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer).await.ok()?;
        let body = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        serde_json::from_slice::<Jetstream>(&answer[body..]).ok()
    };
    tokio::time::timeout(ASK, asking).await.ok().flatten().map(|answer| settings(&answer))
}

impl Provisioner {
    /// How a tenant's streams and consumers differ from what they should be.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn differences(&self, record: &TenantRecord) -> Result<Differences, ProvisionError> {
        let mut found = Differences::default();
        let streams = self.wanted_streams(record);
        for wanted in &streams {
            found.looked_at += 1;
            match self.stream(&wanted.name).await {
                Ok(info) => found.settings.extend(of_streams(&info.config, wanted)),
                Err(error) if error.is_not_found() => found.missing.push(wanted.name.clone()),
                Err(source) => return Err(ProvisionError::at(&wanted.name)(source)),
            }
        }
        for wanted in self.stores(record) {
            // Each is made when it is first needed.
            match self.stream(&wanted.name).await {
                Ok(info) => {
                    found.looked_at += 1;
                    found.settings.extend(of_streams(&info.config, &wanted));
                }
                Err(error) if error.is_not_found() => {}
                Err(source) => return Err(ProvisionError::at(&wanted.name)(source)),
            }
        }
        let tasks = &streams[0].name;
        for (name, queue) in &record.spec.queues {
            let (wanted, place) =
                (layout::queue_consumer(record, name, queue), format!("{tasks}, consumer {name}"));
            match self.consumer(tasks, name.as_str()).await {
                Ok(info) => found.settings.extend(of_consumers(tasks, &info.config, &wanted)),
                Err(error) if error.is_not_found() => found.missing.push(place),
                Err(source) => return Err(ProvisionError::at(&place)(source)),
            }
        }
        Ok(found)
    }
}

fn is_ours(name: &str) -> bool {
    ["SAGGAR_", "KV_saggar", "OBJ_saggar"].iter().any(|prefix| name.starts_with(prefix))
}

fn facts(listed: Listed) -> StreamFacts {
    let Listed { config, state, cluster } = listed;
    let peers = cluster.and_then(|cluster| cluster.replicas).unwrap_or_default();
    let behind = peers.iter().filter(|peer| peer.offline || !peer.current).count();
    StreamFacts {
        name: config.name,
        replicas: config.num_replicas.max(1),
        behind: u32::try_from(behind).unwrap_or(u32::MAX),
        consumers: state.consumer_count,
        reserved: u64::try_from(config.max_bytes).unwrap_or(0),
    }
}

fn settings(answer: &Jetstream) -> ServerSettings {
    /// What a server does that was told nothing.
    const DEFAULT: Duration = Duration::from_mins(2);
    let JetstreamConfig { max_storage, sync_interval, sync_always } = answer.config;
    let sync = match (sync_always, sync_interval) {
        (true, _) => Sync::Always,
        (false, 0) => Sync::Every(DEFAULT),
        (false, nanos) => Sync::Every(Duration::from_nanos(nanos)),
    };
    ServerSettings { sync, max_file_store: max_storage }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_settings_are_read_as_it_writes_them() {
        let read = |text: &str| settings(&serde_json::from_str(text).unwrap());
        let always = read(r#"{"config":{"max_storage":7,"sync_interval":120000000000,"sync_always":true}}"#);
        assert_eq!(always, ServerSettings { sync: Sync::Always, max_file_store: 7 });
        let other = read(r#"{"config":{"max_storage":7,"sync_interval":5000000000}}"#);
        assert_eq!(other.sync, Sync::Every(Duration::from_secs(5)));
        assert_eq!(read(r#"{"config":{"max_storage":7}}"#).sync, Sync::Every(Duration::from_mins(2)));
    }

    #[test]
    fn a_listed_stream_says_who_is_behind() {
        let text = r#"{"config":{"name":"SAGGAR_STATE","num_replicas":3,"max_bytes":-1},"state":{"consumer_count":2},
            "cluster":{"replicas":[{"current":true},{"current":false,"offline":true}]}}"#;
        let listed = facts(serde_json::from_str(text).unwrap());
        assert_eq!((listed.replicas, listed.behind, listed.consumers, listed.reserved), (3, 1, 2, 0));
        assert!(is_ours("KV_saggar-acme-kv") && !is_ours("ORDERS"));
    }
}

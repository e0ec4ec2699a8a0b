//! Which hosts live: each keeps a record that dies with it.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use saggar_model::TrustedKeys;
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::api::RequestError;
use crate::bucket::Bucket;
use crate::hold::{Hold, Holder};
use crate::{Fault, Nats, layout};

/// How often a host says that it lives: five times before it would be believed dead.
pub const HEARTBEAT: Duration = Duration::from_secs(2);

/// How long a record must stay silent before a host of the same name takes it over: two heartbeats and a bit.
pub const SILENCE: Duration = Duration::from_secs(5);

/// How often a record is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(250);

/// Longest name, that of a DNS name.
const NAME_MAX_BYTES: usize = 253;

/// What a host says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostInfo {
    /// Its name.
    pub name: String,
    /// Which process it is; made anew by [`Hosts::join`].
    pub instance: String,
    /// Its release of Saggar.
    pub version: String,
    /// Tasks it runs at once.
    pub slots: u32,
    /// Guest memory it gives at once, in bytes.
    pub memory: u64,
    /// When it started, in Unix milliseconds.
    pub started_at: u64,
    /// It takes no more tasks and is about to leave.
    pub draining: bool,
    /// The keys of which one must have signed a plugin for this host to run it; absent: it runs any plugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trusted_keys: Option<TrustedKeys>,
}

/// Why a host could not join.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// A live host has that name.
    #[error(
        "a host named {name} is running already (release {}, {} slots); give this one another name with host.name or \
         SAGGAR_HOST__NAME", .other.version, .other.slots
    )]
    NameTaken {
        /// The name.
        name: String,
        /// What the other says of itself.
        other: Box<HostInfo>,
    },
    /// The name cannot be a host's.
    #[error(
        "`{name}` cannot be a host's name: use letters, digits, `-`, `_` and `.`, and begin with a letter or digit"
    )]
    BadName {
        /// The name, escaped.
        name: String,
    },
    /// NATS refused or did not answer.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl JoinError {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::NameTaken { .. } => Fault::Conflict,
            Self::BadName { .. } => Fault::Invalid,
            Self::Request(error) => error.fault(),
        }
    }
}

/// Whether a host's record is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was renewed when it was last tried.
    Member,
    /// It could not be renewed, NATS being away. It is tried on.
    Silent,
    /// Another process has it. It is not tried any more.
    TakenOver,
}

/// All live hosts.
#[derive(Debug, Clone)]
pub struct Hosts {
    bucket: Bucket,
}

const DOING: &str = "saying that this host lives";

impl Hosts {
    /// The hosts of this NATS. [`crate::Provisioner::ensure_common`] makes their bucket.
    #[must_use]
    pub fn new(nats: &Nats) -> Self {
        Self { bucket: Bucket::new(nats, layout::HOSTS_BUCKET) }
    }

    /// All live hosts, by name. One that was killed is among them for up to [`layout::HOST_TTL`].
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn list(&self) -> Result<Vec<HostInfo>, RequestError> {
        let entries = self.bucket.list("listing hosts", ">").await?;
        let mut hosts: Vec<HostInfo> = entries
            .iter()
            // Names beginning with `_` are leases.
            .filter(|entry| !entry.key.starts_with('_'))
            .filter_map(|entry| serde_json::from_slice(&entry.value).ok())
            .collect();
        hosts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(hosts)
    }

    /// The names of all live hosts, in one answer; those that left some seconds ago may be among them.
    ///
    /// # Errors
    /// NATS does not answer.
    pub async fn names(&self) -> Result<Vec<String>, RequestError> {
        let mut names = self.bucket.keys("looking for hosts").await?;
        names.retain(|name| !name.starts_with('_'));
        Ok(names)
    }

    /// Joins under `info.name`, and keeps the record alive until [`Membership::leave`].
    ///
    /// A record of that name is watched for [`SILENCE`]; if nobody renews it, its host was killed, and this one
    /// takes its place.
    ///
    /// # Errors
    /// [`JoinError::NameTaken`] if somebody does renew it; NATS refused or did not answer.
    pub async fn join(&self, mut info: HostInfo) -> Result<Membership, JoinError> {
        check_name(&info.name)?;
        info.instance = format!("{:016x}", rand::random::<u64>());
        let mut hold = Hold {
            bucket: self.bucket.clone(),
            key: info.name.clone(),
            instance: info.instance.clone(),
            revision: None,
        };
        let value = encoded(&info);
        while let Holder::Other(entry) = hold.renew(DOING, &value).await? {
            self.outwait(&info.name, entry.revision).await?;
            if hold.take_over(DOING, &value, entry.revision).await? {
                break;
            }
        }
        let (standing, watched) = watch::channel(Standing::Member);
        let (update, updates) = watch::channel(info);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(heartbeat(hold, updates, standing, stopped));
        Ok(Membership { standing: watched, update, stop: Some(stop), task: Some(task) })
    }

    /// Waits until nobody has renewed a record for [`SILENCE`], or it is gone.
    async fn outwait(&self, name: &str, revision: u64) -> Result<(), JoinError> {
        let end = Instant::now() + SILENCE;
        let mut look = tokio::time::interval(LOOK);
        while Instant::now() < end {
            look.tick().await;
            match self.bucket.get("watching a host of the same name", name).await? {
                None => return Ok(()),
                Some(entry) if entry.revision == revision => {}
                Some(entry) => {
                    let other = Box::new(serde_json::from_slice(&entry.value).unwrap_or_default());
                    return Err(JoinError::NameTaken { name: name.to_owned(), other });
                }
            }
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), JoinError> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fits = (1..=NAME_MAX_BYTES).contains(&name.len())
        && name.bytes().all(inner)
        && name.as_bytes()[0].is_ascii_alphanumeric()
        && !name.ends_with('.')
        && !name.contains("..");
    if fits { Ok(()) } else { Err(JoinError::BadName { name: saggar_model::escape_and_cut(name, 64) }) }
}

/// A host's place among the living.
///
/// Dropping it ends the heartbeats; the record dies [`layout::HOST_TTL`] later.
#[derive(Debug)]
pub struct Membership {
    standing: watch::Receiver<Standing>,
    update: watch::Sender<HostInfo>,
    /// The heartbeat's task holds the other end.
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Membership {
    /// Whether the record is ours, as it changes.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// What the host says of itself.
    #[must_use]
    pub fn info(&self) -> HostInfo {
        self.update.borrow().clone()
    }

    /// Changes what the host says of itself, from the next moment on. Name and instance stay.
    pub fn set_draining(&self, draining: bool) {
        self.update.send_modify(|info| info.draining = draining);
    }

    /// Removes the record, so that everybody knows at once and the name is free.
    pub async fn leave(mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
        if let Some(task) = self.task.take() {
            task.await.ok();
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn heartbeat(
    mut hold: Hold,
    mut updates: watch::Receiver<HostInfo>,
    standing: watch::Sender<Standing>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut beat = tokio::time::interval(HEARTBEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat.reset();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            _ = beat.tick() => {}
            changed = updates.changed() => if changed.is_err() { return },
        }
        let value = encoded(&updates.borrow_and_update());
        let renewed = {
            let mut renewing = pin!(hold.renew(DOING, &value));
            tokio::select! {
                renewed = &mut renewing => renewed,
                _ = &mut stopped => {
                    // Given up half way, the record would have a revision that nobody here knows, and stay.
                    let _ = tokio::time::timeout(HEARTBEAT, renewing).await;
                    break;
                }
            }
        };
        let now = match renewed {
            Ok(Holder::Us) => Standing::Member,
            Ok(Holder::Other(_)) => Standing::TakenOver,
            Err(error) => {
                tracing::warn!(%error, "this host could not say that it lives");
                Standing::Silent
            }
        };
        standing.send_if_modified(|standing| std::mem::replace(standing, now) != now);
        if now == Standing::TakenOver {
            tracing::error!(host = hold.key, "another host runs under this host's name");
            return;
        }
    }
    let leaving = hold.release("leaving the hosts");
    if !matches!(tokio::time::timeout(HEARTBEAT, leaving).await, Ok(Ok(()))) {
        tracing::debug!("this host's record is left to die by itself");
    }
}

fn encoded(info: &HostInfo) -> Bytes {
    serde_json::to_vec(info).expect("the record has string keys only").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_name_is_one_that_a_bucket_takes() {
        for good in ["host-1", "Host_1.example.org", "7"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "_leader", "-a", "a b", "a..b", "a.", "a*", ">", "ä", &"x".repeat(254)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}

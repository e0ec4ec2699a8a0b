//! One leader among the hosts, for what only one should do at a time.
//!
//! A lease limits waste, it excludes nothing: a leader that was stopped for a while may believe for a moment longer.
//! Whatever leaders do must bear being done twice.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::bucket::Bucket;
use crate::hold::{Hold, Holder};
use crate::hosts::HEARTBEAT;
use crate::{Nats, layout};

/// The lease's key. No host can be called that.
const KEY: &str = "_leader";

/// How long a leader trusts a renewal, counted from before it was asked for: less than the record lives.
const TRUST: Duration = layout::HOST_TTL.saturating_sub(HEARTBEAT);

const DOING: &str = "renewing the leader's lease";

/// A candidacy, and the leadership when it succeeds.
#[derive(Debug)]
pub struct Lease {
    /// When the last renewal that succeeded began; nothing while another leads.
    renewed: watch::Receiver<Option<Instant>>,
    /// The campaign's task holds the other end.
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Lease {
    /// Begins to campaign for `host`, for as long as the lease exists. If nobody leads, it leads within moments; if a
    /// leader dies, within [`layout::HOST_TTL`] and a heartbeat.
    #[must_use]
    pub fn campaign(nats: &Nats, host: &str) -> Self {
        let instance = format!("{:016x}", rand::random::<u64>());
        let value = Bytes::from(serde_json::json!({ "name": host, "instance": instance }).to_string());
        let bucket = Bucket::new(nats, layout::HOSTS_BUCKET);
        let hold = Hold { bucket, key: KEY.to_owned(), instance, revision: None };
        let (renewed, watched) = watch::channel(None);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(hold, value, renewed, stopped));
        Self { renewed: watched, stop: Some(stop), task: Some(task) }
    }

    /// Whether this host leads.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.renewed.borrow().is_some_and(|at| at.elapsed() < TRUST)
    }

    /// Waits until this host leads.
    pub async fn elected(&mut self) {
        // An error would mean that the campaign is over, and then nobody is elected.
        if self.renewed.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Gives the lease up, so that another can lead at once.
    pub async fn resign(mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
        if let Some(task) = self.task.take() {
            task.await.ok();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn run(
    mut hold: Hold,
    value: Bytes,
    renewed: watch::Sender<Option<Instant>>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut beat = tokio::time::interval(HEARTBEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            _ = beat.tick() => {}
        }
        let began = Instant::now();
        let result = tokio::select! {
            result = hold.renew(DOING, &value) => result,
            _ = &mut stopped => break,
        };
        match result {
            Ok(Holder::Us) => {
                renewed.send_replace(Some(began));
            }
            Ok(Holder::Other(_)) => {
                renewed.send_replace(None);
            }
            // The last renewal counts until its trust is used up.
            Err(error) => tracing::debug!(%error, "the lease was not renewed"),
        }
    }
    renewed.send_replace(None);
    let resigning = hold.release("giving up the leader's lease");
    if !matches!(tokio::time::timeout(HEARTBEAT, resigning).await, Ok(Ok(()))) {
        tracing::debug!("the lease is left to die by itself");
    }
}

//! Derives streams, subjects and consumers from the tenants' records, and keeps the schedules and the accounts. One host
//! does it at a time, and whatever it does can be done again.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use saggar_jetstream::{
    Lease, Nats, Provisioner, Schedules, StoredSchedule, Stores, TenantChange, TenantEntry, Tenants,
};
use saggar_model::{TenantName, TenantRecord};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::bookkeeper::Bookkeeper;
use crate::books::Books;
use crate::mend::Mender;
use crate::metrics::Metrics;
use crate::schedules;

/// How often everything is derived again: puts right what somebody removed by hand, and what failed.
const DERIVE_AGAIN: Duration = Duration::from_secs(30);

/// So many tenants are derived again at a time, and after so long the next. Each takes a dozen requests: a thousand at
/// once, twice a minute, cost an idle server a tenth of a core, and delay a busy one.
const AT_A_TIME: usize = 30;
const NEXT: Duration = Duration::from_secs(3);

/// How often a follower looks whether it leads by now, and a leader whether it still does.
const LOOK: Duration = Duration::from_secs(1);

/// What failed is tried again after this, sooner than all the rest.
const RETRY: Duration = Duration::from_secs(2);

/// Campaigns, and leads when it is elected, until `stop`.
pub(crate) async fn lead(
    nats: Nats,
    host: String,
    provisioner: Provisioner,
    stores: Stores,
    books: Books,
    metrics: Metrics,
    stop: CancellationToken,
) {
    let mender = Mender::new(&nats, &host, provisioner.clone(), stores, books, metrics);
    let bookkeeper = Bookkeeper::new(&nats);
    let mut lease = Lease::campaign(&nats, &host);
    let records = Records {
        tenants: Tenants::new(&nats),
        provisioner,
        schedules: Schedules::new(&nats),
        nats: nats.clone(),
        rescheduled: Notify::new(),
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = lease.elected() => {}
        }
        tracing::info!(%host, "leading: deriving streams from the tenants' records");
        tokio::select! {
            () = stop.cancelled() => break,
            () = records.derive(&lease) => {}
            () = schedules::keep(&nats, &lease, &records.rescheduled) => {}
            // These go on for as long as this host leads.
            () = mender.mend() => {}
            () = bookkeeper.keep() => {}
        }
        tracing::info!(%host, "no longer leading");
        tokio::time::sleep(LOOK).await;
    }
    lease.resign().await;
}

/// Tenants that are derived again, a few at a time.
struct Round {
    begun: Instant,
    left: VecDeque<TenantName>,
    /// Those that failed: they come again sooner, and keep no round from its end.
    failed: VecDeque<TenantName>,
}

impl Round {
    fn new(now: Instant) -> Self {
        Self { begun: now, left: VecDeque::new(), failed: VecDeque::new() }
    }

    /// Begins the next one with these, if all have had their turn and it is time.
    fn go_on<'a>(&mut self, tenants: impl Iterator<Item = &'a TenantName>, now: Instant) {
        if self.left.is_empty() && now.saturating_duration_since(self.begun) >= DERIVE_AGAIN {
            (self.begun, self.left) = (now, tenants.cloned().collect());
        }
    }

    /// Whose turn it is, some of those that failed among them.
    fn next_few(&mut self) -> Vec<TenantName> {
        let few = |of: &mut VecDeque<TenantName>| of.drain(..of.len().min(AT_A_TIME)).collect::<Vec<_>>();
        [few(&mut self.failed), few(&mut self.left)].concat()
    }

    /// A tenant has to be tried again.
    fn failed(&mut self, tenant: &TenantName) {
        if !self.failed.contains(tenant) {
            self.failed.push_back(tenant.clone());
        }
    }
}

/// The tenants' records, and what is derived from them.
struct Records {
    nats: Nats,
    tenants: Tenants,
    provisioner: Provisioner,
    schedules: Schedules,
    /// Whoever keeps the schedules waits at the other end.
    rescheduled: Notify,
}

impl Records {
    /// Follows the records for as long as this host leads.
    async fn derive(&self, lease: &Lease) {
        let mut changes = self.tenants.watch();
        let mut records: HashMap<TenantName, TenantEntry> = HashMap::new();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round = Round::new(Instant::now());
        let mut again = tokio::time::interval(NEXT);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        again.reset();
        while lease.is_leader() {
            tokio::select! {
                Some(change) = changes.next() => match change {
                    Ok(TenantChange::Put(entry)) => {
                        let stored = self.stored(Some(&entry.record.spec.name)).await;
                        if !self.ensure(&entry.record, stored.as_deref()).await {
                            round.failed(&entry.record.spec.name);
                            again.reset_after(RETRY);
                        }
                        self.remove(&entry).await;
                        records.insert(entry.record.spec.name.clone(), *entry);
                    }
                    Ok(TenantChange::Removed(tenant)) => {
                        records.remove(&tenant);
                    }
                    Ok(TenantChange::UpToDate) => {}
                    Err(error) => tracing::debug!(%error, "following the tenants' records"),
                },
                _ = again.tick() => {
                    if let Err(error) = self.provisioner.ensure_usage().await {
                        tracing::error!(%error, "what is used cannot be written down");
                        again.reset_after(RETRY);
                    }
                    round.go_on(records.keys(), Instant::now());
                    let few = round.next_few();
                    if few.is_empty() {
                        continue;
                    }
                    // Once for all of them.
                    let stored = self.stored(None).await;
                    for tenant in few {
                        let Some(TenantEntry { record, .. }) = records.get(&tenant) else { continue };
                        if !self.ensure(record, stored.as_deref()).await {
                            round.failed(&tenant);
                            again.reset_after(RETRY);
                        }
                    }
                }
                _ = look.tick() => {
                    for entry in records.values() {
                        self.remove(entry).await;
                    }
                }
            }
        }
    }

    /// The schedules of a tenant, or of all; nothing if they cannot be read now.
    async fn stored(&self, tenant: Option<&TenantName>) -> Option<Vec<StoredSchedule>> {
        match self.schedules.list(tenant).await {
            Ok((stored, _)) => Some(stored),
            Err(error) => {
                tracing::debug!(%error, "the schedules could not be read");
                None
            }
        }
    }

    /// Makes everything what the record says; false if something has to be tried again.
    async fn ensure(&self, record: &TenantRecord, stored: Option<&[StoredSchedule]>) -> bool {
        let tenant = &record.spec.name;
        let ensured = self.provisioner.ensure_tenant(record).await;
        if let Err(error) = &ensured {
            tracing::error!(%tenant, %error, "the tenant's streams are not as they should be");
        }
        let Some(stored) = stored else { return false };
        let followed = self.schedules.follow(record, stored, self.nats.now()).await;
        match &followed {
            Ok(true) => self.rescheduled.notify_one(),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%tenant, %error, "the schedules of the tenant's file are not kept yet");
            }
        }
        ensured.is_ok() && followed.is_ok()
    }

    /// Goes on with what is on its way out. The mark in the record goes last.
    async fn remove(&self, entry: &TenantEntry) {
        let TenantEntry { record, revision } = entry;
        if record.removal.is_nothing() {
            return;
        }
        let tenant = &record.spec.name;
        let round = match self.provisioner.remove(record).await {
            Ok(round) => round,
            Err(error) => return tracing::warn!(%tenant, %error, "what is on its way out is still there"),
        };
        let forgotten = if round.tenant_is_gone {
            tracing::info!(%tenant, "the tenant is gone, with everything it had");
            self.tenants.remove(tenant, *revision).await
        } else if round.gone.is_empty() || record.removal.tenant {
            return;
        } else {
            tracing::info!(%tenant, queues = ?round.gone, "queues are gone, with everything they held");
            let forget = |record: &mut TenantRecord| {
                record.removal.queues.retain(|queue| !round.gone.contains(queue));
                Ok::<_, Infallible>(())
            };
            self.tenants.change(tenant, forget).await.map(|_| ())
        };
        if let Err(error) = forgotten {
            tracing::warn!(%tenant, %error, "what is gone is still marked as on its way out");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenants(count: usize) -> Vec<TenantName> {
        (0..count).map(|number| format!("tenant-{number}").parse().expect("a name")).collect()
    }

    #[test]
    fn a_round_takes_a_few_at_a_time_and_begins_no_sooner_than_twice_a_minute() {
        let (begun, all) = (Instant::now(), tenants(70));
        let mut round = Round::new(begun);
        round.go_on(all.iter(), begun + NEXT);
        assert_eq!(round.next_few(), []);
        round.go_on(all.iter(), begun + DERIVE_AGAIN);
        let few: Vec<usize> = (0..4).map(|_| round.next_few().len()).collect();
        assert_eq!(few, [30, 30, 10, 0]);
    }

    #[test]
    fn whoever_fails_all_the_time_keeps_nobody_else_from_a_turn() {
        let (mut now, all) = (Instant::now(), tenants(70));
        let mut round = Round::new(now);
        let mut turns: HashMap<TenantName, u32> = HashMap::new();
        // Five minutes and the end of a round, in which half of them fail.
        for _ in 0..155 {
            now += RETRY;
            round.go_on(all.iter(), now);
            for tenant in round.next_few() {
                if all.iter().position(|one| *one == tenant).is_some_and(|at| at < 35) {
                    round.failed(&tenant);
                    round.failed(&tenant);
                }
                *turns.entry(tenant).or_default() += 1;
            }
            assert!(round.failed.len() <= 35);
        }
        assert!(all[35..].iter().all(|tenant| turns[tenant] == 10), "{turns:?}");
        assert!(all[..35].iter().all(|tenant| turns[tenant] > 50), "{turns:?}");
    }
}

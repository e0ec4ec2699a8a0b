//! The books of this host: what it has to add to each tenant's account, written every few seconds.
//!
//! A book is opened before the first result names it, so that whoever finds this host lost knows where to look. From then
//! on a task costs no message more than its result.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures::{StreamExt as _, stream};
use saggar_jetstream::{BookRecord, Nats, StoredBook, UsageError, Usages};
use saggar_model::{Bill, BookId, Day, TenantName};
use tokio::sync::{Notify, OnceCell};
use tokio_util::sync::CancellationToken;

use crate::ledger::{Ledger, UnderWay};

/// How often what is new is written: as old as an account may be. A second would be a message for each tenant and
/// second, for nobody who could tell the difference.
const WRITE: Duration = Duration::from_secs(5);

/// Written at once; more would be no faster, and stand in the way of results.
const AT_ONCE: usize = 8;

/// So many results are not kept until then: a few megabytes, and the work of a second.
pub(crate) const WAITING_MAX: usize = 10_000;

/// Yesterday goes into the account within so long after midnight: not that of all tenants and all hosts at once.
const NIGHT: Duration = Duration::from_mins(30);

type Opening = Arc<OnceCell<Arc<Ledger>>>;

/// The books of a host. Clones share them.
#[derive(Clone)]
pub(crate) struct Books(Arc<Shelf>);

struct Shelf {
    nats: Nats,
    usages: Usages,
    host: String,
    /// Which process this host is.
    instance: String,
    opened: AtomicU64,
    open: Mutex<HashMap<TenantName, Opening>>,
    /// Books that lost sight of a result, until nothing else of theirs is under way.
    retired: Mutex<Vec<Arc<Ledger>>>,
    /// A book has so much in it that it must not wait.
    full: Notify,
}

impl Books {
    pub(crate) fn new(nats: &Nats, host: &str, instance: &str) -> Self {
        Self(Arc::new(Shelf {
            nats: nats.clone(),
            usages: Usages::new(nats),
            host: host.to_owned(),
            instance: instance.to_owned(),
            opened: AtomicU64::new(0),
            open: Mutex::default(),
            retired: Mutex::default(),
            full: Notify::new(),
        }))
    }

    /// A result of this tenant is about to be sent; nothing if its book has to be opened first.
    pub(crate) fn begin(&self, tenant: &TenantName) -> Option<UnderWay> {
        let opening = lock(&self.0.open).get(tenant).cloned()?;
        let ledger = opening.get()?;
        if ledger.waiting() >= WAITING_MAX {
            self.0.full.notify_one();
        }
        Some(UnderWay::begin(ledger.clone(), self.0.nats.clone()))
    }

    /// The same, and opens the book.
    pub(crate) async fn open(&self, tenant: &TenantName) -> Result<UnderWay, UsageError> {
        let ledger = self.ledger(tenant).await?;
        Ok(UnderWay::begin(ledger, self.0.nats.clone()))
    }

    /// Counts what no result shows. What cannot be counted is charged to nobody.
    pub(crate) async fn add(&self, tenant: &TenantName, bill: impl FnOnce(&str, SystemTime) -> Bill) {
        match self.ledger(tenant).await {
            Ok(ledger) => ledger.add(bill(&self.0.host, self.0.nats.now())),
            Err(error) => tracing::warn!(%tenant, %error, "what was spent is charged to nobody"),
        }
    }

    async fn ledger(&self, tenant: &TenantName) -> Result<Arc<Ledger>, UsageError> {
        let opening = lock(&self.0.open).entry(tenant.clone()).or_default().clone();
        opening.get_or_try_init(|| self.make(tenant)).await.cloned()
    }

    async fn make(&self, tenant: &TenantName) -> Result<Arc<Ledger>, UsageError> {
        let Shelf { usages, host, .. } = &*self.0;
        let through = match usages.last_result(tenant).await {
            // The tenant is being made, or removed.
            Err(error) if error.fault() == saggar_jetstream::Fault::NotFound => 0,
            last => last?,
        };
        let ledger = Ledger::new(tenant, self.next_id(), through);
        let record = ledger.record(host);
        // Tried again after a time-out it may be there, and nobody knows of it: another id, then.
        let revision = usages.put(tenant, &record, 0).await?;
        ledger.opened(revision);
        Ok(Arc::new(ledger))
    }

    fn next_id(&self) -> BookId {
        let number = self.0.opened.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number:x}", self.0.instance).parse().expect("an instance is hexadecimal")
    }

    /// Writes what is new every few seconds, and at `stop` puts everything into the accounts.
    pub(crate) async fn keep(self, stop: CancellationToken) {
        let mut write = tokio::time::interval(WRITE);
        write.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    self.write().await;
                    return self.close().await;
                }
                _ = write.tick() => {}
                () = self.0.full.notified() => {}
            }
            self.write().await;
        }
    }

    /// Writes what is new.
    pub(crate) async fn write(&self) {
        let open: Vec<_> = lock(&self.0.open).values().filter_map(|book| book.get().cloned()).collect();
        for ledger in open.iter().filter(|ledger| ledger.is_stuck()) {
            tracing::warn!(tenant = %ledger.tenant(), "a result was lost sight of: its book is left to the leader");
            lock(&self.0.open).remove(ledger.tenant());
            lock(&self.0.retired).push(ledger.clone());
        }
        let retired = lock(&self.0.retired).clone();
        let all = open.iter().filter(|ledger| !ledger.is_stuck()).chain(&retired);
        stream::iter(all).for_each_concurrent(AT_ONCE, |ledger| self.write_one(ledger)).await;
        lock(&self.0.retired).retain(|ledger| !ledger.is_retired());
    }

    /// Puts the books into the accounts, so that nobody has to look for results behind them. What this host is not sure
    /// of, or does not get done, is left to the leader.
    async fn close(&self) {
        let open: Vec<_> = lock(&self.0.open).values().filter_map(|book| book.get().cloned()).collect();
        let whole = open.iter().filter_map(|ledger| ledger.whole());
        let settling = stream::iter(whole).for_each_concurrent(AT_ONCE, async |book| {
            if let Err(error) = self.settle(&book).await {
                tracing::debug!(tenant = %book.tenant, %error, "a book of usage is left to the leader");
            }
        });
        settling.await;
    }

    /// Puts a book into the account, unless somebody has closed it who took this host for lost: days of it may be there
    /// already, and nobody remembers since when.
    async fn settle(&self, book: &StoredBook) -> Result<(), UsageError> {
        let usages = &self.0.usages;
        match usages.get(&book.tenant, book.record.id()).await? {
            Some(stored) if stored.revision == book.revision => usages.settle(&stored).await,
            _ => Ok(()),
        }
    }

    async fn write_one(&self, ledger: &Ledger) {
        let now = self.0.nats.now();
        let done = async {
            if self.is_night_over(ledger, now) {
                ledger.turn_to(Day::of(now));
            }
            self.write_draft(ledger).await?;
            if let Some((book, day)) = ledger.over() {
                self.0.usages.take_over(&book, day).await?;
                ledger.taken(day);
                self.write_draft(ledger).await?;
            }
            if ledger.is_stuck() && ledger.is_settled() {
                let record = BookRecord { retired: true, ..ledger.record(&self.0.host) };
                match self.0.usages.put(ledger.tenant(), &record, ledger.revision()).await {
                    // Or somebody has closed it, which is as good.
                    Ok(_) | Err(UsageError::Conflict { .. }) => ledger.set_retired(),
                    Err(error) => return Err(error),
                }
            }
            Ok::<_, UsageError>(())
        };
        if let Err(error) = done.await {
            tracing::warn!(tenant = %ledger.tenant(), %error, "a book of usage is written later");
        }
    }

    async fn write_draft(&self, ledger: &Ledger) -> Result<(), UsageError> {
        let Some(record) = ledger.draft(&self.0.host) else { return Ok(()) };
        match self.0.usages.put(ledger.tenant(), &record, ledger.revision()).await {
            Ok(revision) => {
                ledger.written(revision);
                Ok(())
            }
            Err(UsageError::Conflict { .. }) => self.reconcile(ledger).await,
            Err(error) => Err(error),
        }
    }

    /// Finds out who has written a book of this host: it itself, without being told, or somebody who thought that it
    /// was lost.
    async fn reconcile(&self, ledger: &Ledger) -> Result<(), UsageError> {
        let (usages, tenant) = (&self.0.usages, ledger.tenant());
        let (id, today) = (ledger.id(), Day::of(self.0.nats.now()));
        let closed = match usages.get(tenant, &id).await? {
            Some(stored) if !stored.record.page.closed => {
                ledger.is_stored(&stored.record.page, stored.revision);
                return Ok(());
            }
            Some(StoredBook { mut record, revision, .. }) => {
                if !record.page.continued {
                    record.page.continued = true;
                    usages.put(tenant, &record, revision).await?;
                }
                record.page
            }
            // Long ago: it is in the account already.
            None => ledger.closed_page(usages.taken_through(tenant, &id, [today, today.before()]).await?),
        };
        tracing::warn!(%tenant, "this host was taken for lost; its usage goes on in another book");
        // The same id as before, should this be the second try.
        let successor = ledger.successor(|| self.next_id());
        let record = ledger.continuing(&self.0.host, &successor, &closed);
        let revision = match usages.put(tenant, &record, 0).await {
            Err(UsageError::Conflict { .. }) => match usages.get(tenant, &successor).await? {
                Some(stored) => stored.revision,
                None => return Ok(()),
            },
            put => put?,
        };
        ledger.continued(successor, &closed, revision);
        Ok(())
    }

    /// Whether it is this book's time to close the days before.
    fn is_night_over(&self, ledger: &Ledger, now: SystemTime) -> bool {
        const DAY: u64 = 24 * 60 * 60;
        let mut hasher = DefaultHasher::new();
        (&self.0.instance, ledger.tenant()).hash(&mut hasher);
        let wait = hasher.finish() % NIGHT.as_secs();
        now.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since.as_secs() % DAY >= wait)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What goes on in an installation, look by look: hosts are asked what they have done, JetStream how full queues are.
//!
//! An idle tenant costs a line in a list every ten seconds; those with tasks a question each look.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant, SystemTime};

use futures::{StreamExt as _, TryStreamExt as _};
use saggar_jetstream::{Backlog, Control, Fault, HostInfo, Hosts, Nats, RequestError, Tenants};
use saggar_model::{
    Observed, Overview, Pulse, PulseRequest, QueueKey, Rates, Standing, TenantName, Weights, WorkDone,
};
use serde::Serialize;

use crate::failure::Failure;

/// How often tenants are read anew, and looked at whether they have tasks: what changes there is seen by then.
const LOOK_AROUND: Duration = Duration::from_secs(10);

/// How long hosts are waited for; they answer within milliseconds.
const PATIENCE: Duration = Duration::from_millis(800);

/// Questions under way at once.
const AT_ONCE: usize = 32;

/// The most tenants whose queues are looked at in one look, one question each.
const TENANTS_MAX: usize = 1024;

/// The most queues whose oldest task is looked up in one look: it comes as a whole, and may be a megabyte.
const OLDEST_MAX: usize = 128;

/// Over how long the rates in a list are taken: as long as a person hardly waits, and some tasks end in.
pub const LISTED: Duration = Duration::from_millis(500);

/// Looks again and again.
pub struct Observer {
    nats: Nats,
    /// The one tenant whose queues are looked at; otherwise all that have tasks.
    only: Option<TenantName>,
    around: Option<Around>,
    /// By instance.
    heard: HashMap<String, Heard>,
    /// Tenants whose queues had tasks at the last look.
    full: BTreeSet<TenantName>,
    /// The oldest task of a queue, for as long as it is the same.
    oldest: HashMap<QueueKey, Oldest>,
    looked_at: Option<Instant>,
}

/// What changes slowly.
struct Around {
    read_at: Instant,
    weights: BTreeMap<TenantName, Weights>,
    with_tasks: BTreeSet<TenantName>,
}

/// What a host said last.
struct Heard {
    at: Instant,
    age: Duration,
    /// Whether all queues are in it that ever did anything.
    whole: bool,
    work: HashMap<QueueKey, WorkDone>,
}

struct Oldest {
    backlog: Backlog,
    published: SystemTime,
}

/// What was seen in one look.
pub struct Seen {
    /// When.
    pub at: SystemTime,
    /// Since the look before; nothing at the first one, which knows no rates.
    pub interval: Option<Duration>,
    /// Tenants and queues that had anything to do.
    pub overview: Overview,
    /// The weights of all tenants.
    pub weights: BTreeMap<TenantName, Weights>,
    /// Hosts, by name.
    pub hosts: Vec<HostSeen>,
}

/// A host, as it was seen.
#[derive(Debug, Clone, Serialize)]
pub struct HostSeen {
    /// Its name.
    pub host: String,
    /// Whether it works.
    pub state: HostState,
    /// Tasks that it can hold.
    pub slots: u32,
    /// Tasks that it holds; absent if it did not answer, as the next three.
    pub running: Option<u32>,
    /// Guest memory that it has, in bytes.
    pub memory: u64,
    /// Guest memory that is given out, in bytes.
    pub memory_used: Option<u64>,
    /// Its processors.
    pub cores: Option<u32>,
    /// What it does per second.
    #[serde(flatten)]
    pub rates: Rates,
}

/// How a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HostState {
    /// It works.
    Active,
    /// It takes nothing more and is about to leave.
    Draining,
    /// It did not answer in time.
    Silent,
}

impl HostState {
    /// As people read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Silent => "silent",
        }
    }
}

impl Observer {
    /// An observer of this tenant's queues, or of all. The shares are of all hosts' time in either case.
    #[must_use]
    pub fn new(nats: &Nats, only: Option<TenantName>) -> Self {
        Self {
            nats: nats.clone(),
            only,
            around: None,
            heard: HashMap::new(),
            full: BTreeSet::new(),
            oldest: HashMap::new(),
            looked_at: None,
        }
    }

    /// Looks, waits for so long, and looks again, so that rates are known. Where no host runs there are none to wait for.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub async fn measure(&mut self, interval: Duration) -> Result<Seen, Failure> {
        let first = self.look().await?;
        if first.hosts.is_empty() {
            return Ok(first);
        }
        tokio::time::sleep(interval).await;
        self.look().await
    }

    /// Looks. Rates are those since the look before.
    ///
    /// # Errors
    /// NATS does not answer, or does not let us ask.
    pub async fn look(&mut self) -> Result<Seen, Failure> {
        self.look_around().await?;
        let now = Instant::now();
        let (hosts, rates) = self.listen().await?;
        let interval = self.looked_at.replace(now).map(|before| now - before);
        let standings = self.standings(&rates).await?;
        let around = self.around.as_ref();
        let observed = Observed {
            rates,
            standings,
            with_tasks: around.map(|around| around.with_tasks.clone()).unwrap_or_default(),
            weights: around.map(|around| around.weights.clone()).unwrap_or_default(),
        };
        let overview = Overview::of(&observed);
        Ok(Seen { at: SystemTime::now(), interval, overview, weights: observed.weights, hosts })
    }

    async fn look_around(&mut self) -> Result<(), Failure> {
        if self.around.as_ref().is_some_and(|around| around.read_at.elapsed() < LOOK_AROUND) {
            return Ok(());
        }
        // One that cannot be read counts as one of weight 1.
        let (entries, _unreadable) = match Tenants::new(&self.nats).snapshot().await {
            // The records' bucket is made by the first `apply`.
            Err(error) if error.fault() == Fault::NotFound => Default::default(),
            listed => listed?,
        };
        let weights = entries.into_iter().map(|entry| {
            let spec = entry.record.spec;
            let queues = spec.queues.into_iter().map(|(name, queue)| (name, queue.weight)).collect();
            (spec.name, Weights { tenant: spec.weight, queues })
        });
        let with_tasks = self.nats.tenants_with_tasks().await?;
        self.around = Some(Around { read_at: Instant::now(), weights: weights.collect(), with_tasks });
        Ok(())
    }

    /// Asks the hosts, and compares what they say with what they said before.
    async fn listen(&mut self) -> Result<(Vec<HostSeen>, BTreeMap<QueueKey, Rates>), Failure> {
        let infos = match Hosts::new(&self.nats).list().await {
            // Their bucket is made by the first host.
            Err(error) if error.fault() == Fault::NotFound => Vec::new(),
            listed => listed?,
        };
        let live: BTreeSet<String> = infos.iter().map(|info| info.instance.clone()).collect();
        self.heard.retain(|instance, _| live.contains(instance));
        let mut pulses = HashMap::new();
        let request = self.request();
        if !live.is_empty() {
            let answers = Control::new(&self.nats).pulses(&request, &live, PATIENCE).await?;
            pulses.extend(answers.into_iter().map(|pulse| (pulse.instance.clone(), pulse)));
        }
        let mut all = BTreeMap::new();
        let hosts = infos.into_iter().map(|info| {
            let pulse = pulses.remove(&info.instance);
            let mut rates = Rates::default();
            for (key, its) in pulse.iter().flat_map(|pulse| self.compare(pulse, request.since_ms.is_none())) {
                rates += its;
                *all.entry(key).or_insert_with(Rates::default) += its;
            }
            host_seen(info, pulse.as_ref(), rates)
        });
        Ok((hosts.collect(), all))
    }

    /// All is asked for as long as there is a host of which not all was heard.
    fn request(&self) -> PulseRequest {
        let whole = !self.heard.is_empty() && self.heard.values().all(|heard| heard.whole);
        let longest = self.heard.values().map(|heard| heard.at.elapsed().as_millis()).max().unwrap_or(0);
        PulseRequest { since_ms: whole.then(|| u64::try_from(longest).unwrap_or(u64::MAX)) }
    }

    /// What a host's queues have done since it was heard last. `whole` says that all were asked for.
    fn compare(&mut self, pulse: &Pulse, whole: bool) -> Vec<(QueueKey, Rates)> {
        let age = Duration::from_micros(pulse.age_us);
        let works = pulse.queues.iter().map(|its| ((its.tenant.clone(), its.queue.clone()), its.work));
        let Some(heard) = self.heard.get_mut(&pulse.instance).filter(|heard| heard.whole) else {
            let heard = Heard { at: Instant::now(), age, whole, work: works.collect() };
            self.heard.insert(pulse.instance.clone(), heard);
            return Vec::new();
        };
        let within = age.saturating_sub(heard.age);
        let rates = works.map(|(key, work)| {
            let before = heard.work.insert(key.clone(), work).unwrap_or_default();
            (key, Rates::of(work.since(before), within))
        });
        let rates = rates.collect();
        (heard.at, heard.age) = (Instant::now(), age);
        rates
    }

    /// How full the queues are of those tenants that have tasks.
    async fn standings(
        &mut self,
        rates: &BTreeMap<QueueKey, Rates>,
    ) -> Result<BTreeMap<QueueKey, Standing>, Failure> {
        let tenants = self.to_be_looked_at(rates);
        let found: Vec<_> = futures::stream::iter(tenants)
            .map(|tenant| backlogs_of(self.nats.clone(), tenant))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let backlogs: BTreeMap<QueueKey, Backlog> = found.into_iter().flatten().collect();
        let is_full = |its: &Backlog| its.pending > 0 || its.running > 0;
        self.full = backlogs.iter().filter(|(_, its)| is_full(its)).map(|(key, _)| key.0.clone()).collect();
        self.look_up_oldest(&backlogs).await?;
        let now = self.nats.now();
        let standing = |(key, its): (QueueKey, Backlog)| {
            let oldest = self.oldest.get(&key).map(|oldest| now.duration_since(oldest.published));
            let oldest = oldest.map(Result::unwrap_or_default);
            (key, Standing { pending: its.pending, running: its.running, oldest })
        };
        Ok(backlogs.into_iter().map(standing).collect())
    }

    fn to_be_looked_at(&self, rates: &BTreeMap<QueueKey, Rates>) -> Vec<TenantName> {
        if let Some(only) = &self.only {
            return vec![only.clone()];
        }
        // Those first that are most at work: they are looked at should there be too many.
        let mut at_work: Vec<_> = rates.iter().filter(|(_, rates)| rates.is_some()).collect();
        at_work.sort_by(|(_, a), (_, b)| b.processors.total_cmp(&a.processors));
        let at_work = at_work.into_iter().map(|(key, _)| &key.0);
        let with_tasks = self.around.iter().flat_map(|around| &around.with_tasks);
        let mut known = BTreeSet::new();
        let each = at_work.chain(&self.full).chain(with_tasks).filter(|tenant| known.insert(*tenant));
        each.take(TENANTS_MAX).cloned().collect()
    }

    /// Looks for the oldest task of each queue in which some wait, unless it is the one it was.
    async fn look_up_oldest(&mut self, backlogs: &BTreeMap<QueueKey, Backlog>) -> Result<(), Failure> {
        self.oldest.retain(|key, its| backlogs.get(key).is_some_and(|now| is_same(its.backlog, *now)));
        let wanted = backlogs.iter().filter(|(key, its)| its.pending > 0 && !self.oldest.contains_key(*key));
        let mut wanted: Vec<_> = wanted.map(|(key, its)| (key.clone(), *its)).collect();
        wanted.sort_by_key(|(_, its)| std::cmp::Reverse(its.pending));
        wanted.truncate(OLDEST_MAX);
        let found: Vec<_> = futures::stream::iter(wanted)
            .map(|(key, backlog)| oldest_of(self.nats.clone(), key, backlog))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        self.oldest.extend(found.into_iter().flatten());
        Ok(())
    }
}

async fn backlogs_of(nats: Nats, tenant: TenantName) -> Result<Vec<(QueueKey, Backlog)>, RequestError> {
    let backlogs = nats.backlogs(&tenant).await?;
    Ok(backlogs.into_iter().map(|(queue, its)| ((tenant.clone(), queue), its)).collect())
}

async fn oldest_of(
    nats: Nats,
    key: QueueKey,
    backlog: Backlog,
) -> Result<Option<(QueueKey, Oldest)>, RequestError> {
    match nats.first_published(&key.0, &key.1, backlog.delivered).await {
        // The stream went meanwhile.
        Err(error) if error.fault() == Fault::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(found) => Ok(found.map(|published| (key, Oldest { backlog, published }))),
    }
}

/// Whether the oldest task is the same: none was delivered, and none was removed.
fn is_same(before: Backlog, now: Backlog) -> bool {
    before.delivered == now.delivered && now.pending >= before.pending && now.pending > 0
}

fn host_seen(info: HostInfo, pulse: Option<&Pulse>, rates: Rates) -> HostSeen {
    HostSeen {
        host: info.name,
        state: match pulse {
            None => HostState::Silent,
            Some(_) if info.draining => HostState::Draining,
            Some(_) => HostState::Active,
        },
        slots: info.slots,
        running: pulse.map(|pulse| pulse.running),
        memory: info.memory,
        memory_used: pulse.map(|pulse| pulse.memory),
        cores: pulse.map(|pulse| pulse.cores),
        rates,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_task_is_looked_up_again_when_one_was_delivered_or_removed() {
        let before = Backlog { pending: 5, running: 1, delivered: 10 };
        assert!(is_same(before, Backlog { pending: 9, ..before }), "more have come");
        assert!(!is_same(before, Backlog { delivered: 11, ..before }));
        assert!(!is_same(before, Backlog { pending: 4, ..before }), "purged");
        assert!(!is_same(Backlog { pending: 0, ..before }, Backlog { pending: 0, ..before }));
    }
}

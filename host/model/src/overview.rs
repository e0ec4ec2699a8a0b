//! What goes on: tenants, queues and hosts in one interval, made of what hosts counted and what JetStream holds.
//!
//! A tenant's share is its part of the time for which guests computed, on all hosts; its entitlement is its part of the
//! weights of those tenants that had anything to do.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::time::Duration;

use serde::Serialize;

use crate::{QueueName, TenantName, WorkDone};

/// A queue, with its tenant.
pub type QueueKey = (TenantName, QueueName);

/// What was done per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Rates {
    /// Tasks that ended, per second.
    pub rate: f64,
    /// Attempts that failed, per second.
    pub failures: f64,
    /// Fuel of attempts that ended, per second.
    pub fuel: f64,
    /// Seconds for which guests computed, per second: processors.
    pub processors: f64,
}

impl Rates {
    /// So much in so long; nothing in no time.
    #[must_use]
    pub fn of(work: WorkDone, within: Duration) -> Self {
        let seconds = within.as_secs_f64();
        if seconds <= 0.0 {
            return Self::default();
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "rates for people; 2^53 of anything in one interval is not"
        )]
        let per_second = |count: u64| count as f64 / seconds;
        Self {
            rate: per_second(work.ended),
            failures: per_second(work.failed),
            fuel: per_second(work.fuel),
            processors: per_second(work.computed_ns) / 1e9,
        }
    }

    /// Whether anything was done.
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.rate > 0.0 || self.failures > 0.0 || self.fuel > 0.0 || self.processors > 0.0
    }
}

impl AddAssign for Rates {
    fn add_assign(&mut self, other: Self) {
        self.rate += other.rate;
        self.failures += other.failures;
        self.fuel += other.fuel;
        self.processors += other.processors;
    }
}

/// How full a queue is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Tasks that wait.
    pub pending: u64,
    /// Tasks that hosts have.
    pub running: u64,
    /// How long the oldest of those that wait has waited, if that is known.
    pub oldest: Option<Duration>,
}

/// The weights of a tenant and of its queues.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Weights {
    /// The tenant's.
    pub tenant: u32,
    /// Its queues'.
    pub queues: BTreeMap<QueueName, u32>,
}

/// The figures of a tenant or a queue. What is absent was not looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Tasks that wait.
    pub pending: Option<u64>,
    /// How long the oldest of them has waited, in milliseconds; absent as well if none waits.
    pub oldest_ms: Option<u64>,
    /// Tasks that hosts have, those that wait for their next attempt included.
    pub running: Option<u64>,
    /// What is done per second.
    #[serde(flatten)]
    pub rates: Rates,
    /// Its part of the time for which guests computed, of 1.
    pub share: f64,
    /// The part that its weight gives it among those that had anything to do, of 1; 0 if it had nothing to do.
    pub entitlement: f64,
}

impl Figures {
    fn fill(&mut self, standing: Standing) {
        let add = |to: &mut Option<u64>, more| *to = Some(to.unwrap_or(0).saturating_add(more));
        add(&mut self.pending, standing.pending);
        add(&mut self.running, standing.running);
        let oldest = standing.oldest.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        self.oldest_ms = self.oldest_ms.max(oldest);
    }

    /// Whether there was anything to do, as far as is known.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.rates.is_some() || self.pending > Some(0) || self.running > Some(0)
    }
}

/// What goes on, before it is put in proportion.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// What was done of each queue, on all hosts together.
    pub rates: BTreeMap<QueueKey, Rates>,
    /// How full the queues are that were looked at.
    pub standings: BTreeMap<QueueKey, Standing>,
    /// Tenants that have tasks, whether their queues were looked at or not.
    pub with_tasks: BTreeSet<TenantName>,
    /// The weights of all tenants.
    pub weights: BTreeMap<TenantName, Weights>,
}

/// Who did what, in proportion. Those that had nothing to do are not in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overview {
    /// Tenants.
    pub tenants: BTreeMap<TenantName, Figures>,
    /// Queues.
    pub queues: BTreeMap<QueueKey, Figures>,
}

impl Overview {
    /// Puts what was observed in proportion.
    #[must_use]
    pub fn of(observed: &Observed) -> Self {
        let Observed { rates, standings, with_tasks, weights } = observed;
        let mut found = Self::default();
        for tenant in with_tasks {
            found.tenants.entry(tenant.clone()).or_default();
        }
        for (key, rates) in rates.iter().filter(|(_, rates)| rates.is_some()) {
            found.tenants.entry(key.0.clone()).or_default().rates += *rates;
            found.queues.entry(key.clone()).or_default().rates += *rates;
        }
        for (key, standing) in standings {
            let is_full = standing.pending > 0 || standing.running > 0;
            if is_full || found.queues.contains_key(key) {
                found.queues.entry(key.clone()).or_default().fill(*standing);
            }
            if is_full || found.tenants.contains_key(&key.0) {
                found.tenants.entry(key.0.clone()).or_default().fill(*standing);
            }
        }
        // Looked at, and empty by now.
        let looked_at: BTreeSet<&TenantName> = standings.keys().map(|(tenant, _)| tenant).collect();
        found.tenants.retain(|tenant, figures| figures.is_busy() || !looked_at.contains(tenant));
        found.put_in_proportion(weights);
        found
    }

    fn put_in_proportion(&mut self, weights: &BTreeMap<TenantName, Weights>) {
        let all: f64 = self.tenants.values().map(|figures| figures.rates.processors).sum();
        let share = |figures: &Figures| if all > 0.0 { figures.rates.processors / all } else { 0.0 };
        // Of one that was removed, or made a moment ago, nothing is known.
        let of_tenant = |name: &TenantName| f64::from(weights.get(name).map_or(1, |weights| weights.tenant));
        let of_queue = |(tenant, queue): &QueueKey| {
            let weight = weights.get(tenant).and_then(|weights| weights.queues.get(queue));
            f64::from(*weight.unwrap_or(&1))
        };
        let total: f64 = self.tenants.keys().map(of_tenant).sum();
        for (name, figures) in &mut self.tenants {
            figures.share = share(figures);
            figures.entitlement = of_tenant(name) / total;
        }
        let mut totals: BTreeMap<TenantName, f64> = BTreeMap::new();
        for (key, _) in self.queues.iter().filter(|(_, figures)| figures.is_busy()) {
            *totals.entry(key.0.clone()).or_default() += of_queue(key);
        }
        for (key, figures) in &mut self.queues {
            figures.share = share(figures);
            let tenant = self.tenants.get(&key.0).map_or(0.0, |figures| figures.entitlement);
            let total = totals.get(&key.0).copied().unwrap_or(1.0);
            figures.entitlement = tenant * of_queue(key) / total;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tenant: &str, queue: &str) -> QueueKey {
        (tenant.parse().unwrap(), queue.parse().unwrap())
    }

    fn processors(processors: f64) -> Rates {
        Rates { processors, rate: 1.0, ..Rates::default() }
    }

    /// (Name, weight, weights of its queues)
    type Tenant<'a> = (&'a str, u32, &'a [(&'a str, u32)]);

    fn weights(tenants: &[Tenant<'_>]) -> BTreeMap<TenantName, Weights> {
        let weights = |(name, tenant, queues): &Tenant<'_>| {
            let queues = queues.iter().map(|(name, weight)| (name.parse().unwrap(), *weight)).collect();
            (name.parse().unwrap(), Weights { tenant: *tenant, queues })
        };
        tenants.iter().map(weights).collect()
    }

    #[test]
    fn a_rate_is_what_was_done_by_the_time_it_took() {
        let work = WorkDone { ended: 10, failed: 1, fuel: 500, computed_ns: 3_000_000_000 };
        let rates = Rates::of(work, Duration::from_secs(2));
        assert_eq!(rates, Rates { rate: 5.0, failures: 0.5, fuel: 250.0, processors: 1.5 });
        assert!(!Rates::of(work, Duration::ZERO).is_some());
    }

    #[test]
    fn shares_are_of_what_all_computed_and_entitlements_of_those_who_had_work() {
        let observed = Observed {
            rates: BTreeMap::from([
                (key("acme", "a"), processors(0.5)),
                (key("acme", "b"), processors(1.0)),
                (key("globex", "a"), processors(0.5)),
            ]),
            weights: weights(&[("acme", 3, &[("a", 1), ("b", 2)]), ("globex", 1, &[]), ("idle", 4, &[])]),
            ..Observed::default()
        };
        let Overview { tenants, queues } = Overview::of(&observed);
        let of = |name: &str| {
            let figures = tenants[&name.parse::<TenantName>().unwrap()];
            (figures.share, figures.entitlement)
        };
        assert_eq!((of("acme"), of("globex"), tenants.len()), ((0.75, 0.75), (0.25, 0.25), 2));
        assert_eq!((queues[&key("acme", "b")].share, queues[&key("acme", "b")].entitlement), (0.5, 0.5));
        assert_eq!(queues[&key("acme", "a")].entitlement, 0.25);
    }

    #[test]
    fn whoever_waits_for_its_turn_is_entitled_to_it() {
        let waits = Standing { pending: 7, running: 0, oldest: Some(Duration::from_millis(1500)) };
        let observed = Observed {
            rates: BTreeMap::from([(key("acme", "a"), processors(2.0))]),
            standings: BTreeMap::from([(key("globex", "a"), waits), (key("idle", "a"), Standing::default())]),
            with_tasks: BTreeSet::from(["unseen".parse().unwrap(), "idle".parse().unwrap()]),
            weights: weights(&[("acme", 1, &[]), ("globex", 1, &[]), ("unseen", 2, &[])]),
        };
        let Overview { tenants, queues } = Overview::of(&observed);
        let entitlements: Vec<_> = tenants.values().map(|figures| figures.entitlement).collect();
        assert_eq!(entitlements, [0.25, 0.25, 0.5], "acme, globex, unseen: {tenants:?}");
        let globex = queues[&key("globex", "a")];
        assert_eq!((globex.pending, globex.oldest_ms, globex.share), (Some(7), Some(1500), 0.0));
        assert_eq!(tenants[&"unseen".parse::<TenantName>().unwrap()].pending, None, "nobody looked");
    }

    #[test]
    fn a_tenant_has_what_its_queues_have_together_and_the_oldest_of_them() {
        let standing = |pending, oldest: Option<u64>| Standing {
            pending,
            running: 1,
            oldest: oldest.map(Duration::from_secs),
        };
        let observed = Observed {
            standings: BTreeMap::from([
                (key("acme", "a"), standing(3, Some(9))),
                (key("acme", "b"), standing(4, None)),
            ]),
            ..Observed::default()
        };
        let figures = Overview::of(&observed).tenants[&"acme".parse::<TenantName>().unwrap()];
        assert_eq!((figures.pending, figures.running, figures.oldest_ms), (Some(7), Some(2), Some(9000)));
        assert_eq!((figures.share, figures.entitlement), (0.0, 1.0), "nobody computed");
    }
}

//! Time on processors by the day: what is left of it, shared by all hosts.
//!
//! What a tenant's tasks have used stands in its account, some seconds late. Each host adds what it has counted since, and
//! takes its part of the rest; a few seconds later it looks again, and what others did not use is shared anew.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use saggar_jetstream::{Nats, UsageError, Usages};
use saggar_model::{Day, DayTally, TenantName};
use tokio::sync::Notify;

use super::fleet::Fleet;
use crate::dispatch::Dispatcher;
use crate::scheduler::TenantId;

/// How often is looked what is left to a tenant that uses some: as old as its account may be.
const LOOK: Duration = Duration::from_secs(5);

/// And to one that does not, so many looks apart: others may have used some.
const EVERY: u32 = 6;

/// The tenants that have a budget. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Budgets(Arc<Listed>);

#[derive(Default)]
struct Listed {
    all: Mutex<HashMap<TenantName, (TenantId, Duration)>>,
    /// A budget is another.
    changed: Notify,
}

/// What this host knows of a tenant's day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    day: Day,
    /// What its guests had computed here when the day was looked at first, as the scheduler counts.
    counted_before: Duration,
    /// What the account had of this host by then: another process of its name, before it.
    before: Duration,
    /// The same, at the last look.
    counted: Duration,
}

impl Budgets {
    /// A tenant's budget for a day; nothing if it has none. Whether it is looked at now how much of it is left.
    pub(crate) fn set(&self, tenant: &TenantName, of: Option<(TenantId, Duration)>) -> bool {
        let mut all = self.0.all.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match of {
            Some(of) => all.insert(tenant.clone(), of),
            None => all.remove(tenant),
        };
        let is_new = of.is_some() && before != of;
        if is_new {
            self.0.changed.notify_one();
        }
        is_new
    }

    /// Tells the scheduler every few seconds what is left. Goes on for ever.
    pub(crate) async fn keep(self, nats: Nats, fleet: Fleet, me: String, dispatcher: Dispatcher) {
        let usages = Usages::new(&nats);
        let mut known: BTreeMap<TenantName, Known> = BTreeMap::new();
        let mut told: HashMap<TenantName, (TenantId, Duration)> = HashMap::new();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut round = 0;
        loop {
            tokio::select! {
                _ = look.tick() => round = (round + 1) % EVERY,
                () = self.0.changed.notified() => {}
            }
            let all = self.0.all.lock().unwrap_or_else(PoisonError::into_inner).clone();
            known.retain(|tenant, _| all.contains_key(tenant));
            told.retain(|tenant, _| all.contains_key(tenant));
            for (tenant, (id, whole)) in all {
                let (today, counted) = (Day::of(nats.now()), dispatcher.computed(id));
                let before = known.get(&tenant).copied().filter(|known| known.day == today);
                let is_told = told.get(&tenant) == Some(&(id, whole));
                if round != 0 && is_told && before.is_some_and(|before| before.counted == counted) {
                    continue;
                }
                match spent(&usages, &tenant, today, &me).await {
                    Ok((mine, others)) => {
                        let now = Known::now(before, today, counted, mine);
                        let left = now.left(whole, mine, others) / fleet.count();
                        if left.is_zero() {
                            tracing::info!(%tenant, budget = ?whole, "the day's processor time is used up; its tasks wait");
                        }
                        told.insert(tenant.clone(), (id, whole));
                        known.insert(tenant, now);
                        dispatcher.set_budget(id, Some(left));
                    }
                    // What was left is counted down meanwhile.
                    Err(error) => {
                        tracing::warn!(%tenant, %error, "what is left of a budget could not be seen");
                    }
                }
            }
        }
    }
}

impl Known {
    fn now(before: Option<Self>, day: Day, counted: Duration, mine: Duration) -> Self {
        let first = Self { day, counted_before: counted, before: mine, counted };
        before.map_or(first, |before| Self { counted, ..before })
    }

    /// What is left of a budget to all hosts together, by what the account says of this host and of the others.
    fn left(&self, whole: Duration, mine: Duration, others: Duration) -> Duration {
        // The account is behind what was counted, or ahead by what a process before this one had under way.
        let counted = self.before + self.counted.saturating_sub(self.counted_before);
        whole.saturating_sub(others).saturating_sub(mine.max(counted))
    }
}

/// What stands in a tenant's account for a day: this host's part, and the others'.
async fn spent(
    usages: &Usages,
    tenant: &TenantName,
    day: Day,
    me: &str,
) -> Result<(Duration, Duration), UsageError> {
    let accounts = usages.account(Some(tenant), day, day).await?;
    let lines = accounts.get(tenant).and_then(|account| account.day(day));
    Ok(lines.map_or_else(Default::default, |lines| parts(lines, me)))
}

fn parts(lines: &DayTally, me: &str) -> (Duration, Duration) {
    let (mut mine, mut others) = (Duration::ZERO, Duration::ZERO);
    for (host, counters) in &lines.hosts {
        let cpu = Duration::from_micros(counters.charged().cpu_us);
        if host == me {
            mine += cpu;
        } else {
            others += cpu;
        }
    }
    (mine, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn day(number: u64) -> Day {
        Day::of(std::time::SystemTime::UNIX_EPOCH + Duration::from_hours(24 * number))
    }

    #[test]
    fn what_is_counted_and_not_yet_written_is_no_longer_left() {
        let first = Known::now(None, day(1), 7 * S, Duration::ZERO);
        assert_eq!(first.left(100 * S, Duration::ZERO, 10 * S), 90 * S, "the 7 s were yesterday's");
        let second = Known::now(Some(first), day(1), 27 * S, 5 * S);
        assert_eq!(second.left(100 * S, 5 * S, 10 * S), 70 * S, "20 s were counted, 5 s of them are written");
        assert_eq!(second.left(100 * S, 25 * S, 10 * S), 65 * S, "more is written than was counted");
        assert_eq!(second.left(100 * S, 25 * S, 100 * S), Duration::ZERO);
    }

    #[test]
    fn what_a_process_before_has_used_counts() {
        let first = Known::now(None, day(1), Duration::ZERO, 40 * S);
        let second = Known::now(Some(first), day(1), 30 * S, 40 * S);
        assert_eq!(second.left(100 * S, 40 * S, Duration::ZERO), 30 * S);
    }
}

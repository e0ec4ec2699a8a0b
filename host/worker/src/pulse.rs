//! What this host says to whoever asks what it does: what it holds, and what its queues have done.
//!
//! The counts are those of the metrics. Nothing is kept in time: whoever asks compares two answers, and a queue is looked
//! at when somebody asks.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use saggar_jetstream::{Control, PulseAsked};
use saggar_model::{Pulse, QueueKey, QueueName, QueuePulse, TenantName, WorkDone};

use crate::host::{Shared, cores};
use crate::metrics::QueueMetrics;

/// How long until listening is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A queue is told of for so long after its last change was noticed: an answer or two may get lost.
const TOLD_ON: Duration = Duration::from_secs(2);

/// What is counted besides the metrics, since it has to be known while a task runs.
#[derive(Debug, Default)]
pub(crate) struct Live {
    ended: AtomicU64,
    computed_ns: AtomicU64,
}

impl Live {
    pub(crate) fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn computed(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.computed_ns.fetch_add(nanos, Ordering::Relaxed);
    }

    /// With what the metrics know.
    pub(crate) fn work(&self, failed: u64, fuel: u64) -> WorkDone {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        WorkDone { ended: load(&self.ended), failed, fuel, computed_ns: load(&self.computed_ns) }
    }
}

/// All queues that were ever served here. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pulses(Arc<Mutex<HashMap<QueueKey, Watched>>>);

#[derive(Debug)]
struct Watched {
    metrics: QueueMetrics,
    /// What it had done when somebody asked last.
    seen: WorkDone,
    /// When it was noticed that it had done something.
    changed_at: Option<Instant>,
}

impl Pulses {
    /// The metrics of a queue, made at the first time.
    pub(crate) fn of(
        &self,
        tenant: &TenantName,
        queue: &QueueName,
        make: impl FnOnce() -> QueueMetrics,
    ) -> QueueMetrics {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = watched.entry((tenant.clone(), queue.clone()));
        let new = || Watched { metrics: make(), seen: WorkDone::default(), changed_at: None };
        entry.or_insert_with(new).metrics.clone()
    }

    /// The queues that have done something since whoever asks was answered last, so long ago; all that ever did
    /// anything, if it never was.
    fn read(&self, since: Option<Duration>, now: Instant) -> Vec<QueuePulse> {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for ((tenant, queue), its) in watched.iter_mut() {
            let work = its.metrics.work_done();
            if its.seen != work {
                its.seen = work;
                its.changed_at = Some(now);
            }
            let Some(changed_at) = its.changed_at else { continue };
            if since.is_none_or(|since| now.saturating_duration_since(changed_at) <= since + TOLD_ON) {
                found.push(QueuePulse { tenant: tenant.clone(), queue: queue.clone(), work });
            }
        }
        found
    }
}

/// Answers for ever.
pub(crate) async fn answer(shared: Arc<Shared>, instance: String) {
    let (control, start) = (Control::new(&shared.nats), Instant::now());
    loop {
        match control.pulse_requests().await {
            Ok(asked) => {
                let mut asked = pin!(asked);
                while let Some(asked) = asked.next().await {
                    let pulse = pulse(&shared, &instance, start, &asked);
                    if let Err(error) = control.answer_pulse(asked, pulse).await {
                        tracing::debug!(%error, "an answer was lost");
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "this host does not say what it does at the moment"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn pulse(shared: &Shared, instance: &str, start: Instant, asked: &PulseAsked) -> Pulse {
    let now = Instant::now();
    let age = now.saturating_duration_since(start);
    Pulse {
        host: shared.name.clone(),
        instance: instance.to_owned(),
        age_us: u64::try_from(age.as_micros()).unwrap_or(u64::MAX),
        parts: 1,
        running: u32::try_from(shared.metrics.running.get()).unwrap_or(0),
        memory: u64::try_from(shared.metrics.memory.get()).unwrap_or(0),
        cores: cores(),
        queues: shared.metrics.pulses().read(asked.request.since(), now),
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;
    use saggar_model::{Outcome, Receipt};

    use super::*;
    use crate::metrics::Metrics;

    const SECOND: Duration = Duration::from_secs(1);

    fn queues(pulses: &[QueuePulse]) -> Vec<&str> {
        let mut queues: Vec<_> = pulses.iter().map(|pulse| pulse.queue.as_str()).collect();
        queues.sort_unstable();
        queues
    }

    #[test]
    fn who_asks_again_hears_of_queues_that_did_something_meanwhile_and_of_no_others() {
        let metrics = Metrics::new(&mut Registry::default());
        let tenant = "acme".parse().unwrap();
        let [a, b, _idle] = ["a", "b", "idle"].map(|name| metrics.of_queue(&tenant, &name.parse().unwrap()));
        a.computed(SECOND);
        b.settled();
        let start = Instant::now();
        let read = |since, at| metrics.pulses().read(since, start + SECOND * at);
        assert_eq!(queues(&read(None, 0)), ["a", "b"]);
        assert!(read(Some(SECOND), 10).is_empty());
        a.attempt(Outcome::Trapped, &Receipt { fuel: 7, ..Receipt::default() });
        let again = read(Some(SECOND), 11);
        let work = WorkDone { ended: 0, failed: 1, fuel: 7, computed_ns: 1_000_000_000 };
        assert_eq!((queues(&again), again[0].work), (vec!["a"], work));
        assert_eq!(queues(&read(None, 20)), ["a", "b"], "whoever comes anew hears of all");
        assert_eq!(
            queues(&read(Some(SECOND * 30), 40)),
            ["a"],
            "and who was away for long, of what it missed"
        );
    }

    #[test]
    fn a_queue_that_is_served_anew_counts_on() {
        let metrics = Metrics::new(&mut Registry::default());
        let of = || metrics.of_queue(&"acme".parse().unwrap(), &"a".parse().unwrap());
        of().settled();
        of().settled();
        assert_eq!(of().work_done().ended, 2);
        of().attempt(Outcome::Interrupted, &Receipt::default());
        of().attempt(Outcome::Cancelled, &Receipt::default());
        assert_eq!(of().work_done().failed, 0, "nobody failed");
    }
}

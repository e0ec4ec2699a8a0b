//! How long a queue's tasks take, and so how many of them one guest's memory is good for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use saggar_model::Digest;

/// Tasks that wait behind another are to start within this: no longer than a host takes to notice anything else.
const WAIT: Duration = Duration::from_millis(5);

/// The most that may wait behind another; more would not make a request to the server any cheaper.
const AHEAD_MAX: u128 = 64;

/// One part in so many is how far the estimate follows a shorter task. It follows a longer one half the way.
const FOLLOW: u64 = 8;

/// What an instance costs by itself, and what a unit of fuel does, generously: a host that is slower than that shares
/// its processor with others.
const INSTANCE: Duration = Duration::from_micros(40);
const FUEL: Duration = Duration::from_nanos(2);

/// How long the tasks of a queue take. Before any has run, that is what those of other queues took that run the same
/// component.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    own: Estimate,
    of_component: Arc<Estimate>,
}

/// The paces of the components that this host runs.
#[derive(Debug, Default)]
pub(crate) struct Paces(Mutex<HashMap<Digest, Weak<Estimate>>>);

/// An estimate of run times that believes in long ones at once and in short ones after a while.
#[derive(Debug, Default)]
struct Estimate {
    /// Nanoseconds; 0 if nothing has run.
    mean: AtomicU64,
}

impl Paces {
    /// The pace of a queue that begins to run this component.
    pub(crate) fn of(&self, digest: Digest) -> Pace {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_component = known.get(&digest).and_then(Weak::upgrade).unwrap_or_else(|| {
            known.retain(|_, estimate| estimate.strong_count() > 0);
            let fresh = Arc::default();
            known.insert(digest, Arc::downgrade(&fresh));
            fresh
        });
        Pace { own: Estimate::default(), of_component }
    }
}

impl Estimate {
    fn ran(&self, duration: Duration) {
        let ran = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).max(1);
        let mean = match self.mean.load(Ordering::Relaxed) {
            0 => ran,
            mean if ran > mean => mean + (ran - mean) / 2,
            mean => mean - (mean - ran) / FOLLOW,
        };
        self.mean.store(mean, Ordering::Relaxed);
    }

    fn mean(&self) -> Option<Duration> {
        Some(self.mean.load(Ordering::Relaxed)).filter(|mean| *mean > 0).map(Duration::from_nanos)
    }
}

impl Pace {
    /// A task ran for so long. Of two that are told at once, one may be forgotten.
    pub(crate) fn ran(&self, duration: Duration) {
        self.own.ran(duration);
        self.of_component.ran(duration);
    }

    /// A task ran for so long without ever waiting. If that is more than what it computed can have taken, its
    /// processor did something else meanwhile, which says nothing about the tasks of this queue.
    pub(crate) fn computed(&self, duration: Duration, fuel: u64) {
        let fuel = u32::try_from(fuel).unwrap_or(u32::MAX);
        self.ran(duration.min(INSTANCE + FUEL * fuel));
    }

    /// How long a task takes, if any has run here or elsewhere.
    pub(crate) fn mean(&self) -> Option<Duration> {
        self.own.mean().or_else(|| self.of_component.mean())
    }

    /// How many tasks can run one after another before the last has waited too long; 1 if nothing is known.
    pub(crate) fn ahead(&self) -> u32 {
        let Some(mean) = self.mean() else { return 1 };
        u32::try_from((WAIT.as_nanos() / mean.as_nanos()).clamp(1, AHEAD_MAX)).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_waits_behind_a_task_of_unknown_length() {
        assert_eq!(Pace::default().ahead(), 1);
    }

    #[test]
    fn what_tasks_of_other_queues_took_counts_until_one_has_run() {
        let (paces, component) = (Paces::default(), Digest::of(b"component"));
        let (a, b) = (paces.of(component), paces.of(component));
        a.ran(Duration::from_micros(20));
        assert_eq!((b.ahead(), paces.of(Digest::of(b"another")).ahead()), (64, 1));
        b.ran(Duration::from_secs(1));
        assert_eq!((a.ahead(), b.ahead()), (64, 1), "each knows best itself");
    }

    #[test]
    fn components_that_nobody_runs_any_more_are_forgotten() {
        let paces = Paces::default();
        for number in 0..100_u8 {
            paces.of(Digest::of(&[number])).ran(Duration::from_secs(1));
        }
        assert_eq!(paces.0.lock().expect("nobody panicked").len(), 1);
        assert_eq!(paces.of(Digest::of(&[99])).mean(), None);
    }

    #[test]
    fn a_busy_processor_does_not_make_short_tasks_long() {
        let pace = Pace::default();
        pace.computed(Duration::from_millis(4), 1_000);
        assert_eq!(pace.ahead(), 64);
        pace.computed(Duration::from_millis(4), 10_000_000);
        assert!(pace.ahead() < 4, "it used the fuel for it");
    }

    #[test]
    fn short_tasks_may_wait_behind_each_other_and_long_ones_may_not() {
        let pace = Pace::default();
        pace.ran(Duration::from_micros(20));
        assert_eq!(pace.ahead(), 64);
        pace.ran(Duration::from_secs(1));
        assert_eq!(pace.ahead(), 1, "one long task is believed");
        for _ in 0..200 {
            pace.ran(Duration::from_micros(20));
        }
        assert_eq!(pace.ahead(), 64, "many short ones are, too");
    }
}

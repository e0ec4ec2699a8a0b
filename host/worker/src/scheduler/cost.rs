//! What the tasks of a lane cost, as far as those before them show.

use std::time::Duration;

use super::Work;

/// What is remembered fades when there is so much of it: the last hundred tasks count, or the last seconds.
const TASKS_MAX: f64 = 128.0;
const HELD_MAX: f64 = 2e9;

/// A guest of which nothing is known computes all the time. One that sleeps has shown it within milliseconds, and a
/// hundred that do not are a hundred for a long while.
const UNKNOWN: f64 = 1.0;

/// So much of nothing is known by: a single sleep shows little, and a second of it much.
const HELD_MIN: f64 = 2e7;

/// Even a guest that sleeps all the time is somebody to look after.
const LEAST: f64 = 0.002;

/// Guests that have been seen for so long are known, though none of their tasks has ended.
const SEEN: f64 = 1e9;

/// Whoever computes for no longer than this is gone before anybody notices.
const SHORT: f64 = 5e6;

/// How much tasks compute, and how busy their guests are.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Cost {
    /// Nanoseconds computed, by so many tasks.
    computed: f64,
    fuel: f64,
    tasks: f64,
    /// Nanoseconds in which guests were ready to compute, of so many for which they were out.
    ready: f64,
    held: f64,
    /// Ready since guests were last said to be out.
    unheard: f64,
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
impl Cost {
    /// Guests have worked.
    pub(super) fn worked(&mut self, work: Work) {
        self.computed += work.computed.as_nanos() as f64;
        self.fuel += work.fuel as f64;
        self.unheard += work.ready.as_nanos() as f64;
    }

    /// So many tasks have ended.
    pub(super) fn ran(&mut self, tasks: u32) {
        self.tasks += f64::from(tasks);
        if self.tasks > TASKS_MAX {
            let left = TASKS_MAX / 2.0 / self.tasks;
            self.tasks *= left;
            self.computed *= left;
            self.fuel *= left;
        }
    }

    /// So many guests have been out for so long since this was said last.
    pub(super) fn held(&mut self, guests: u32, passed: Duration) {
        let held = f64::from(guests) * passed.as_nanos() as f64;
        self.held += held;
        // What is told of a while comes in lumps, some of them late.
        let heard = self.unheard.min(held);
        self.ready += heard;
        self.unheard = (self.unheard - heard).min(held);
        if self.held > HELD_MAX {
            let left = HELD_MAX / 2.0 / self.held;
            self.held *= left;
            self.ready *= left;
        }
    }

    /// What a task computes, in nanoseconds; nothing if none has ended.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float is cut to what fits"
    )]
    pub(super) fn takes(&self) -> u64 {
        if self.tasks > 0.0 { (self.computed / self.tasks) as u64 } else { 0 }
    }

    /// The same, if any task has ended.
    pub(super) fn takes_nanos(&self) -> Option<f64> {
        (self.tasks > 0.0).then(|| self.computed / self.tasks)
    }

    /// What a task spends in fuel, if any has ended.
    pub(super) fn takes_fuel(&self) -> Option<f64> {
        (self.tasks > 0.0).then(|| self.fuel / self.tasks)
    }

    /// Whether tasks are known to be over in no time.
    pub(super) fn is_short(&self) -> bool {
        self.tasks > 0.0 && self.computed / self.tasks < SHORT
    }

    /// What others' tasks show of one's own: as much as a single task does.
    pub(super) fn as_guess(&self) -> Option<Self> {
        let (tasks, held) = (self.tasks.max(1.0), self.held.max(HELD_MIN));
        (self.tasks > 0.0).then(|| Self {
            computed: self.computed / tasks,
            fuel: self.fuel / tasks,
            tasks: 1.0,
            ready: self.ready / held * HELD_MIN,
            held: self.held / held * HELD_MIN,
            unheard: 0.0,
        })
    }

    /// Whether anything is known.
    pub(super) fn is_known(&self) -> bool {
        self.tasks > 0.0 || self.held > SEEN
    }

    /// How much of its time a guest keeps a processor busy or wants to, from almost 0 to 1.
    pub(super) fn busy(&self) -> f64 {
        ((self.ready + UNKNOWN * HELD_MIN) / (self.held + HELD_MIN)).clamp(LEAST, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn work(computed: Duration, ready: Duration) -> Work {
        Work { computed, ready, fuel: 0 }
    }

    #[test]
    fn of_nothing_known_the_worst_is_thought() {
        let cost = Cost::default();
        assert_eq!((cost.takes(), cost.busy().to_bits()), (0, 1.0_f64.to_bits()));
        assert!(!cost.is_known() && !cost.is_short());
    }

    #[test]
    fn a_guest_that_sleeps_is_soon_known_to() {
        let mut cost = Cost::default();
        cost.held(4, 10 * MS);
        assert!(cost.busy() < 0.4, "after 10 ms of four guests");
        cost.held(100, 1_000 * MS);
        assert!(cost.busy() < 0.03);
    }

    #[test]
    fn one_that_waits_for_a_processor_does_not_sleep() {
        let mut cost = Cost::default();
        for _ in 0..100 {
            cost.worked(work(MS, 10 * MS));
            cost.held(1, 10 * MS);
        }
        assert!(cost.busy() > 0.99);
    }

    #[test]
    fn what_tasks_take_follows_them() {
        let mut cost = Cost::default();
        cost.worked(work(100 * MS, 100 * MS));
        cost.ran(1);
        assert_eq!(cost.takes(), 100_000_000);
        for _ in 0..10 {
            cost.worked(work(64 * MS, 64 * MS));
            cost.ran(64);
        }
        assert!(cost.takes() < 1_100_000, "{}", cost.takes());
        assert!(cost.is_short());
    }
}

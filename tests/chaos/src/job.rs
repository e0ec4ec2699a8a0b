//! What each task is: a pure function of the campaign's seed and the task's number, so that generator and checker
//! agree without talking to each other.

use std::fmt;

/// The tenants.
pub const TENANTS: [&str; 2] = ["red", "blue"];

/// Attempts that the queue of failing tasks allows.
pub const ATTEMPTS: u32 = 3;

/// The queues of each tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Queue {
    /// Most tasks: over in microseconds.
    Quick,
    /// Tasks that are running when something breaks.
    Slow,
    /// Tasks that leave something behind.
    Effects,
    /// Tasks that fail.
    Failing,
}

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Job {
    /// Nothing.
    Quick,
    /// Sleeps for so many milliseconds.
    Sleep(u32),
    /// Adds 1 to a key of its own.
    Effect,
    /// Asks for a retry until this attempt.
    Until(u32),
    /// Asks for a retry that is far enough away to go through a timer.
    PutOff,
    /// Says that it can never succeed.
    Reject,
    /// Asks for retries until there are no more attempts.
    GiveUp,
}

/// One task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// Which of the campaign's.
    pub number: u64,
    /// Whose.
    pub tenant: &'static str,
    /// What it does.
    pub job: Job,
}

impl Queue {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Quick, Self::Slow, Self::Effects, Self::Failing];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Slow => "slow",
            Self::Effects => "effects",
            Self::Failing => "failing",
        }
    }

    /// How many of its tasks may run at once, on all hosts together.
    pub const fn concurrency(self) -> usize {
        match self {
            Self::Quick => 64,
            Self::Slow | Self::Effects => 32,
            Self::Failing => 16,
        }
    }

    /// The retries it allows. A store that does not answer makes a task of [`Self::Effects`] ask for one.
    pub const fn retry(self) -> &'static str {
        match self {
            Self::Quick | Self::Slow => "{ attempts = 1 }",
            Self::Effects => "{ attempts = 100, base = '200ms', cap = '2s' }",
            Self::Failing => "{ attempts = 3, base = '100ms', cap = '500ms' }",
        }
    }
}

impl Job {
    /// The queue that it goes to.
    pub const fn queue(self) -> Queue {
        match self {
            Self::Quick => Queue::Quick,
            Self::Sleep(_) => Queue::Slow,
            Self::Effect => Queue::Effects,
            Self::Until(_) | Self::PutOff | Self::Reject | Self::GiveUp => Queue::Failing,
        }
    }

    /// The status that its result must have.
    pub const fn status(self) -> &'static str {
        match self {
            Self::Quick | Self::Sleep(_) | Self::Effect | Self::Until(_) | Self::PutOff => "succeeded",
            Self::Reject => "rejected",
            Self::GiveUp => "retried",
        }
    }

    /// The attempt that its result must come from, whatever was killed meanwhile; nothing if a store that was away may
    /// have cost some.
    pub const fn attempt(self) -> Option<u32> {
        match self {
            Self::Quick | Self::Sleep(_) | Self::Reject => Some(1),
            Self::Effect => None,
            Self::Until(attempt) => Some(attempt),
            Self::PutOff => Some(2),
            Self::GiveUp => Some(ATTEMPTS),
        }
    }

    /// Whether it ends among the dead letters.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Reject | Self::GiveUp)
    }
}

impl Task {
    /// The task of this number.
    pub fn of(seed: u64, number: u64) -> Self {
        let chance = mixed(seed ^ mixed(number));
        let tenant = TENANTS[usize::from(chance & 1 == 1)];
        let amount = u32::try_from((chance >> 8) % 1_000).expect("less than a thousand");
        let job = match (chance >> 32) % 100 {
            0..78 => Job::Quick,
            78..80 => Job::PutOff,
            80..84 => Job::Sleep(50 + amount),
            84..90 => Job::Effect,
            90..95 => Job::Until(2 + amount % 2),
            95..98 => Job::Reject,
            _ => Job::GiveUp,
        };
        Self { number, tenant, job }
    }

    /// Its id.
    pub fn id(&self) -> String {
        format!("t{}", self.number)
    }

    /// The number in an id.
    pub fn number_of(id: &str) -> Option<u64> {
        id.strip_prefix('t')?.parse().ok()
    }

    /// The subject it is published to.
    pub fn subject(&self) -> String {
        format!("saggar.{}.task.{}.{}", self.tenant, self.job.queue().name(), self.id())
    }

    /// What the plugin is told.
    pub fn payload(&self) -> String {
        match self.job {
            Job::Effect => format!("effect {}", self.id()),
            job => job.to_string(),
        }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quick => f.write_str("quick"),
            Self::Sleep(millis) => write!(f, "sleep {millis}"),
            Self::Effect => f.write_str("effect"),
            Self::Until(attempt) => write!(f, "until {attempt}"),
            Self::PutOff => f.write_str("put-off"),
            Self::Reject => f.write_str("reject"),
            Self::GiveUp => f.write_str("give-up"),
        }
    }
}

/// Spreads a number over all bits; what comes out of neighbours has nothing to do with each other (`SplitMix64`).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_makes_the_same_tasks_every_time_and_every_kind_of_them() {
        let tasks: Vec<_> = (0..1_000).map(|number| Task::of(7, number)).collect();
        assert_eq!(tasks, (0..1_000).map(|number| Task::of(7, number)).collect::<Vec<_>>());
        assert_ne!(tasks, (0..1_000).map(|number| Task::of(8, number)).collect::<Vec<_>>());
        let kinds: BTreeSet<_> = tasks
            .iter()
            .map(|task| std::mem::discriminant(&task.job))
            .map(|kind| format!("{kind:?}"))
            .collect();
        assert_eq!(kinds.len(), 7);
        let queues: BTreeSet<_> = tasks.iter().map(|task| (task.tenant, task.job.queue())).collect();
        assert_eq!(queues.len(), TENANTS.len() * Queue::ALL.len());
    }

    #[test]
    fn a_tasks_number_is_read_back_from_its_id() {
        assert_eq!(Task::number_of(&Task::of(1, 42).id()), Some(42));
        assert_eq!(Task::number_of("probe-1"), None);
    }
}

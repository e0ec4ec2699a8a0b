//! What is to be added to a tenant's account: of a task, its result; and what no result shows.

use std::time::SystemTime;

use crate::{Counters, Day, Earlier, Outcome, QueueName, Spent, TaskResult};

/// What is to be added to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    day: Day,
    queue: QueueName,
    /// What one host has done.
    one: Option<(String, Item)>,
    /// Attempts, by the hosts that made them.
    attempts: Earlier,
    /// No result shows these attempts.
    are_apart: bool,
}

/// What a bill is for. A host holds thousands of them, so that none is more than numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    /// A task that ended, and its last attempt.
    Task(Outcome, Spent),
    /// What a result shows.
    Shown(Spent),
    /// What stands in no result.
    Apart(Spent),
    /// What nobody is charged for.
    Uncharged(Spent),
    /// Microseconds of compiling.
    Compiled(u64),
}

impl Bill {
    /// The bill of a task that ended at `time`: its result.
    #[must_use]
    pub fn of(result: &TaskResult, time: SystemTime) -> Self {
        let (receipt, earlier) = (&result.receipt, &result.earlier);
        let ran = u64::from(receipt.attempt) > earlier.total().attempts;
        let item = Item::Task(result.outcome, Spent::of(receipt, ran));
        let bill = Self::one(&result.task.queue, &receipt.host, item, time);
        Self { attempts: earlier.clone(), ..bill }
    }

    /// What stands in no result and is charged all the same.
    #[must_use]
    pub fn apart(queue: &QueueName, host: &str, spent: Spent, time: SystemTime) -> Self {
        Self::one(queue, host, Item::Apart(spent), time)
    }

    /// The same, of several attempts.
    #[must_use]
    pub fn all_apart(queue: &QueueName, attempts: &Earlier, time: SystemTime) -> Self {
        let (queue, attempts) = (queue.clone(), attempts.clone());
        Self { day: Day::of(time), queue, one: None, attempts, are_apart: true }
    }

    /// What nobody is charged for.
    #[must_use]
    pub fn uncharged(queue: &QueueName, host: &str, spent: Spent, time: SystemTime) -> Self {
        Self::one(queue, host, Item::Uncharged(spent), time)
    }

    /// The time that a plugin took to compile.
    #[must_use]
    pub fn compiled(queue: &QueueName, host: &str, compile_us: u64, time: SystemTime) -> Self {
        Self::one(queue, host, Item::Compiled(compile_us), time)
    }

    fn one(queue: &QueueName, host: &str, item: Item, time: SystemTime) -> Self {
        let (queue, one) = (queue.clone(), Some((host.to_owned(), item)));
        Self { day: Day::of(time), queue, one, attempts: Earlier::default(), are_apart: false }
    }

    /// Each part of it, and the host that has done it.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&str, Item)> {
        let item = if self.are_apart { Item::Apart } else { Item::Shown };
        let one = self.one.iter().map(|(host, item)| (host.as_str(), *item));
        one.chain(self.attempts.hosts().map(move |(host, spent)| (host, item(spent))))
    }

    pub(crate) fn day(&self) -> Day {
        self.day
    }

    pub(crate) fn queue(&self) -> &QueueName {
        &self.queue
    }

    /// The same bill, on no earlier day than this.
    #[must_use]
    pub(crate) fn not_before(self, day: Option<Day>) -> Self {
        Self { day: day.map_or(self.day, |day| day.max(self.day)), ..self }
    }
}

impl Item {
    pub(crate) fn add_to(self, line: &mut Counters) {
        match self {
            Self::Task(outcome, last) => {
                *line.tasks.entry(outcome).or_default() += 1;
                if is_charged(outcome) { Self::Shown(last) } else { Self::Uncharged(last) }.add_to(line);
            }
            Self::Shown(spent) => line.spent = line.spent.plus(spent),
            Self::Apart(spent) => line.apart = line.apart.plus(spent),
            Self::Uncharged(spent) => line.uncharged = line.uncharged.plus(spent),
            Self::Compiled(micros) => line.compile_us = line.compile_us.saturating_add(micros),
        }
    }
}

/// Whether the tenant pays for an attempt that ended so. What a host or whoever stops it is to blame for, it does not.
#[must_use]
pub const fn is_charged(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Interrupted | Outcome::HostError => false,
        Outcome::Succeeded
        | Outcome::Rejected
        | Outcome::Retried
        | Outcome::Trapped
        | Outcome::OutOfFuel
        | Outcome::OutOfMemory
        | Outcome::TimedOut
        | Outcome::OutputTooLarge
        | Outcome::Invalid
        | Outcome::Expired
        | Outcome::Cancelled => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ending, Failure, Receipt, Tally};

    const NOON: SystemTime = SystemTime::UNIX_EPOCH;

    fn result(outcome: Outcome, attempt: u32, fuel: u64, earlier: &[(&str, u64)]) -> TaskResult {
        let receipt = Receipt { fuel, attempt, host: "b".into(), ..Receipt::default() };
        let failed = Ending::Failed(Failure::new(outcome, "for a reason"));
        let mut result = TaskResult::new("q/a".parse().unwrap(), 1, failed, receipt, None);
        for (host, fuel) in earlier {
            let receipt = Receipt { fuel: *fuel, host: (*host).to_owned(), ..Receipt::default() };
            result.earlier.add(&receipt);
        }
        result
    }

    #[test]
    fn a_result_is_the_bill_of_all_attempts_and_each_host_has_its_part() {
        let mut tally = Tally::default();
        tally.charge(&Bill::of(&result(Outcome::Trapped, 3, 4, &[("a", 1), ("b", 2)]), NOON));
        assert_eq!(tally.by_queue(), tally.by_host());
        let sum = tally.by_queue();
        assert_eq!((sum.ended(), sum.spent.attempts, sum.spent.fuel), (1, 3, 7));
        let (_, day) = tally.days().next().unwrap();
        assert_eq!((day.hosts["a"].spent.fuel, day.hosts["b"].spent.fuel), (1, 6));
        assert_eq!((day.hosts["a"].ended(), day.hosts["b"].ended()), (0, 1));
    }

    #[test]
    fn a_task_that_ended_without_another_attempt_is_a_task_and_no_attempt() {
        let mut tally = Tally::default();
        tally.charge(&Bill::of(&result(Outcome::Expired, 1, 0, &[("a", 5)]), NOON));
        tally.charge(&Bill::of(&result(Outcome::Cancelled, 0, 0, &[]), NOON));
        let sum = tally.by_queue();
        assert_eq!((sum.ended(), sum.spent.attempts, sum.spent.fuel), (2, 1, 5));
    }

    #[test]
    fn an_error_of_a_host_is_counted_and_charged_to_nobody() {
        let mut tally = Tally::default();
        tally.charge(&Bill::of(&result(Outcome::HostError, 2, 9, &[("a", 5)]), NOON));
        let sum = tally.by_queue();
        assert_eq!((sum.charged().fuel, sum.uncharged.fuel), (5, 9));
        assert_eq!(sum.tasks[&Outcome::HostError], 1);
    }
}

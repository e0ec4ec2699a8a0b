//! Whether what was found is what must be: a pure function of the ledger and the streams.

use std::collections::BTreeMap;

use crate::job::{Job, TENANTS, Task};
use crate::ledger::Said;
use crate::streams::{Found, Inventory};

/// The most violations of a kind that are told one by one.
const TOLD_MAX: usize = 10;

/// Something that must never be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// An acknowledged task without a result.
    Lost,
    /// A task with more than one result, or one whose result was replaced.
    Doubled,
    /// A result that the task cannot have had.
    Status,
    /// An attempt counted that was none, or none counted that was one.
    Attempt,
    /// A failure without its dead letter.
    NoDeadLetter,
    /// A dead letter of a task that did not fail, or a second one.
    DeadLetter,
    /// A task that succeeded and left nothing.
    NoEffect,
    /// A task that is still queued.
    Stuck,
    /// A record of a task that nobody submitted.
    Stranger,
    /// An account that is not the sum of the results.
    Account,
}

impl Wrong {
    /// All of them, as the table shows them.
    pub const ALL: [Self; 10] = [
        Self::Lost,
        Self::Doubled,
        Self::Status,
        Self::Attempt,
        Self::NoDeadLetter,
        Self::DeadLetter,
        Self::NoEffect,
        Self::Stuck,
        Self::Stranger,
        Self::Account,
    ];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "acknowledged and lost",
            Self::Doubled => "more than one result",
            Self::Status => "a status that cannot be",
            Self::Attempt => "attempts counted wrong",
            Self::NoDeadLetter => "failed without dead letter",
            Self::DeadLetter => "dead letter without failure",
            Self::NoEffect => "succeeded without effect",
            Self::Stuck => "still queued",
            Self::Stranger => "never submitted",
            Self::Account => "accounts that are wrong",
        }
    }
}

/// The tasks of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Row {
    /// Submitted.
    pub submitted: u64,
    /// Acknowledged.
    pub acknowledged: u64,
    /// With a result.
    pub results: u64,
    /// Not acknowledged, with a result all the same.
    pub unexpected: u64,
    /// That ran more often than once after another, as far as their effects show.
    pub repeated: u64,
}

/// What was found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The tasks, by what they do.
    pub rows: BTreeMap<&'static str, Row>,
    /// What is wrong: how often, and the first ones in words.
    pub wrong: BTreeMap<Wrong, (u64, Vec<String>)>,
}

impl Verdict {
    /// Compares what was submitted with what is there.
    pub fn of(seed: u64, ledger: &BTreeMap<u64, Said>, found: &BTreeMap<&str, Inventory>) -> Self {
        let mut verdict = Self::default();
        for (number, said) in ledger {
            let task = Task::of(seed, *number);
            if let Some(inventory) = found.get(task.tenant) {
                verdict.judge(&task, *said, inventory);
            }
        }
        for tenant in TENANTS {
            let Some(inventory) = found.get(tenant) else { continue };
            if inventory.queued > 0 {
                verdict.add(
                    Wrong::Stuck,
                    inventory.queued,
                    format!("{} tasks of {tenant}", inventory.queued),
                );
            }
            if inventory.replaced > 0 {
                let text = format!("{} results of {tenant} were replaced or removed", inventory.replaced);
                verdict.add(Wrong::Doubled, inventory.replaced, text);
            }
            let Inventory { billed, account, .. } = inventory;
            if account != billed {
                verdict.add(
                    Wrong::Account,
                    1,
                    format!("{tenant} used {billed:?}, and is charged {account:?}"),
                );
            }
            for subject in &inventory.strangers {
                verdict.add(Wrong::Stranger, 1, subject.clone());
            }
            let records =
                inventory.results.keys().chain(inventory.dead.keys()).chain(inventory.effects.keys());
            for number in records.filter(|number| !ledger.contains_key(number)) {
                verdict.add(Wrong::Stranger, 1, format!("{tenant}/t{number}"));
            }
        }
        verdict
    }

    fn judge(&mut self, task: &Task, said: Said, inventory: &Inventory) {
        let Task { number, tenant, job } = *task;
        let name = format!("{tenant}/{}/{} ({job})", job.queue().name(), task.id());
        let row = self.rows.entry(kind(job)).or_default();
        let acknowledged = said == Said::Acknowledged;
        row.submitted += 1;
        row.acknowledged += u64::from(acknowledged);
        let letters = inventory.dead.get(&number).copied().unwrap_or(0);
        let effects = inventory.effects.get(&number).copied().unwrap_or(0);
        let Some(found) = inventory.results.get(&number) else {
            if acknowledged {
                self.add(Wrong::Lost, 1, name);
            }
            return;
        };
        row.results += 1;
        row.unexpected += u64::from(!acknowledged);
        row.repeated += u64::from(effects > 1);
        let Found { queue, status, attempt, count } = found;
        if *count != 1 {
            self.add(Wrong::Doubled, 1, format!("{name}: {count} results"));
        }
        if status != job.status() || queue != job.queue().name() {
            self.add(Wrong::Status, 1, format!("{name}: {status} in {queue}"));
        } else if job.attempt().is_some_and(|expected| expected != *attempt) {
            self.add(Wrong::Attempt, 1, format!("{name}: attempt {attempt}"));
        }
        match (job.is_failure(), letters) {
            (true, 1) | (false, 0) => {}
            (true, 0) => self.add(Wrong::NoDeadLetter, 1, name.clone()),
            (_, letters) => self.add(Wrong::DeadLetter, 1, format!("{name}: {letters} dead letters")),
        }
        if job == Job::Effect && effects == 0 {
            self.add(Wrong::NoEffect, 1, name);
        }
    }

    fn add(&mut self, wrong: Wrong, count: u64, text: String) {
        let (all, told) = self.wrong.entry(wrong).or_default();
        *all += count;
        if told.len() < TOLD_MAX {
            told.push(text);
        }
    }
}

/// What the table calls tasks that do this.
const fn kind(job: Job) -> &'static str {
    match job {
        Job::Quick => "quick",
        Job::Sleep(_) => "slow",
        Job::Effect => "with an effect",
        Job::Until(_) => "retried",
        Job::PutOff => "put off",
        Job::Reject => "rejected",
        Job::GiveUp => "given up",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 7;

    /// A ledger of a hundred acknowledged tasks, and all that must be there of them.
    fn perfect() -> (BTreeMap<u64, Said>, BTreeMap<&'static str, Inventory>) {
        let (mut ledger, mut found) = (BTreeMap::new(), BTreeMap::<_, Inventory>::new());
        for number in 0..100 {
            let task = Task::of(SEED, number);
            ledger.insert(number, Said::Acknowledged);
            let inventory = found.entry(task.tenant).or_default();
            let queue = task.job.queue().name().to_owned();
            let attempt = task.job.attempt().unwrap_or(3);
            let result = Found { queue, status: task.job.status().to_owned(), attempt, count: 1 };
            inventory.results.insert(number, result);
            if task.job.is_failure() {
                inventory.dead.insert(number, 1);
            }
            if task.job == Job::Effect {
                inventory.effects.insert(number, 1);
            }
        }
        (ledger, found)
    }

    /// What is wrong after `spoil` has changed what was found of a task that does this.
    fn spoilt(job: impl Fn(Job) -> bool, spoil: impl Fn(&mut Inventory, u64)) -> Vec<(Wrong, u64)> {
        let (ledger, mut found) = perfect();
        let task = (0..100).map(|number| Task::of(SEED, number)).find(|task| job(task.job)).unwrap();
        spoil(found.get_mut(task.tenant).unwrap(), task.number);
        let verdict = Verdict::of(SEED, &ledger, &found);
        verdict.wrong.iter().map(|(wrong, (count, _))| (*wrong, *count)).collect()
    }

    #[test]
    fn what_must_be_there_is_good() {
        let (ledger, found) = perfect();
        let verdict = Verdict::of(SEED, &ledger, &found);
        assert_eq!(verdict.wrong, BTreeMap::new());
        assert_eq!(verdict.rows.values().map(|row| row.results).sum::<u64>(), 100);
    }

    #[test]
    fn a_task_that_was_acknowledged_and_has_no_result_is_lost() {
        let lost = spoilt(
            |job| job == Job::Quick,
            |inventory, number| {
                inventory.results.remove(&number);
            },
        );
        assert_eq!(lost, [(Wrong::Lost, 1)]);
    }

    #[test]
    fn of_a_task_that_nobody_answered_for_nothing_is_known() {
        let (mut ledger, mut found) = perfect();
        let task = Task::of(SEED, 0);
        ledger.insert(0, Said::Unknown);
        assert_eq!(Verdict::of(SEED, &ledger, &found).wrong, BTreeMap::new());
        found.get_mut(task.tenant).unwrap().results.remove(&0);
        assert_eq!(Verdict::of(SEED, &ledger, &found).wrong, BTreeMap::new());
    }

    #[test]
    fn two_results_are_one_too_many_and_so_is_one_that_was_replaced() {
        let two = spoilt(|_| true, |inventory, number| inventory.results.get_mut(&number).unwrap().count = 2);
        assert_eq!(two, [(Wrong::Doubled, 1)]);
        assert_eq!(spoilt(|_| true, |inventory, _| inventory.replaced = 3), [(Wrong::Doubled, 3)]);
    }

    #[test]
    fn an_interruption_that_was_counted_and_a_failure_that_was_not_are_found() {
        let more =
            |inventory: &mut Inventory, number: u64| inventory.results.get_mut(&number).unwrap().attempt += 1;
        let less =
            |inventory: &mut Inventory, number: u64| inventory.results.get_mut(&number).unwrap().attempt -= 1;
        assert_eq!(spoilt(|job| job == Job::Quick, more), [(Wrong::Attempt, 1)]);
        assert_eq!(spoilt(|job| matches!(job, Job::Until(_)), less), [(Wrong::Attempt, 1)]);
        assert_eq!(spoilt(|job| job == Job::Effect, more), [], "a store that was away may have cost one");
    }

    #[test]
    fn dead_letters_are_of_failures_and_failures_have_one() {
        let none = spoilt(Job::is_failure, |inventory, number| {
            inventory.dead.remove(&number);
        });
        assert_eq!(none, [(Wrong::NoDeadLetter, 1)]);
        let two = spoilt(Job::is_failure, |inventory, number| {
            inventory.dead.insert(number, 2);
        });
        assert_eq!(two, [(Wrong::DeadLetter, 1)]);
        let untrue = spoilt(
            |job| job == Job::Quick,
            |inventory, number| {
                inventory.dead.insert(number, 1);
            },
        );
        assert_eq!(untrue, [(Wrong::DeadLetter, 1)]);
    }

    #[test]
    fn a_success_without_its_effect_is_none() {
        let none = spoilt(
            |job| job == Job::Effect,
            |inventory, number| {
                inventory.effects.remove(&number);
            },
        );
        assert_eq!(none, [(Wrong::NoEffect, 1)]);
    }

    #[test]
    fn tasks_that_are_left_and_records_of_tasks_that_were_never_submitted_are_found() {
        assert_eq!(spoilt(|_| true, |inventory, _| inventory.queued = 4), [(Wrong::Stuck, 4)]);
        assert_eq!(
            spoilt(
                |_| true,
                |inventory, _| {
                    inventory.dead.insert(5_000, 1);
                }
            ),
            [(Wrong::Stranger, 1)]
        );
    }
}

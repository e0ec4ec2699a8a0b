//! The account of a tenant: what its tasks cost, added up by day, once by queue and once by host.
//!
//! Both are sums of the same bills, made apart: that they are equal shows that nothing was lost on the way.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::earlier::OTHERS;
use crate::{Bill, Counters, Day};

/// Names told apart in a day: a tenant's queues, or the hosts that ran its tasks. With so many of both the record of a
/// day stays below half of the least `max_payload`; whatever comes beyond is added up in one line.
const LINES_MAX: usize = 500;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tally(BTreeMap<Day, DayTally>);

/// One day of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DayTally {
    /// By queue.
    pub queues: BTreeMap<String, Counters>,
    /// By the host that ran the attempts; tasks by the host that their results name.
    pub hosts: BTreeMap<String, Counters>,
}

impl Tally {
    /// Adds a bill.
    pub fn charge(&mut self, bill: &Bill) {
        let day = self.0.entry(bill.day()).or_default();
        for (host, item) in bill.parts() {
            item.add_to(line(&mut day.queues, bill.queue().as_str()));
            item.add_to(line(&mut day.hosts, host));
        }
    }

    /// Adds another account.
    pub fn add(&mut self, other: &Self) {
        for (day, lines) in &other.0 {
            self.add_day(*day, lines);
        }
    }

    /// Adds a day of another account.
    pub fn add_day(&mut self, day: Day, lines: &DayTally) {
        self.0.entry(day).or_default().add(lines);
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its days, the first first.
    #[must_use]
    pub fn days(&self) -> impl DoubleEndedIterator<Item = (Day, &DayTally)> {
        self.0.iter().map(|(day, lines)| (*day, lines))
    }

    /// The same, taken apart.
    pub fn into_days(self) -> impl Iterator<Item = (Day, DayTally)> {
        self.0.into_iter()
    }

    /// One day of it.
    #[must_use]
    pub fn day(&self, day: Day) -> Option<&DayTally> {
        self.0.get(&day)
    }

    /// Takes a day out.
    pub fn remove(&mut self, day: Day) -> Option<DayTally> {
        self.0.remove(&day)
    }

    /// Leaves only the days that `keep` says.
    pub fn retain(&mut self, keep: impl Fn(Day) -> bool) {
        self.0.retain(|day, _| keep(*day));
    }

    /// The sum over all queues.
    #[must_use]
    pub fn by_queue(&self) -> Counters {
        sum(self.0.values().flat_map(|day| day.queues.values()))
    }

    /// The sum over all hosts.
    #[must_use]
    pub fn by_host(&self) -> Counters {
        sum(self.0.values().flat_map(|day| day.hosts.values()))
    }
}

impl DayTally {
    /// Adds another account of the same day.
    pub fn add(&mut self, other: &Self) {
        for (queue, counters) in &other.queues {
            line(&mut self.queues, queue).add(counters);
        }
        for (host, counters) in &other.hosts {
            line(&mut self.hosts, host).add(counters);
        }
    }
}

fn line<'a>(lines: &'a mut BTreeMap<String, Counters>, name: &str) -> &'a mut Counters {
    let name = if lines.len() < LINES_MAX || lines.contains_key(name) { name } else { OTHERS };
    // Looked for first: nearly always it is there, and a name need not be copied.
    if !lines.contains_key(name) {
        lines.insert(name.to_owned(), Counters::default());
    }
    lines.get_mut(name).expect("it was put there")
}

fn sum<'a>(lines: impl Iterator<Item = &'a Counters>) -> Counters {
    lines.fold(Counters::default(), |mut sum, line| {
        sum.add(line);
        sum
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::{QueueName, Spent};

    const NOON: SystemTime = SystemTime::UNIX_EPOCH;

    #[test]
    fn more_names_than_a_record_has_room_for_are_one_line_and_lose_nothing() {
        let mut tally = Tally::default();
        for n in 0..2 * LINES_MAX as u64 {
            let queue: QueueName = format!("q{n}").parse().unwrap();
            let spent = Spent {
                fuel: u64::MAX / 5000,
                memory_kib_ms: u64::MAX / 5000,
                attempts: 1,
                ..Spent::default()
            };
            tally.charge(&Bill::apart(&queue, &format!("host-{n}"), spent, NOON));
        }
        assert_eq!(tally.by_queue(), tally.by_host());
        assert_eq!(tally.by_queue().apart.attempts, 2 * LINES_MAX as u64);
        let json = serde_json::to_string(&tally).unwrap();
        assert!(json.len() < 512 << 10, "{} bytes", json.len());
        assert_eq!(serde_json::from_str::<Tally>(&json).unwrap(), tally);
    }

    #[test]
    fn days_are_kept_apart() {
        let mut tally = Tally::default();
        let queue = "q".parse().unwrap();
        for hours in [1, 23, 25] {
            let time = NOON + Duration::from_hours(hours);
            tally.charge(&Bill::compiled(&queue, "a", 1, time));
        }
        let days: Vec<_> =
            tally.days().map(|(day, lines)| (day.to_string(), lines.queues["q"].compile_us)).collect();
        assert_eq!(days, [("1970-01-01".to_owned(), 2), ("1970-01-02".to_owned(), 1)]);
    }
}

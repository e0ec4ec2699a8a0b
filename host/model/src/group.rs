//! A group: children that another task waits for.
//!
//! The record counts each child once, by its name, however often its end is told. When all have ended, the task that
//! waits is released: whoever counts the last does it, and whoever counts it again does it again unless that is noted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Outcome, TaskRef};

/// What is known of the children that a task waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// How many there are to be.
    pub children: u32,
    /// The task that waited does not wait any more.
    #[serde(default)]
    pub released: bool,
    /// Those that have ended, and how.
    #[serde(default)]
    ended: BTreeMap<String, Outcome>,
}

/// What is to be done when the end of children is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counted {
    /// Some count: this is to be written down.
    Counts(Group),
    /// All were counted before, or nobody waits for them any more.
    Already,
}

impl Group {
    /// A group of which nobody has ended.
    #[must_use]
    pub fn new(children: u32) -> Self {
        Self { children, released: false, ended: BTreeMap::new() }
    }

    /// Counts children that have ended.
    #[must_use]
    pub fn count(&self, children: &[(TaskRef, Outcome)]) -> Counted {
        let mut group = self.clone();
        for (child, outcome) in children {
            // Beyond the number that was announced nothing is kept: what a tenant publishes by itself could go on for
            // ever.
            if group.released || group.is_complete() {
                break;
            }
            group.ended.entry(child.to_string()).or_insert(*outcome);
        }
        if group == *self { Counted::Already } else { Counted::Counts(group) }
    }

    /// Whether all have ended.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.ended.len() >= usize::try_from(self.children).unwrap_or(usize::MAX)
    }

    /// Whether the task that waits can be released now.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.is_complete() && !self.released
    }

    /// The same, whose task does not wait any more.
    #[must_use]
    pub fn released(self) -> Self {
        Self { released: true, ..self }
    }

    /// Those that have ended, in the order of their names, and how.
    pub fn ended(&self) -> impl Iterator<Item = (&str, Outcome)> {
        self.ended.iter().map(|(name, outcome)| (name.as_str(), *outcome))
    }

    /// How a child ended, if it has.
    #[must_use]
    pub fn outcome_of(&self, child: &str) -> Option<Outcome> {
        self.ended.get(child).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(n: u32) -> TaskRef {
        format!("part/{n}").parse().unwrap()
    }

    fn counted(group: &Group, n: u32, outcome: Outcome) -> Group {
        match group.count(&[(child(n), outcome)]) {
            Counted::Counts(group) => group,
            Counted::Already => panic!("it counts"),
        }
    }

    #[test]
    fn each_child_counts_once_and_the_last_releases() {
        let group = Group::new(2);
        assert!(!group.is_due());
        let group = counted(&group, 1, Outcome::Succeeded);
        assert_eq!(group.count(&[(child(1), Outcome::Trapped)]), Counted::Already);
        let group = counted(&group, 2, Outcome::Rejected);
        assert!(group.is_due());
        let told: Vec<_> = group.ended().collect();
        assert_eq!(told, [("part/1", Outcome::Succeeded), ("part/2", Outcome::Rejected)]);
        assert_eq!(group.outcome_of("part/2"), Some(Outcome::Rejected));
    }

    #[test]
    fn nothing_is_kept_beyond_the_number_or_after_the_release() {
        let full = counted(&Group::new(1), 1, Outcome::Succeeded);
        assert_eq!(full.count(&[(child(2), Outcome::Succeeded)]), Counted::Already);
        let three = [1, 2, 3].map(|n| (child(n), Outcome::Succeeded));
        let Counted::Counts(two) = Group::new(2).count(&three) else { panic!("two count") };
        assert_eq!(two.ended().count(), 2);
        let released = Group::new(2).released();
        assert_eq!(released.count(&[(child(1), Outcome::Succeeded)]), Counted::Already);
        assert!(!released.is_due());
    }

    #[test]
    fn a_group_of_none_is_complete() {
        assert!(Group::new(0).is_due());
    }

    #[test]
    fn a_record_reads_back() {
        let group = counted(&Group::new(3), 1, Outcome::OutOfFuel);
        let json = serde_json::to_string(&group).unwrap();
        assert_eq!(serde_json::from_str::<Group>(&json).unwrap(), group);
    }
}

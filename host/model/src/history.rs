//! What a task has been through, kept between two of its runs.
//!
//! A delivery count cannot tell a failed attempt from an interruption, and hosts remember nothing, so this record
//! is written before a message is given back, and read when one comes that was delivered before.

use serde::{Deserialize, Serialize};

use crate::{CRASHES_MAX, Earlier, Outcome, Passage, Receipt, Suspicion};

/// The state record of a task.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// Attempts that counted.
    pub attempts: u32,
    /// Runs cut short by a drain or a lost host.
    pub interruptions: u32,
    /// Failures of hosts in a row.
    pub host_errors: u32,
    /// Hosts that were lost while they had the task, since its last attempt that counted.
    pub losses: u32,
    /// Those of them that ran it as their only suspect.
    pub crashes: u32,
    /// The delivery that its host runs as its only suspect. Written down before the run: a host that is lost says
    /// nothing afterwards.
    pub alone_at: Option<u64>,
    /// Deliveries accounted for, so that those nobody accounted for can be told to be lost hosts.
    pub deliveries: u64,
    /// The host that wrote the record.
    pub host: String,
    /// The task's way through timers, if it went into any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passage: Option<Passage>,
    /// What the attempts that counted have cost.
    #[serde(skip_serializing_if = "Earlier::is_none")]
    pub earlier: Earlier,
}

impl History {
    /// The history as it stands when delivery number `delivery` (from 1) arrives: earlier deliveries that nobody
    /// accounted for went to hosts that were lost.
    #[must_use]
    pub fn at_delivery(mut self, delivery: u64) -> Self {
        let earlier = delivery.saturating_sub(1);
        let lost = u32::try_from(earlier.saturating_sub(self.deliveries)).unwrap_or(u32::MAX);
        self.interruptions = self.interruptions.saturating_add(lost);
        self.losses = self.losses.saturating_add(lost);
        // One delivery at most was marked, so that at most one of those lost is held against the task.
        if self.alone_at.take_if(|at| *at > self.deliveries && *at <= earlier).is_some() {
            self.crashes = self.crashes.saturating_add(1);
        }
        self.deliveries = self.deliveries.max(earlier);
        self
    }

    /// Whether the task may be what hosts were lost to.
    #[must_use]
    pub fn suspicion(&self) -> Suspicion {
        match (self.losses, self.crashes) {
            (_, CRASHES_MAX..) => Suspicion::Guilty,
            (0, _) => Suspicion::Clear,
            (1.., _) => Suspicion::Suspect,
        }
    }

    /// The history to be written down before `host` runs delivery number `delivery` as its only suspect.
    #[must_use]
    pub fn alone(&self, delivery: u64, host: &str) -> Self {
        Self { alone_at: Some(delivery), host: host.to_owned(), ..self.clone() }
    }

    /// The history to be written down when a suspect has run alone for as long as its [`crate::trial`]: what
    /// happens to its host from then on may be another's fault.
    #[must_use]
    pub fn acquitted(&self) -> Self {
        Self { alone_at: None, ..self.clone() }
    }

    /// The history after delivery number `delivery`, which `host` gave back without having run it.
    #[must_use]
    pub fn unrun(&self, delivery: u64, host: &str) -> Self {
        let deliveries = self.deliveries.max(delivery);
        Self { deliveries, alone_at: None, host: host.to_owned(), ..self.clone() }
    }

    /// The number of the attempt that would start now, from 1.
    #[must_use]
    pub fn next_attempt(&self) -> u32 {
        self.attempts.saturating_add(1)
    }

    /// The history after a run of delivery number `delivery` on `host` that ended with `outcome`.
    #[must_use]
    pub fn after(&self, outcome: Outcome, delivery: u64, host: &str) -> Self {
        let mut after = self.unrun(delivery, host);
        match outcome {
            Outcome::Interrupted => after.interruptions = after.interruptions.saturating_add(1),
            Outcome::HostError => after.host_errors = after.host_errors.saturating_add(1),
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
            | Outcome::Cancelled => {
                after.attempts = after.next_attempt();
                after.host_errors = 0;
                after.losses = 0;
                after.crashes = 0;
                after.passage.iter_mut().for_each(|passage| passage.booked = false);
            }
        }
        after
    }

    /// The same as [`Self::after`], with what the run cost if it counts.
    #[must_use]
    pub fn after_run(&self, outcome: Outcome, delivery: u64, host: &str, receipt: &Receipt) -> Self {
        let mut after = self.after(outcome, delivery, host);
        if after.attempts > self.attempts {
            after.earlier.add(receipt);
        }
        after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_nobody_accounted_for_is_an_interruption_and_no_attempt() {
        let history = History::default().at_delivery(3);
        assert_eq!((history.interruptions, history.next_attempt()), (2, 1));
        assert_eq!(history.clone().at_delivery(3), history, "counted once");
    }

    #[test]
    fn a_retry_counts_and_an_interruption_does_not() {
        let first = History::default().at_delivery(1).after(Outcome::Trapped, 1, "a");
        assert_eq!((first.next_attempt(), first.deliveries), (2, 1));
        let second = first.at_delivery(2).after(Outcome::Interrupted, 2, "b");
        assert_eq!((second.next_attempt(), second.interruptions, second.deliveries), (2, 1, 2));
        let third = second.at_delivery(3);
        assert_eq!((third.next_attempt(), third.interruptions), (2, 1), "delivery 2 was accounted for");
    }

    #[test]
    fn host_errors_are_counted_in_a_row() {
        let twice = History::default().after(Outcome::HostError, 1, "a").at_delivery(2).after(
            Outcome::HostError,
            2,
            "a",
        );
        assert_eq!((twice.host_errors, twice.attempts), (2, 0));
        assert_eq!(twice.after(Outcome::Retried, 3, "a").host_errors, 0);
    }

    #[test]
    fn what_a_run_cost_is_kept_if_the_run_counts() {
        let receipt = Receipt { fuel: 7, host: "a".into(), ..Receipt::default() };
        let after = |outcome| History::default().after_run(outcome, 1, "a", &receipt);
        assert_eq!(after(Outcome::Retried).earlier.total().fuel, 7);
        assert!(after(Outcome::Interrupted).earlier.is_none() && after(Outcome::HostError).earlier.is_none());
        let twice = after(Outcome::Retried).after_run(Outcome::Trapped, 2, "b", &receipt);
        assert_eq!((twice.attempts, twice.earlier.total().attempts, twice.earlier.total().fuel), (2, 2, 14));
    }

    #[test]
    fn the_record_reads_back_and_bears_fields_of_other_versions() {
        let history = History { attempts: 2, host: "a".into(), ..History::default() };
        assert_eq!(
            serde_json::from_str::<History>(&serde_json::to_string(&history).unwrap()).unwrap(),
            history
        );
        assert_eq!(serde_json::from_str::<History>(r#"{"attempts":1,"new":true}"#).unwrap().attempts, 1);
    }
}

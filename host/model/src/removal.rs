//! What is on its way out of a tenant's record, or the tenant itself, and what is lost with it.
//!
//! Whoever removes something says so in the record, in one step; hosts then take nothing more from it, and the leader
//! removes what it holds once nothing of it runs. The mark goes last, so that all of it can be repeated.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{QueueName, TenantRecord, format_bytes};

/// What is on its way out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Removal {
    /// The tenant, with everything it has.
    pub tenant: bool,
    /// Queues, with what waits in them.
    pub queues: BTreeSet<QueueName>,
}

impl Removal {
    /// Whether nothing is.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        !self.tenant && self.queues.is_empty()
    }
}

impl TenantRecord {
    /// The record of the same tenant on its way out. It has no queue, so that no host takes from one, whatever else it
    /// knows of removals.
    #[must_use]
    pub fn removed(mut self) -> Self {
        self.spec.schedules.clear();
        let queues = std::mem::take(&mut self.spec.queues).into_keys();
        self.removal.queues.extend(queues);
        self.removal.tenant = true;
        self
    }
}

/// What would be lost with a queue or a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Losses {
    /// Tasks that wait in queues.
    pub queued: u64,
    /// Tasks that hosts have. They end first, and their results are kept as long as others'.
    pub running: u64,
    /// Tasks that wait for a time.
    pub timers: u64,
    /// Results that are kept.
    pub results: u64,
    /// Dead letters.
    pub dead: u64,
    /// Bytes of what plugins keep: values, objects, checkpoints, and payloads that are too large for a message.
    pub kept_bytes: u64,
    /// Schedules.
    pub schedules: u64,
    /// Versions of plugins.
    pub plugins: u64,
}

impl Losses {
    /// Whether nothing would be lost, so that nobody needs to be asked.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// What would be lost, in words; nothing that there is none of.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let Self { queued, running, timers, results, dead, kept_bytes, schedules, plugins } = *self;
        let mut words = Vec::new();
        for (count, one, many) in [
            (queued, "queued task", "queued tasks"),
            (timers, "delayed task", "delayed tasks"),
            (dead, "dead letter", "dead letters"),
            (results, "result", "results"),
            (schedules, "schedule", "schedules"),
            (plugins, "plugin version", "plugin versions"),
        ] {
            match count {
                0 => {}
                1 => words.push(format!("1 {one}")),
                _ => words.push(format!("{count} {many}")),
            }
        }
        if kept_bytes > 0 {
            words.push(format!("{} that plugins keep", format_bytes(kept_bytes)));
        }
        match running {
            0 => {}
            1 => words.push("1 running task ends first".to_owned()),
            _ => words.push(format!("{running} running tasks end first")),
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Allowance, QueueSpec, Quota, TenantSpec};

    #[test]
    fn a_tenant_on_its_way_out_has_no_queue_to_take_from() {
        let queue: QueueName = "q".parse().unwrap();
        let spec = TenantSpec {
            name: "acme".parse().unwrap(),
            weight: 1,
            quota: Quota::default(),
            allowance: Allowance::default(),
            queues: [(queue.clone(), QueueSpec::new("p@1".parse().unwrap()))].into(),
            schedules: BTreeMap::new(),
        };
        let record = TenantRecord::new(spec, BTreeMap::new());
        let text = serde_json::to_string(&record).unwrap();
        assert!(!text.contains("removal"), "most records have none: {text}");
        let removed = record.removed();
        assert!(removed.spec.queues.is_empty() && removed.removal.tenant);
        assert!(removed.removal.queues.contains(&queue));
        let text = serde_json::to_string(&removed).unwrap();
        assert_eq!(serde_json::from_str::<TenantRecord>(&text).unwrap(), removed);
        assert_eq!(removed.clone().removed(), removed, "it can be repeated");
    }

    #[test]
    fn what_would_be_lost_is_said_in_words() {
        let losses = Losses { queued: 3, running: 1, dead: 1, kept_bytes: 1 << 20, ..Losses::default() };
        assert_eq!(
            losses.words(),
            ["3 queued tasks", "1 dead letter", "1.0 MiB that plugins keep", "1 running task ends first"]
        );
        assert!(Losses::default().is_nothing() && Losses::default().words().is_empty());
    }
}

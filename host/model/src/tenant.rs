//! What an operator wants a tenant to be: its quota and its queues.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Allowance, Canary, Digest, Grants, KeyLimits, Limits, PluginRef, QueueName, RateLimit, Removal,
    RetryPolicy, Rollout, ScheduleName, ScheduleSpec, TenantName,
};

/// A tenant as its file describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TenantSpec {
    /// The name.
    pub name: TenantName,
    /// Share of a busy host, against other tenants.
    #[serde(default = "one")]
    pub weight: u32,
    /// What it may store.
    #[serde(default)]
    pub quota: Quota,
    /// What it may start and spend.
    #[serde(default, skip_serializing_if = "Allowance::is_unlimited")]
    pub allowance: Allowance,
    /// Its queues, by name.
    #[serde(default)]
    pub queues: BTreeMap<QueueName, QueueSpec>,
    /// Tasks that are made again and again, by the name of what makes them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub schedules: BTreeMap<ScheduleName, ScheduleSpec>,
}

fn one() -> u32 {
    1
}

/// What a tenant may store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quota {
    /// Tasks queued at once, in all queues together.
    pub tasks: u64,
    /// Bytes of queued tasks.
    pub bytes: u64,
    /// Bytes of results kept.
    pub results: u64,
    /// Bytes of dead letters kept.
    pub dead: u64,
    /// Bytes of keys and values.
    pub kv: u64,
    /// Bytes of objects.
    pub blobs: u64,
    /// Bytes of checkpoints.
    pub checkpoints: u64,
    /// Bytes of payloads that are too large for a message.
    pub payloads: u64,
}

impl Quota {
    /// Below this a results stream could not hold a few results of the largest size (64 × 1 MiB).
    pub const RESULTS_MIN: u64 = 64 << 20;
    /// Below this a single task of the largest size might not fit.
    pub const BYTES_MIN: u64 = 2 << 20;
    /// Below this a single value of the largest size might not fit.
    pub const STORE_MIN: u64 = 2 << 20;
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            tasks: 100_000,
            bytes: 1 << 30,
            results: 1 << 30,
            dead: 256 << 20,
            kv: 64 << 20,
            blobs: 1 << 30,
            checkpoints: 256 << 20,
            payloads: 1 << 30,
        }
    }
}

/// A queue as its tenant's file describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueSpec {
    /// What runs its tasks.
    pub plugin: PluginRef,
    /// A version that is tried with a share of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// Tasks at once, over all hosts.
    pub concurrency: u32,
    /// How often its tasks may start, over all hosts; absent: as often as they can.
    #[serde(flatten)]
    pub rate: Option<RateLimit>,
    /// What the tasks of one key may do, such as those of one customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyLimits>,
    /// Share of the tenant's time, against its other queues.
    pub weight: u32,
    /// How long a result is kept, in seconds.
    pub results_ttl: u64,
    /// Whether a finished id is not run again while its result is kept, at the price of a read before each run.
    pub once: bool,
    /// Whether starts and retries are published as events.
    pub events: bool,
    /// What a running attempt gets to end by itself once its task is cancelled, in milliseconds.
    #[serde(default)]
    pub cancel_grace: u64,
    /// What an attempt may use.
    #[serde(default)]
    pub limits: Limits,
    /// When a failed task is tried again.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// What an attempt may do beyond computing.
    #[serde(default)]
    pub grants: Grants,
}

impl QueueSpec {
    /// Enough to keep a few hosts busy with tasks that wait for something.
    pub const CONCURRENCY_DEFAULT: u32 = 64;
    /// What the server lets one consumer hold without losing speed.
    pub const CONCURRENCY_MAX: u32 = 100_000;
    /// The greatest weight; a larger ratio would make the smaller share no share at all.
    pub const WEIGHT_MAX: u32 = 1000;
    /// A result must outlive every redelivery of its task, or a late one would run it again.
    pub const RESULTS_TTL_MIN: Duration = Duration::from_hours(1);
    /// A day: time to come back and look.
    pub const RESULTS_TTL_DEFAULT: Duration = Duration::from_hours(24);

    /// Whoever cancels a task waits for its end; longer than this nobody does.
    pub const CANCEL_GRACE_MAX: Duration = Duration::from_mins(5);

    /// A queue for `plugin` with nothing else said.
    #[must_use]
    pub fn new(plugin: PluginRef) -> Self {
        Self {
            plugin,
            canary: None,
            concurrency: Self::CONCURRENCY_DEFAULT,
            rate: None,
            key: None,
            weight: 1,
            results_ttl: Self::RESULTS_TTL_DEFAULT.as_secs(),
            once: false,
            events: false,
            cancel_grace: 0,
            limits: Limits::default(),
            retry: RetryPolicy::default(),
            grants: Grants::default(),
        }
    }
}

/// A tenant as hosts read it: the file, and what its plugin references stood for when it was applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TenantRecord {
    /// What the operator wants.
    #[serde(flatten)]
    pub spec: TenantSpec,
    /// The components behind the queues' plugins.
    #[serde(default)]
    pub plugins: BTreeMap<String, Digest>,
    /// What is on its way out.
    #[serde(default, skip_serializing_if = "Removal::is_nothing")]
    pub removal: Removal,
    /// What queues ran before, and what commands changed about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rollouts: BTreeMap<QueueName, Rollout>,
}

impl TenantRecord {
    /// A record of which nothing is on its way out, and nothing ran before.
    #[must_use]
    pub fn new(spec: TenantSpec, plugins: BTreeMap<String, Digest>) -> Self {
        Self { spec, plugins, removal: Removal::default(), rollouts: BTreeMap::new() }
    }

    /// The component that a queue runs, if it was resolved.
    #[must_use]
    pub fn digest(&self, plugin: &PluginRef) -> Option<Digest> {
        match plugin {
            PluginRef::Digest(_, digest) => Some(*digest),
            PluginRef::Version(..) => self.plugins.get(&plugin.to_string()).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_knows_its_components() {
        let plugin: PluginRef = "thumbnail@1.2.0".parse().unwrap();
        let digest = Digest::of(b"x");
        let record = TenantRecord::new(
            TenantSpec {
                name: "acme".parse().unwrap(),
                weight: 2,
                quota: Quota::default(),
                allowance: Allowance::default(),
                queues: [("thumbnail".parse().unwrap(), QueueSpec::new(plugin.clone()))].into(),
                schedules: BTreeMap::new(),
            },
            [(plugin.to_string(), digest)].into(),
        );
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<TenantRecord>(&text).unwrap(), record);
        assert_eq!(record.digest(&plugin), Some(digest));
        assert_eq!(record.digest(&"other@1".parse().unwrap()), None);
    }
}

//! Which tasks a new version of a plugin is tried with.
//!
//! It is decided by the task's identity, so that a task and its retries stay with one version, whichever host runs them,
//! and that a greater share takes on more tasks without giving up those it had.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{PluginRef, PluginVersion, QueueName, TaskId, TenantName};

/// A version that is tried with a share of a queue's tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// The version, of the same plugin.
    pub version: PluginVersion,
    /// How many of a hundred tasks take it.
    pub percent: u32,
}

impl Canary {
    /// All of them: whoever wants that for good promotes it.
    pub const PERCENT_MAX: u32 = 100;

    /// The plugin that a canary of `plugin` runs.
    #[must_use]
    pub fn plugin(&self, plugin: &PluginRef) -> PluginRef {
        PluginRef::Version(plugin.name().clone(), self.version.clone())
    }

    /// Whether a task takes it. The version is part of the choice, so that the next one is tried with other tasks.
    #[must_use]
    pub fn takes(&self, tenant: &TenantName, queue: &QueueName, task: &TaskId) -> bool {
        let mut hash = Sha256::new();
        // No name has a slash in it, so that no two of them read the same.
        for part in [tenant.as_str(), queue.as_str(), self.version.as_str(), task.as_str()] {
            hash.update(part.as_bytes());
            hash.update(b"/");
        }
        let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
        // Of 2³² an even hundredth cannot be told from a hundredth of all.
        u32::from_be_bytes([a, b, c, d]) % 100 < self.percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canary(version: &str, percent: u32) -> Canary {
        Canary { version: version.parse().unwrap(), percent }
    }

    fn taken(canary: &Canary) -> Vec<u32> {
        let (tenant, queue) = ("acme".parse().unwrap(), "thumbnail".parse().unwrap());
        let takes = |id: &u32| canary.takes(&tenant, &queue, &format!("order-{id}").parse().unwrap());
        (0..10_000).filter(takes).collect()
    }

    #[test]
    fn a_share_of_the_tasks_takes_it() {
        for percent in [1, 10, 50, 90] {
            let share = taken(&canary("1.3.0", percent)).len();
            let wanted = percent as usize * 100;
            assert!(share.abs_diff(wanted) < 250, "{share} of 10,000 at {percent} %");
        }
        assert!(taken(&canary("1.3.0", 0)).is_empty());
        assert_eq!(taken(&canary("1.3.0", 100)).len(), 10_000);
    }

    #[test]
    fn a_greater_share_gives_up_no_task() {
        let (few, more) = (taken(&canary("1.3.0", 10)), taken(&canary("1.3.0", 30)));
        assert!(few.iter().all(|task| more.contains(task)));
    }

    #[test]
    fn another_version_is_tried_with_other_tasks() {
        let (one, other) = (taken(&canary("1.3.0", 10)), taken(&canary("1.3.1", 10)));
        let both = one.iter().filter(|task| other.contains(task)).count();
        assert!(both < 200, "{both} of 1,000 take both; by chance it is a tenth");
    }
}

//! How a queue comes from one version of its plugin to the next, and back: decided here, written by commands.

use serde::{Deserialize, Serialize};

use crate::{PluginRef, QueueName, TenantRecord};

/// What a queue ran before, and what a command changed about it since its file was applied.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rollout {
    /// What it ran before what it runs now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<PluginRef>,
    /// The last command since its file was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<RolloutStep>,
}

/// What a command did about the plugin of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutStep {
    /// The canary became what the queue runs.
    Promoted,
    /// The canary was given up, or what the queue ran before came back.
    RolledBack,
}

impl RolloutStep {
    /// The command.
    #[must_use]
    pub const fn command(self) -> &'static str {
        match self {
            Self::Promoted => "saggar queue promote",
            Self::RolledBack => "saggar queue rollback",
        }
    }
}

/// What a queue runs, after a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rolled {
    /// What it runs now.
    pub plugin: PluginRef,
    /// What it no longer runs.
    pub instead_of: PluginRef,
}

/// Why there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRollout {
    /// There is no such queue.
    #[error("there is no such queue")]
    NoQueue,
    /// There is no canary to promote.
    #[error("it tries no other version")]
    NoCanary,
    /// There is no canary to give up, and it never ran anything else.
    #[error("it tries no other version, and ran none before")]
    NothingBefore,
}

impl TenantRecord {
    /// Makes the canary of a queue what the queue runs.
    ///
    /// # Errors
    /// It has none.
    pub fn promote(&mut self, name: &QueueName) -> Result<Rolled, NoRollout> {
        let queue = self.spec.queues.get_mut(name).ok_or(NoRollout::NoQueue)?;
        let plugin = queue.canary.take().ok_or(NoRollout::NoCanary)?.plugin(&queue.plugin);
        let instead_of = std::mem::replace(&mut queue.plugin, plugin.clone());
        let rollout = Rollout { before: Some(instead_of.clone()), by: Some(RolloutStep::Promoted) };
        self.rollouts.insert(name.clone(), rollout);
        Ok(Rolled { plugin, instead_of })
    }

    /// Gives up the canary of a queue; without one, has the queue run what it ran before.
    ///
    /// # Errors
    /// There is neither.
    pub fn roll_back(&mut self, name: &QueueName) -> Result<Rolled, NoRollout> {
        let queue = self.spec.queues.get_mut(name).ok_or(NoRollout::NoQueue)?;
        let rollout = self.rollouts.entry(name.clone()).or_default();
        let (plugin, instead_of) = match (queue.canary.take(), rollout.before.take()) {
            (Some(canary), before) => {
                rollout.before = before;
                (queue.plugin.clone(), canary.plugin(&queue.plugin))
            }
            (None, Some(before)) => (before.clone(), std::mem::replace(&mut queue.plugin, before)),
            (None, None) => {
                if *rollout == Rollout::default() {
                    self.rollouts.remove(name);
                }
                return Err(NoRollout::NothingBefore);
            }
        };
        rollout.by = Some(RolloutStep::RolledBack);
        Ok(Rolled { plugin, instead_of })
    }

    /// Takes over from the record that this one replaces what its queues ran before, and what is on its way out. A queue
    /// that is no longer there is on its way out as well.
    #[must_use]
    pub fn replacing(mut self, current: &Self) -> Self {
        self.removal.clone_from(&current.removal);
        for (name, was) in &current.spec.queues {
            let Some(queue) = self.spec.queues.get(name) else {
                self.removal.queues.insert(name.clone());
                continue;
            };
            let before = if queue.plugin == was.plugin {
                current.rollouts.get(name).and_then(|rollout| rollout.before.clone())
            } else {
                Some(was.plugin.clone())
            };
            if let Some(before) = before {
                if let Some(digest) = current.digest(&before).filter(|_| before.version().is_some()) {
                    self.plugins.entry(before.to_string()).or_insert(digest);
                }
                self.rollouts.insert(name.clone(), Rollout { before: Some(before), by: None });
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Allowance, Canary, Digest, QueueSpec, Quota, TenantSpec};

    fn name() -> QueueName {
        "thumbnail".parse().unwrap()
    }

    fn plugin(version: &str) -> PluginRef {
        format!("thumbnail@{version}").parse().unwrap()
    }

    fn record(version: &str, canary: Option<&str>) -> TenantRecord {
        let canary = canary.map(|version| Canary { version: version.parse().unwrap(), percent: 10 });
        let queue = QueueSpec { canary: canary.clone(), ..QueueSpec::new(plugin(version)) };
        let refs = std::iter::once(queue.plugin.clone())
            .chain(canary.map(|canary| canary.plugin(&queue.plugin)))
            .map(|plugin| (plugin.to_string(), Digest::of(plugin.to_string().as_bytes())));
        let spec = TenantSpec {
            name: "acme".parse().unwrap(),
            weight: 1,
            quota: Quota::default(),
            allowance: Allowance::default(),
            queues: [(name(), queue.clone())].into(),
            schedules: BTreeMap::new(),
        };
        TenantRecord::new(spec, refs.collect())
    }

    #[test]
    fn a_canary_is_promoted_and_can_be_rolled_back_after() {
        let mut record = record("1.2.0", Some("1.3.0"));
        let rolled = record.promote(&name()).unwrap();
        assert_eq!((&rolled.plugin, &rolled.instead_of), (&plugin("1.3.0"), &plugin("1.2.0")));
        assert_eq!(record.rollouts[&name()].by, Some(RolloutStep::Promoted));
        assert_eq!(record.promote(&name()), Err(NoRollout::NoCanary));
        let rolled = record.roll_back(&name()).unwrap();
        assert_eq!((&rolled.plugin, &rolled.instead_of), (&plugin("1.2.0"), &plugin("1.3.0")));
        assert!(record.digest(&rolled.plugin).is_some(), "hosts know what it stands for");
        assert_eq!(record.roll_back(&name()), Err(NoRollout::NothingBefore));
    }

    #[test]
    fn a_canary_is_given_up_before_what_ran_before_comes_back() {
        let mut record = record("1.2.0", Some("1.3.0"));
        let rolled = record.roll_back(&name()).unwrap();
        assert_eq!((&rolled.plugin, &rolled.instead_of), (&plugin("1.2.0"), &plugin("1.3.0")));
        assert_eq!(record.spec.queues[&name()].canary, None);
        assert_eq!(record.roll_back(&name()), Err(NoRollout::NothingBefore));
        assert_eq!(record.roll_back(&"other".parse().unwrap()), Err(NoRollout::NoQueue));
    }

    #[test]
    fn a_version_that_a_file_changed_can_be_rolled_back() {
        let mut changed = record("1.3.0", None).replacing(&record("1.2.0", None));
        assert_eq!(changed.rollouts[&name()], Rollout { before: Some(plugin("1.2.0")), by: None });
        // Applying something else later does not forget it.
        changed = record("1.3.0", None).replacing(&changed);
        assert_eq!(changed.roll_back(&name()).unwrap().plugin, plugin("1.2.0"));
        assert!(changed.digest(&plugin("1.2.0")).is_some());
        let untouched = record("1.2.0", None).replacing(&record("1.2.0", None));
        assert_eq!(untouched, record("1.2.0", None));
    }

    #[test]
    fn a_queue_that_is_no_longer_there_is_on_its_way_out() {
        let mut without = record("1.2.0", None);
        without.spec.queues.clear();
        let replaced = without.replacing(&record("1.2.0", None));
        assert!(replaced.removal.queues.contains(&name()) && !replaced.removal.tenant);
    }
}

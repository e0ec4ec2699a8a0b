//! The difference between what is and what an operator wants, in the operator's words.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::TenantRecord;

/// One value that would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What changes, for example `queue thumbnail: limits.fuel`.
    pub what: String,
    /// The value there is, if any.
    pub from: Option<String>,
    /// The value there will be, if any.
    pub to: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "~ {}: {from} -> {to}", self.what),
            (None, Some(to)) => write!(f, "+ {}: {to}", self.what),
            (Some(from), None) => write!(f, "- {}: {from}", self.what),
            (None, None) => write!(f, "  {}", self.what),
        }
    }
}

/// All that applying a file would change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Plan {
    /// The changes, in the order of their names.
    pub changes: Vec<Change>,
}

impl Plan {
    /// What has to change for `current` to become `wanted`.
    #[must_use]
    pub fn between(current: Option<&TenantRecord>, wanted: &TenantRecord) -> Self {
        let before = current.map(values).unwrap_or_default();
        let after = values(wanted);
        let mut names: Vec<_> = before.keys().chain(after.keys()).collect();
        names.sort();
        names.dedup();
        let changes = names
            .into_iter()
            .filter(|name| before.get(*name) != after.get(*name))
            .map(|name| Change {
                what: name.clone(),
                from: before.get(name).cloned(),
                to: after.get(name).cloned(),
            })
            .collect();
        Self { changes }
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// Every single value of a record under its readable name.
fn values(record: &TenantRecord) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let tenant = format!("tenant {}", record.spec.name);
    values.insert(format!("{tenant}: weight"), record.spec.weight.to_string());
    flatten(&mut values, &tenant, "quota", &as_json(&record.spec.quota));
    flatten(&mut values, &tenant, "", &as_json(&record.spec.allowance));
    for (name, queue) in &record.spec.queues {
        let label = format!("queue {}/{name}", record.spec.name);
        flatten(&mut values, &label, "", &as_json(queue));
        if let Some(digest) = record.digest(&queue.plugin) {
            values.insert(format!("{label}: digest"), digest.to_string());
        }
        let canary = queue.canary.as_ref().and_then(|canary| record.digest(&canary.plugin(&queue.plugin)));
        if let Some(digest) = canary {
            values.insert(format!("{label}: canary.digest"), digest.to_string());
        }
    }
    for (name, schedule) in &record.spec.schedules {
        let label = format!("schedule {}/{name}", record.spec.name);
        flatten(&mut values, &label, "", &as_json(schedule));
    }
    values
}

fn as_json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("the domain's types have string keys only")
}

fn flatten(values: &mut BTreeMap<String, String>, label: &str, path: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(values, label, &path, value);
            }
        }
        Value::String(text) => {
            values.insert(format!("{label}: {path}"), text.clone());
        }
        other => {
            values.insert(format!("{label}: {path}"), other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Allowance, QueueSpec, Quota, TenantSpec};

    fn record() -> TenantRecord {
        let spec = TenantSpec {
            name: "acme".parse().unwrap(),
            weight: 1,
            quota: Quota::default(),
            allowance: Allowance::default(),
            queues: [("hello".parse().unwrap(), QueueSpec::new("hello@1.0.0".parse().unwrap()))].into(),
            schedules: BTreeMap::new(),
        };
        TenantRecord::new(spec, BTreeMap::new())
    }

    #[test]
    fn applying_the_same_again_changes_nothing() {
        assert!(Plan::between(Some(&record()), &record()).is_empty());
    }

    #[test]
    fn a_changed_value_is_shown_with_both_its_values() {
        let mut wanted = record();
        wanted.spec.queues.get_mut(&"hello".parse().unwrap()).unwrap().limits.fuel = 7;
        let plan = Plan::between(Some(&record()), &wanted);
        assert_eq!(plan.changes.len(), 1);
        assert_eq!(plan.changes[0].to_string(), "~ queue acme/hello: limits.fuel: 5000000000 -> 7");
    }

    #[test]
    fn schedules_and_canaries_are_part_of_a_plan() {
        let mut wanted = record();
        let queue: crate::QueueName = "hello".parse().unwrap();
        let schedule = crate::ScheduleSpec::new(queue.clone(), "@daily");
        wanted.spec.schedules.insert("nightly".parse().unwrap(), schedule);
        let canary = crate::Canary { version: "1.1.0".parse().unwrap(), percent: 10 };
        wanted.spec.queues.get_mut(&queue).unwrap().canary = Some(canary);
        let plan = Plan::between(Some(&record()), &wanted);
        let shown: Vec<_> = plan.changes.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown[..2],
            ["+ queue acme/hello: canary.percent: 10", "+ queue acme/hello: canary.version: 1.1.0"]
        );
        assert!(shown.contains(&"+ schedule acme/nightly: cron: @daily".to_owned()), "{shown:?}");
    }

    #[test]
    fn new_and_removed_queues_are_shown_whole() {
        let created = Plan::between(None, &record());
        assert!(created.changes.iter().all(|change| change.from.is_none()));
        let mut without = record();
        without.spec.queues.clear();
        let removed = Plan::between(Some(&record()), &without);
        assert!(removed.changes.iter().all(|change| change.to.is_none()));
        assert!(
            removed
                .changes
                .iter()
                .any(|change| change.to_string() == "- queue acme/hello: plugin: hello@1.0.0")
        );
    }
}

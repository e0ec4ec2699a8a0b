//! A tenant's file: its quota and its queues.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Ceilings, Consequence, Limits, Outcome, QueueName, QueueSpec, Quota, RetryPolicy, TenantSpec};

use super::grants::read_grants;
use super::problem::Problems;
use super::reader::{Document, Section};
use super::value::{Bytes, Parsed};

/// Reads a tenant's file. `ceilings` are the most that a queue may set.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn parse_tenant(file: &str, text: &str, ceilings: &Ceilings) -> Result<TenantSpec, Problems> {
    let mut document = Document::parse(file, text)?;
    let mut root = document.root();
    let mut tenant = root.section("tenant");
    let name = tenant.required::<Parsed<_>>("name");
    let weight = tenant.within("weight", 1, 1, QueueSpec::WEIGHT_MAX);
    let quota = read_quota(tenant.section("quota"));
    tenant.finish();
    let mut queues = BTreeMap::new();
    for section in root.sections("queue") {
        read_queue(section, ceilings, &mut queues);
    }
    for (queue, missing) in unknown_queues(&queues) {
        let text = format!("queue `{queue}` may submit to `{missing}`, and this file has no such queue");
        root.problem("queue", text);
    }
    root.finish();
    document.finish(name.map(|Parsed(name)| TenantSpec { name, weight, quota, queues }))
}

/// Queues that another one may submit to and that are not there.
fn unknown_queues(queues: &BTreeMap<QueueName, QueueSpec>) -> Vec<(QueueName, QueueName)> {
    let granted = queues.iter().flat_map(|(name, spec)| spec.grants.submit.iter().map(move |to| (name, to)));
    let unknown = granted.filter(|(_, to)| !queues.contains_key(to));
    unknown.map(|(name, to)| (name.clone(), to.clone())).collect()
}

fn read_quota(mut section: Section) -> Quota {
    let default = Quota::default();
    let mut size = |key, default, least| {
        let Bytes(bytes) = section.or(key, Bytes(default));
        if bytes < least {
            section.problem(key, format!("must be at least {}", crate::format_bytes(least)));
        }
        bytes
    };
    let bytes = size("bytes", default.bytes, Quota::BYTES_MIN);
    let results = size("results", default.results, Quota::RESULTS_MIN);
    let dead = size("dead", default.dead, Quota::BYTES_MIN);
    let kv = size("kv", default.kv, Quota::STORE_MIN);
    let blobs = size("blobs", default.blobs, Quota::STORE_MIN);
    let checkpoints = size("checkpoints", default.checkpoints, Quota::STORE_MIN);
    let payloads = size("payloads", default.payloads, Quota::STORE_MIN);
    let tasks = section.or("tasks", default.tasks);
    if tasks == 0 || i64::try_from(tasks).is_err() {
        section.problem("tasks", "must be from 1 to 2^63 - 1");
    }
    section.finish();
    Quota { tasks, bytes, results, dead, kv, blobs, checkpoints, payloads }
}

fn read_queue(mut section: Section, ceilings: &Ceilings, queues: &mut BTreeMap<QueueName, QueueSpec>) {
    let name = section.required::<Parsed<QueueName>>("name");
    let plugin = section.required::<Parsed<_>>("plugin");
    let concurrency =
        section.within("concurrency", QueueSpec::CONCURRENCY_DEFAULT, 1, QueueSpec::CONCURRENCY_MAX);
    let weight = section.within("weight", 1, 1, QueueSpec::WEIGHT_MAX);
    let results_ttl = section.or("results_ttl", QueueSpec::RESULTS_TTL_DEFAULT);
    if results_ttl < QueueSpec::RESULTS_TTL_MIN {
        section.problem("results_ttl", "must be at least \"1h\", so that a result outlives every redelivery");
    }
    let once = section.or("once", false);
    let events = section.or("events", false);
    let cancel_grace = section.or("cancel_grace", Duration::ZERO);
    if cancel_grace > QueueSpec::CANCEL_GRACE_MAX {
        section.problem("cancel_grace", "must be at most \"5m\"");
    }
    let cancel_grace = u64::try_from(cancel_grace.as_millis()).unwrap_or(u64::MAX);
    let limits = read_limits(section.section("limits"), ceilings);
    let retry = read_retry(section.section("retry"));
    let grants = read_grants(section.section("grants"));
    let (Some(Parsed(name)), Some(Parsed(plugin))) = (name, plugin) else { return section.finish() };
    if queues.contains_key(&name) {
        section.problem("name", format!("`{name}` is used by an earlier queue of this file"));
    }
    section.finish();
    let results_ttl = results_ttl.as_secs();
    queues.insert(
        name,
        QueueSpec {
            plugin,
            concurrency,
            weight,
            results_ttl,
            once,
            events,
            cancel_grace,
            limits,
            retry,
            grants,
        },
    );
}

/// Reads limits, and records every one that the host would not serve.
pub(super) fn read_limits(mut section: Section, ceilings: &Ceilings) -> Limits {
    let limits = limits_or(&mut section, &Limits::default());
    for (key, objection) in ceilings.objections(&limits) {
        section.problem(key, objection);
    }
    section.finish();
    limits
}

/// Reads the keys of limits, each with its own default.
pub(super) fn limits_or(section: &mut Section, default: &Limits) -> Limits {
    Limits {
        fuel: section.or("fuel", default.fuel),
        memory: section.or("memory", Bytes(default.memory)).0,
        timeout: section.or("timeout", default.timeout),
        output: section.or("output", Bytes(default.output)).0,
        log: section.or("log", Bytes(default.log)).0,
        host_call: section.or("host_call", Bytes(default.host_call)).0,
        resources: section.or("resources", default.resources),
    }
}

fn read_retry(mut section: Section) -> RetryPolicy {
    let default = RetryPolicy::default();
    let retry = RetryPolicy {
        attempts: section.or("attempts", default.attempts),
        base: section.or("base", Duration::from_secs_f64(default.base)).as_secs_f64(),
        factor: section.or("factor", default.factor),
        cap: section.or("cap", Duration::from_secs_f64(default.cap)).as_secs_f64(),
        on: read_consequences(&mut section),
    };
    for (key, objection) in retry.objections() {
        section.problem(key, objection);
    }
    section.finish();
    retry
}

/// `on = { trapped = "dead-letter" }`.
fn read_consequences(section: &mut Section) -> BTreeMap<Outcome, Consequence> {
    let written: BTreeMap<String, String> = section.or("on", BTreeMap::new());
    let mut read = BTreeMap::new();
    for (outcome, consequence) in written {
        let known = [Consequence::Retry, Consequence::DeadLetter];
        let consequence = known.into_iter().find(|known| known.as_str() == consequence);
        match (outcome.parse::<Outcome>(), consequence) {
            (Ok(outcome), Some(consequence)) => drop(read.insert(outcome, consequence)),
            (Err(unknown), _) => section.problem("on", format!("names one that is none: {unknown}")),
            (Ok(_), None) => {
                section.problem("on", format!("`{outcome}` must be \"retry\" or \"dead-letter\""));
            }
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TenantSpec, Problems> {
        parse_tenant("acme.toml", text, &Ceilings::default())
    }

    #[test]
    fn the_file_of_the_documentation_is_read() {
        let spec = parse(
            r#"
[tenant]
name = "acme"
weight = 1
quota = { tasks = 100_000, bytes = "1GiB", results = "1GiB", dead = "256MiB", kv = "64MiB", blobs = "1GiB", checkpoints = "256MiB", payloads = "1GiB" }

[[queue]]
name = "thumbnail"
plugin = "thumbnail@1.2.0"
concurrency = 64
weight = 1
results_ttl = "24h"
once = false
events = false
cancel_grace = "0s"
limits = { fuel = 5_000_000_000, memory = "128MiB", timeout = "30s", output = "768KiB", log = "256KiB" }
retry = { attempts = 5, base = "1s", factor = 2, cap = "5m" }
"#,
        )
        .unwrap();
        assert_eq!(spec.quota, Quota::default());
        assert_eq!(
            spec.queues[&"thumbnail".parse().unwrap()],
            QueueSpec::new("thumbnail@1.2.0".parse().unwrap()),
            "every value of the example is the default"
        );
    }

    #[test]
    fn every_key_but_the_names_has_a_default() {
        let spec = parse("[tenant]\nname='a'\n[[queue]]\nname='q'\nplugin='p@1'").unwrap();
        assert_eq!(spec.queues[&"q".parse().unwrap()], QueueSpec::new("p@1".parse().unwrap()));
    }

    #[test]
    fn all_mistakes_of_a_file_are_reported_together() {
        let problems = parse(
            "[tenant]\nname = 'Acme'\nquota = { results = '1KiB', kv = '1MiB' }\n[[queue]]\nname = 'q'\nplugin = 'p'\n\
             concurrency = 0\nresults_ttl = '5m'\ncancel_grace = '6m'\nlimits = { fuel = 0, memory = '64GiB', timeout = '-1s' }\n\
             retry = { attempts = 0, on = { crashed = 'retry', trapped = 'never', expired = 'retry' } }\nconcurency = 1\n[[queue]]\nplugin = 'p@1'\n",
        )
        .unwrap_err()
        .to_string();
        for part in [
            "line 2: `tenant.name` cannot be read",
            "`tenant.quota.results` must be at least",
            "`tenant.quota.kv` must be at least 2.0 MiB",
            "`queue.plugin` cannot be read: `p` names no version",
            "`queue.concurrency` must be from 1",
            "`queue.results_ttl`",
            "`queue.cancel_grace` must be at most",
            "`queue.limits.fuel` must be more than 0",
            "`queue.limits.memory` is 64.0 GiB, more than",
            "`queue.limits.timeout` is not a duration",
            "`queue.retry.attempts`",
            "`queue.retry.on` names one that is none: `crashed` is not an outcome",
            "`queue.retry.on` `trapped` must be",
            "`queue.retry.on` cannot change what follows from `expired`",
            "`queue.concurency` is not known; did you mean `concurrency`?",
            "line 13: `queue.name` is missing",
        ] {
            assert!(problems.contains(part), "{part}\nis not in\n{problems}");
        }
    }

    #[test]
    fn two_queues_of_one_name_are_refused() {
        let text = "[tenant]\nname='a'\n[[queue]]\nname='q'\nplugin='p@1'\n[[queue]]\nname='q'\nplugin='p@2'";
        assert!(parse(text).unwrap_err().to_string().contains("used by an earlier queue"));
    }
}

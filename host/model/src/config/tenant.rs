//! A tenant's file: its quota, its queues and its schedules.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::{
    Allowance, Canary, Ceilings, Consequence, Limits, Outcome, PluginRef, PluginVersion, QueueName,
    QueueSpec, Quota, RetryPolicy, TenantSpec, format_bytes,
};

use super::allowance::{read_concurrency, read_key, read_rate, read_spending};
use super::grants::read_grants;
use super::problem::Problems;
use super::reader::{Document, Section};
use super::schedule::read_schedules;
use super::value::{Bytes, Parsed};

/// What a tenant's file says, and where it says what only NATS can judge.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantFile {
    /// The tenant.
    pub spec: TenantSpec,
    /// The file, as its reader named it.
    pub file: String,
    /// The lines in which queues name their plugins, and their canaries.
    pub plugins: BTreeMap<QueueName, PluginLines>,
}

/// Where a queue names what it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PluginLines {
    /// Its plugin.
    pub plugin: Option<usize>,
    /// Its canary.
    pub canary: Option<usize>,
}

/// Reads a tenant's file. `ceilings` are the most that a queue may set.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn parse_tenant(file: &str, text: &str, ceilings: &Ceilings) -> Result<TenantFile, Problems> {
    let mut document = Document::parse(file, text)?;
    let mut root = document.root();
    let mut tenant = root.section("tenant");
    let name = tenant.required::<Parsed<_>>("name");
    let weight = tenant.within("weight", 1, 1, QueueSpec::WEIGHT_MAX);
    let (quota, spending) = read_quota(tenant.section("quota"));
    let concurrency = read_concurrency(&mut tenant);
    let allowance = Allowance { concurrency, rate: read_rate(&mut tenant), ..spending };
    tenant.finish();
    let sections = root.sections("queue");
    let names = sections.iter().filter_map(|queue| queue.peek("name")).map(|Parsed(name)| name);
    let around = Around { ceilings, quota: &quota, names: names.collect() };
    let mut queues = BTreeMap::new();
    let mut plugins = BTreeMap::new();
    for section in sections {
        if let Some(Parsed(name)) = section.peek("name") {
            let lines = PluginLines { plugin: section.line_of("plugin"), canary: section.line_of("canary") };
            plugins.insert(name, lines);
        }
        read_queue(section, &around, &mut queues);
    }
    let schedules = read_schedules(&mut root, &around.names);
    root.finish();
    let spec = name.map(|Parsed(name)| TenantSpec { name, weight, quota, allowance, queues, schedules });
    document.finish(spec.map(|spec| TenantFile { spec, file: file.to_owned(), plugins }))
}

/// What a queue must fit.
struct Around<'a> {
    ceilings: &'a Ceilings,
    quota: &'a Quota,
    /// The queues of the file.
    names: BTreeSet<QueueName>,
}

fn read_quota(mut section: Section) -> (Quota, Allowance) {
    let default = Quota::default();
    let mut size = |key, default, least| {
        let Bytes(bytes) = section.or(key, Bytes(default));
        if bytes < least {
            section.problem(key, format!("must be at least {}", format_bytes(least)));
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
    let spending = read_spending(&mut section);
    section.finish();
    (Quota { tasks, bytes, results, dead, kv, blobs, checkpoints, payloads }, spending)
}

fn read_queue(mut section: Section, around: &Around, queues: &mut BTreeMap<QueueName, QueueSpec>) {
    let name = section.required::<Parsed<QueueName>>("name");
    let plugin = section.required::<Parsed<PluginRef>>("plugin");
    let canary = section.optional_section("canary").map(|canary| read_canary(canary, plugin.as_ref()));
    let concurrency =
        section.within("concurrency", QueueSpec::CONCURRENCY_DEFAULT, 1, QueueSpec::CONCURRENCY_MAX);
    let rate = read_rate(&mut section);
    let key = section.optional_section("key").and_then(read_key);
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
    let limits = read_limits(section.section("limits"), around.ceilings);
    let most = Limits::OUTPUT_DEFAULT.max(around.quota.payloads);
    if limits.output > most {
        let text = format!(
            "lets one output have {}, and `tenant.quota.payloads` has room for {}",
            format_bytes(limits.output),
            format_bytes(around.quota.payloads)
        );
        section.problem("limits", text);
    }
    let retry = read_retry(section.section("retry"));
    let grants = read_grants(section.section("grants"), Some(&around.names));
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
            canary: canary.flatten(),
            concurrency,
            rate,
            key,
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

fn read_canary(mut section: Section, plugin: Option<&Parsed<PluginRef>>) -> Option<Canary> {
    let version = section.required::<Parsed<PluginVersion>>("version");
    let percent = section.required::<u32>("percent");
    if let (Some(Parsed(version)), Some(Parsed(plugin))) = (&version, plugin)
        && plugin.version() == Some(version)
    {
        section.problem("version", "is the version that the queue runs anyway");
    }
    if percent.is_some_and(|percent| percent > Canary::PERCENT_MAX) {
        section.problem("percent", format!("must be from 0 to {}", Canary::PERCENT_MAX));
    }
    section.finish();
    version.zip(percent).map(|(Parsed(version), percent)| Canary { version, percent })
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
        parse_tenant("acme.toml", text, &Ceilings::default()).map(|file| file.spec)
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
    fn a_file_says_where_it_names_plugins() {
        let text =
            "[tenant]\nname='a'\n[[queue]]\nname='q'\nplugin='p@1'\n[queue.canary]\nversion='2'\npercent=1";
        let file = parse_tenant("acme.toml", text, &Ceilings::default()).unwrap();
        let lines = PluginLines { plugin: Some(5), canary: Some(6) };
        assert_eq!(file.plugins[&"q".parse().unwrap()], lines);
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
            "line 12: `queue.concurency` is not known; did you mean `concurrency`?",
            "line 7: `queue.concurrency`",
            "line 13: `queue.name` is missing",
        ] {
            assert!(problems.contains(part), "{part}\nis not in\n{problems}");
        }
    }

    #[test]
    fn a_canary_is_another_version_for_some_of_a_hundred_tasks() {
        let read = |canary: &str| {
            parse(&format!("[tenant]\nname='a'\n[[queue]]\nname='q'\nplugin='p@1.2.0'\ncanary = {canary}\n"))
        };
        let spec = read("{ version = '1.3.0', percent = 10 }").unwrap();
        let canary = spec.queues[&"q".parse().unwrap()].canary.clone().unwrap();
        assert_eq!((canary.version.as_str(), canary.percent), ("1.3.0", 10));
        for (canary, part) in [
            ("'1.3.0'", "line 6: `queue.canary` must be a table, and is a text"),
            ("{ version = '1.3.0' }", "line 6: `queue.canary.percent` is missing"),
            ("{ percent = 1 }", "line 6: `queue.canary.version` is missing"),
            ("{ version = '1.3.0', percent = 101 }", "`queue.canary.percent` must be from 0 to 100"),
            ("{ version = '1.3.0', percent = 1.5 }", "must be a whole number"),
            ("{ version = '1.2.0', percent = 1 }", "is the version that the queue runs anyway"),
            ("{ version = 'p@1', percent = 1 }", "is not a plugin version"),
            ("{ version = '1.3.0', percentage = 1 }", "did you mean `percent`?"),
        ] {
            let problems = read(canary).unwrap_err().to_string();
            assert!(problems.contains(part), "{part}\nis not in\n{problems}");
        }
    }

    #[test]
    fn a_mistake_stands_in_the_line_of_its_key() {
        let text = "[tenant]\nname='a'\n[tenant.quota]\ntasks = 1\n\nresults = '1KiB'\n[[queue]]\nname='q'\n\
                    plugin='p@1'\n[queue.limits]\nfuel = 1\nmemory = '64GiB'\n[queue.grants]\nkv = true\nsubmit = ['p']\n";
        let problems = parse(text).unwrap_err().to_string();
        for part in [
            "line 6: `tenant.quota.results`",
            "line 12: `queue.limits.memory`",
            "line 15: `queue.grants.submit` names `p`, and this file has no such queue",
        ] {
            assert!(problems.contains(part), "{part}\nis not in\n{problems}");
        }
    }

    #[test]
    fn a_quota_must_hold_what_the_limits_allow() {
        let text = |output| {
            format!(
                "[tenant]\nname='a'\nquota = {{ payloads = '2MiB' }}\n[[queue]]\nname='q'\nplugin='p@1'\n\
                 limits = {{ output = '{output}' }}"
            )
        };
        parse(&text("2MiB")).unwrap();
        let problems = parse(&text("3MiB")).unwrap_err().to_string();
        assert!(problems.contains("line 7: `queue.limits` lets one output have 3.0 MiB"), "{problems}");
    }

    #[test]
    fn two_queues_of_one_name_are_refused() {
        let text = "[tenant]\nname='a'\n[[queue]]\nname='q'\nplugin='p@1'\n[[queue]]\nname='q'\nplugin='p@2'";
        assert!(parse(text).unwrap_err().to_string().contains("used by an earlier queue"));
    }
}

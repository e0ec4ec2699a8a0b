//! Writes a tenant as a file that reads back as the same tenant. What has its default value is left out.
//!
//! Each part is taken to pieces by name, so that a key that is new does not compile until it is written here as well.

use std::fmt::Display;
use std::time::Duration;

use crate::{
    Allowance, Canary, Grants, HttpGrant, KeyLimits, Limits, QueueName, QueueSpec, Quota, RateLimit,
    RetryPolicy, ScheduleName, ScheduleSpec, SecretGrant, TenantSpec,
};

/// The file of a tenant.
#[must_use]
pub fn write_tenant(spec: &TenantSpec) -> String {
    let TenantSpec { name, weight, quota, allowance, queues, schedules } = spec;
    let mut keys = Keys::default();
    keys.always("name", text(name));
    keys.unless(1, "weight", *weight, number);
    let Allowance { concurrency, rate, .. } = allowance;
    keys.some("concurrency", *concurrency, number);
    keys.rate(rate.as_ref());
    keys.table("quota", quota_keys(quota, allowance));
    let tenant = format!("[tenant]\n{}", keys.lines());
    let queues = queues.iter().map(|(name, queue)| format!("[[queue]]\n{}", queue_keys(name, queue).lines()));
    let schedules = schedules
        .iter()
        .map(|(name, schedule)| format!("[[schedule]]\n{}", schedule_keys(name, schedule).lines()));
    std::iter::once(tenant).chain(queues).chain(schedules).collect::<Vec<_>>().join("\n")
}

fn quota_keys(quota: &Quota, allowance: &Allowance) -> Keys {
    let Quota { tasks, bytes, results, dead, kv, blobs, checkpoints, payloads } = *quota;
    let Allowance { concurrency: _, rate: _, fuel_per_minute, cpu_per_day, logs_per_minute } = *allowance;
    let default = Quota::default();
    let mut keys = Keys::default();
    keys.unless(default.tasks, "tasks", tasks, number);
    keys.unless(default.bytes, "bytes", bytes, size);
    keys.unless(default.results, "results", results, size);
    keys.unless(default.dead, "dead", dead, size);
    keys.unless(default.kv, "kv", kv, size);
    keys.unless(default.blobs, "blobs", blobs, size);
    keys.unless(default.checkpoints, "checkpoints", checkpoints, size);
    keys.unless(default.payloads, "payloads", payloads, size);
    keys.some("fuel_per_minute", fuel_per_minute, number);
    keys.some("cpu_per_day", cpu_per_day, |millis| duration(Duration::from_millis(millis)));
    keys.some("logs_per_minute", logs_per_minute, size);
    keys
}

fn queue_keys(name: &QueueName, queue: &QueueSpec) -> Keys {
    let QueueSpec {
        plugin,
        canary,
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
    } = queue;
    let default = QueueSpec::new(plugin.clone());
    let mut keys = Keys::default();
    keys.always("name", text(name));
    keys.always("plugin", text(plugin));
    if let Some(Canary { version, percent }) = canary {
        let mut canary = Keys::default();
        canary.always("version", text(version));
        canary.always("percent", percent.to_string());
        keys.table("canary", canary);
    }
    keys.unless(default.concurrency, "concurrency", *concurrency, number);
    keys.rate(rate.as_ref());
    if let Some(KeyLimits { header, concurrency, rate }) = key {
        let mut limits = Keys::default();
        limits.always("header", text(header));
        limits.some("concurrency", *concurrency, number);
        limits.rate(rate.as_ref());
        keys.table("key", limits);
    }
    keys.unless(default.weight, "weight", *weight, number);
    keys.unless(default.results_ttl, "results_ttl", *results_ttl, |seconds| {
        duration(Duration::from_secs(seconds))
    });
    keys.unless(default.once, "once", *once, number);
    keys.unless(default.events, "events", *events, number);
    keys.unless(default.cancel_grace, "cancel_grace", *cancel_grace, |millis| {
        duration(Duration::from_millis(millis))
    });
    keys.table("limits", limits_keys(limits));
    keys.table("retry", retry_keys(retry));
    keys.table("grants", grants_keys(grants));
    keys
}

fn limits_keys(limits: &Limits) -> Keys {
    let Limits { fuel, memory, timeout, output, log, host_call, resources } = *limits;
    let default = Limits::default();
    let mut keys = Keys::default();
    keys.unless(default.fuel, "fuel", fuel, number);
    keys.unless(default.memory, "memory", memory, size);
    keys.unless(default.timeout, "timeout", timeout, duration);
    keys.unless(default.output, "output", output, size);
    keys.unless(default.log, "log", log, size);
    keys.unless(default.host_call, "host_call", host_call, size);
    keys.unless(default.resources, "resources", resources, number);
    keys
}

fn retry_keys(retry: &RetryPolicy) -> Keys {
    let RetryPolicy { attempts, base, factor, cap, on } = retry;
    let default = RetryPolicy::default();
    let seconds = |seconds| duration(Duration::try_from_secs_f64(seconds).unwrap_or_default());
    let mut keys = Keys::default();
    keys.unless(default.attempts, "attempts", *attempts, number);
    keys.unless(default.base, "base", *base, seconds);
    keys.unless(default.factor, "factor", *factor, |factor| format!("{factor:?}"));
    keys.unless(default.cap, "cap", *cap, seconds);
    let mut consequences = Keys::default();
    for (outcome, consequence) in on {
        consequences.always(outcome.as_str(), text(consequence.as_str()));
    }
    keys.table("on", consequences);
    keys
}

fn grants_keys(grants: &Grants) -> Keys {
    let Grants { config, secrets, kv, blobs, http, submit, clock } = grants;
    let mut keys = Keys::default();
    let mut values = Keys::default();
    for (key, value) in config {
        values.always(key.as_str(), text(value));
    }
    keys.table("config", values);
    keys.list("secrets", secrets.iter().map(secret));
    keys.unless(false, "kv", *kv, number);
    keys.unless(false, "blobs", *blobs, number);
    keys.list("http", http.iter().map(|grant| http_keys(grant).inline()));
    keys.list("submit", submit.iter().map(text));
    keys.unless(false, "clock", *clock, number);
    keys
}

fn secret(grant: &SecretGrant) -> String {
    let SecretGrant { name, only_to } = grant;
    if only_to.is_empty() {
        return text(name);
    }
    let mut keys = Keys::default();
    keys.always("name", text(name));
    keys.list("only_to", only_to.iter().map(text));
    keys.inline()
}

fn http_keys(grant: &HttpGrant) -> Keys {
    let HttpGrant { host, methods, ports, tls, addresses, max_response } = grant;
    let default = HttpGrant::new(host.clone());
    let mut keys = Keys::default();
    keys.always("host", text(host));
    if *methods != default.methods {
        keys.list("methods", methods.iter().map(text));
    }
    keys.list("ports", ports.iter().flatten().map(ToString::to_string));
    keys.unless(true, "tls", *tls, number);
    keys.list("addresses", addresses.iter().map(text));
    keys.unless(default.max_response, "max_response", *max_response, size);
    keys
}

fn schedule_keys(name: &ScheduleName, schedule: &ScheduleSpec) -> Keys {
    let ScheduleSpec { queue, cron, zone, overlap, catch_up, payload, content_type, headers } = schedule;
    let default = ScheduleSpec::new(queue.clone(), cron);
    let mut keys = Keys::default();
    keys.always("name", text(name));
    keys.always("queue", text(queue));
    keys.always("cron", text(cron));
    keys.unless(&default.zone, "zone", zone, text);
    keys.unless(default.overlap, "overlap", *overlap, |overlap| text(overlap.as_str()));
    keys.unless(default.catch_up, "catch_up", *catch_up, |catch_up| text(catch_up.as_str()));
    keys.unless(&default.payload, "payload", payload, text);
    if let Some(content_type) = content_type {
        keys.always("content_type", text(content_type));
    }
    let mut values = Keys::default();
    for (header, value) in headers {
        values.always(header, text(value));
    }
    keys.table("headers", values);
    keys
}

/// Keys with their values as TOML has them.
#[derive(Default)]
struct Keys(Vec<String>);

impl Keys {
    fn always(&mut self, key: &str, value: String) {
        let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let key = if !key.is_empty() && key.bytes().all(bare) { key.to_owned() } else { text(key) };
        self.0.push(format!("{key} = {value}"));
    }

    fn unless<T: PartialEq>(&mut self, default: T, key: &str, value: T, written: impl Fn(T) -> String) {
        if value != default {
            self.always(key, written(value));
        }
    }

    fn some<T>(&mut self, key: &str, value: Option<T>, written: impl Fn(T) -> String) {
        if let Some(value) = value {
            self.always(key, written(value));
        }
    }

    fn rate(&mut self, limit: Option<&RateLimit>) {
        if let Some(RateLimit { rate, burst }) = limit {
            self.always("rate", text(rate));
            self.unless(rate.usual_burst(), "burst", *burst, number);
        }
    }

    fn table(&mut self, key: &str, keys: Self) {
        if !keys.0.is_empty() {
            self.always(key, keys.inline());
        }
    }

    fn list(&mut self, key: &str, values: impl Iterator<Item = String>) {
        let values: Vec<_> = values.collect();
        if !values.is_empty() {
            self.always(key, format!("[{}]", values.join(", ")));
        }
    }

    fn inline(&self) -> String {
        format!("{{ {} }}", self.0.join(", "))
    }

    fn lines(&self) -> String {
        self.0.join("\n") + "\n"
    }
}

fn number(value: impl Display) -> String {
    value.to_string()
}

/// A basic string. JSON escapes all that TOML does, but for one character.
fn text(value: impl Display) -> String {
    serde_json::Value::String(value.to_string()).to_string().replace('\u{7f}', "\\u007f")
}

fn duration(duration: Duration) -> String {
    text(humantime::format_duration(duration))
}

/// A size in the largest unit that it is a multiple of.
fn size(bytes: u64) -> String {
    let unit = [(30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    match unit {
        Some((shift, unit)) => format!("\"{}{unit}\"", bytes >> shift),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests;

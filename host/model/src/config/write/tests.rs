//! Whatever a tenant is, its file reads back as the same.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::super::tenant::parse_tenant;
use super::*;
use crate::{CatchUp, Ceilings, Consequence, Outcome, Overlap, PluginRef, Rate};

/// Texts that are hard to write down: quotes, escapes, line breaks, what no terminal should see.
fn any_text() -> impl Strategy<Value = String> {
    vec(
        prop_oneof![
            Just('"'),
            Just('\\'),
            Just('\n'),
            Just('\r'),
            Just('\u{7f}'),
            Just('\0'),
            Just('#'),
            Just('ß'),
            Just('𝄞'),
            any::<char>(),
        ],
        0..12,
    )
    .prop_map(String::from_iter)
}

fn milliseconds(most: u64) -> impl Strategy<Value = Duration> {
    (1..=most).prop_map(Duration::from_millis)
}

fn any_limits() -> impl Strategy<Value = Limits> {
    let most = Ceilings::default().0;
    (
        1..=most.fuel,
        1u64 << 20..=most.memory,
        milliseconds(86_400_000),
        1..=2u64 << 20,
        1..=most.log,
        1..=most.resources,
    )
        .prop_map(move |(fuel, memory, timeout, output, log, resources)| Limits {
            fuel,
            memory,
            timeout,
            output,
            log,
            resources,
            ..Limits::default()
        })
}

fn any_retry() -> impl Strategy<Value = RetryPolicy> {
    let on = prop_oneof![
        Just(BTreeMap::new()),
        Just(BTreeMap::from([(Outcome::Trapped, Consequence::DeadLetter)])),
        Just(BTreeMap::from([
            (Outcome::OutOfFuel, Consequence::Retry),
            (Outcome::TimedOut, Consequence::Retry)
        ])),
    ];
    (1..=1000u32, milliseconds(5_000_000), 1.0..1000.0f64, milliseconds(5_000_000), on).prop_map(
        |(attempts, base, factor, more, on)| RetryPolicy {
            attempts,
            base: base.as_secs_f64(),
            factor,
            cap: (base + more).as_secs_f64(),
            on,
        },
    )
}

fn any_grants() -> impl Strategy<Value = Grants> {
    let http = (0..3u32, option::of(vec(1..=65535u16, 1..3)), any::<bool>(), 1..=1u64 << 30).prop_map(
        |(kind, ports, tls, max_response)| HttpGrant {
            ports,
            tls,
            max_response,
            methods: [vec!["GET", "HEAD"], vec!["POST"], vec!["DELETE", "X-CUSTOM"]][kind as usize]
                .iter()
                .map(|method| (*method).to_owned())
                .collect(),
            addresses: if kind == 2 {
                vec!["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]
            } else {
                Vec::new()
            },
            ..HttpGrant::new(
                ["api.example.com", "*.example.org", "192.0.2.7"][kind as usize].parse().unwrap(),
            )
        },
    );
    let config = btree_map("[a-z][a-z0-9_]{0,8}", any_text(), 0..3);
    (config, any::<[bool; 5]>(), vec(http, 0..3)).prop_map(
        |(config, [kv, blobs, clock, secret, hidden], mut http)| {
            let mut secrets = BTreeSet::new();
            if secret {
                secrets.insert(SecretGrant::readable("API_TOKEN".parse().unwrap()));
            }
            if hidden {
                http.push(HttpGrant::new("hooks.example.net".parse().unwrap()));
                let only_to = vec!["hooks.example.net".parse().unwrap()];
                secrets.insert(SecretGrant { name: "KEY".parse().unwrap(), only_to });
            }
            let config =
                config.into_iter().filter_map(|(key, value)| Some((key.parse().ok()?, value))).collect();
            Grants { config, secrets, kv, blobs, http, submit: BTreeSet::new(), clock }
        },
    )
}

fn any_rate() -> impl Strategy<Value = Option<RateLimit>> {
    let rate = (1..=1_000_000u32, prop_oneof![Just("s"), Just("min"), Just("h")], 1..=1_000_000u32);
    option::of(rate.prop_map(|(count, period, burst)| {
        let rate: Rate = format!("{count}/{period}").parse().unwrap();
        // Most files say nothing of the burst.
        RateLimit { rate, burst: if burst % 2 == 0 { burst } else { rate.usual_burst() } }
    }))
}

fn any_key() -> impl Strategy<Value = Option<KeyLimits>> {
    let limits = ("[A-Za-z]{1,8}", option::of(1..=100_000u32), any_rate());
    option::of(limits.prop_map(|(header, concurrency, rate)| {
        let concurrency = concurrency.or(if rate.is_none() { Some(1) } else { None });
        KeyLimits { header, concurrency, rate }
    }))
}

fn any_allowance() -> impl Strategy<Value = Allowance> {
    let spending = (
        option::of(Allowance::FUEL_MIN..=i64::MAX.cast_unsigned()),
        option::of(1_000..=86_400_000u64),
        option::of(Allowance::LOGS_MIN..=1 << 40),
    );
    (option::of(1..=100_000u32), any_rate(), spending).prop_map(|(concurrency, rate, spending)| {
        let (fuel_per_minute, cpu_per_day, logs_per_minute) = spending;
        Allowance { concurrency, rate, fuel_per_minute, cpu_per_day, logs_per_minute }
    })
}

fn any_queue() -> impl Strategy<Value = QueueSpec> {
    let plugin = prop_oneof![
        Just("thumbnail@1.2.0".to_owned()),
        Just(format!("thumbnail@{}", crate::Digest::of(b"x"))),
    ];
    let canary =
        option::of((0..=100u32).prop_map(|percent| Canary { version: "1.3.0".parse().unwrap(), percent }));
    let numbers = (1..=100_000u32, 1..=1000u32, 3600..1_000_000u64, 0..=300_000u64);
    let limits = (any_limits(), any_rate(), any_key());
    let parts = (plugin, canary, numbers, any::<[bool; 2]>(), limits, any_retry(), any_grants());
    parts.prop_map(|(plugin, canary, numbers, [once, events], (limits, rate, key), retry, grants)| {
        let (concurrency, weight, results_ttl, cancel_grace) = numbers;
        let plugin: PluginRef = plugin.parse().unwrap();
        QueueSpec {
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
        }
    })
}

fn any_schedule() -> impl Strategy<Value = ScheduleSpec> {
    let overlap = prop_oneof![Just(Overlap::Skip), Just(Overlap::Queue), Just(Overlap::Replace)];
    let catch_up = prop_oneof![Just(CatchUp::None), Just(CatchUp::Last), Just(CatchUp::All)];
    let headers = btree_map("X-[A-Za-z]{1,8}", "[ -~]{0,12}", 0..3);
    let content_type = option::of("[a-z]{1,8}/[a-z]{1,8}");
    (overlap, catch_up, any_text(), content_type, headers, any::<bool>()).prop_map(
        |(overlap, catch_up, payload, content_type, headers, berlin)| ScheduleSpec {
            queue: "thumbnail".parse().unwrap(),
            cron: if berlin { "0 3 * * MON-FRI" } else { "@daily" }.to_owned(),
            zone: if berlin { "Europe/Berlin" } else { "UTC" }.to_owned(),
            overlap,
            catch_up,
            payload,
            content_type,
            headers,
        },
    )
}

fn any_quota() -> impl Strategy<Value = Quota> {
    let stores = || 2u64 << 20..=i64::MAX.cast_unsigned();
    (1..=i64::MAX.cast_unsigned(), stores(), 64u64 << 20..=1 << 50, (stores(), stores(), stores())).prop_map(
        |(tasks, bytes, results, (kv, blobs, payloads))| Quota {
            tasks,
            bytes,
            results,
            kv,
            blobs,
            payloads,
            ..Quota::default()
        },
    )
}

fn any_tenant() -> impl Strategy<Value = TenantSpec> {
    let queues = btree_map("[a-z]{1,12}", any_queue(), 0..4);
    let schedules = btree_map("[a-z]{1,12}", any_schedule(), 0..3);
    (1..=1000u32, (any_quota(), any_allowance()), any_queue(), queues, schedules, any::<bool>()).prop_map(
        |(weight, (quota, allowance), thumbnail, queues, schedules, submits)| {
            let mut queues: BTreeMap<QueueName, QueueSpec> =
                queues.into_iter().map(|(name, queue)| (name.parse().unwrap(), queue)).collect();
            queues.insert("thumbnail".parse().unwrap(), thumbnail);
            let names: BTreeSet<_> = queues.keys().cloned().collect();
            if submits && let Some(queue) = queues.values_mut().next() {
                queue.grants.submit = names;
            }
            let schedules = schedules.into_iter().map(|(name, it)| (name.parse().unwrap(), it)).collect();
            TenantSpec { name: "acme".parse().unwrap(), weight, quota, allowance, queues, schedules }
        },
    )
}

proptest! {
    #[test]
    fn a_file_that_was_written_reads_back_as_the_same_tenant(tenant in any_tenant()) {
        let file = write_tenant(&tenant);
        let read = parse_tenant("written.toml", &file, &Ceilings::default()).map(|file| file.spec);
        prop_assert_eq!(read.as_ref(), Ok(&tenant), "{}", file);
    }
}

#[test]
fn what_has_its_default_is_left_out() {
    let queue = QueueSpec::new("hello@0.1.0".parse().unwrap());
    let spec = TenantSpec {
        name: "acme".parse().unwrap(),
        weight: 1,
        quota: Quota { bytes: 64 << 20, ..Quota::default() },
        allowance: Allowance::default(),
        queues: [("hello".parse().unwrap(), queue)].into(),
        schedules: BTreeMap::new(),
    };
    let expected = "[tenant]\nname = \"acme\"\nquota = { bytes = \"64MiB\" }\n\n\
                    [[queue]]\nname = \"hello\"\nplugin = \"hello@0.1.0\"\n";
    assert_eq!(write_tenant(&spec), expected);
}

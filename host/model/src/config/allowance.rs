//! The keys that say how much may be started and spent.

use std::time::Duration;

use crate::{Allowance, KeyLimits, QueueSpec, Rate, RateLimit, format_bytes};

use super::reader::Section;
use super::value::{Bytes, Parsed};

/// Reads `concurrency` where it is no more than a limit.
pub(super) fn read_concurrency(section: &mut Section) -> Option<u32> {
    let concurrency = section.optional::<u32>("concurrency")?;
    if !(1..=QueueSpec::CONCURRENCY_MAX).contains(&concurrency) {
        section.problem("concurrency", format!("must be from 1 to {}", QueueSpec::CONCURRENCY_MAX));
    }
    Some(concurrency)
}

/// Reads `rate` and `burst`.
pub(super) fn read_rate(section: &mut Section) -> Option<RateLimit> {
    let rate = section.optional::<Parsed<Rate>>("rate").map(|Parsed(rate)| rate);
    let burst = section.optional::<u32>("burst");
    if burst.is_some_and(|burst| !(1..=RateLimit::BURST_MAX).contains(&burst)) {
        section.problem("burst", format!("must be from 1 to {}", RateLimit::BURST_MAX));
    }
    match (rate, burst) {
        (Some(rate), burst) => Some(RateLimit { rate, burst: burst.unwrap_or(rate.usual_burst()) }),
        // One that cannot be read is reported by now.
        (None, Some(_)) => {
            section.problem("burst", "has no meaning without a `rate` beside it");
            None
        }
        (None, None) => None,
    }
}

/// Reads `queue.key`.
pub(super) fn read_key(mut section: Section) -> Option<KeyLimits> {
    let header = section.required::<String>("header");
    let concurrency = read_concurrency(&mut section);
    let rate = read_rate(&mut section);
    let limits = header.map(|header| KeyLimits { header, concurrency, rate });
    if let Some(objection) = limits.as_ref().and_then(KeyLimits::header_objection) {
        section.problem("header", objection);
    }
    if limits.is_some() && concurrency.is_none() && rate.is_none() {
        section.problem("header", "limits nothing by itself: add `concurrency`, `rate` or both");
    }
    section.finish();
    limits
}

/// Reads what a quota says of what is spent in a time.
pub(super) fn read_spending(section: &mut Section) -> Allowance {
    let fuel_per_minute = section.optional::<u64>("fuel_per_minute");
    if fuel_per_minute.is_some_and(|fuel| fuel < Allowance::FUEL_MIN) {
        section.problem("fuel_per_minute", format!("must be at least {}", Allowance::FUEL_MIN));
    }
    let cpu_per_day = section.optional::<Duration>("cpu_per_day");
    if cpu_per_day.is_some_and(|time| time < Allowance::CPU_MIN) {
        section.problem("cpu_per_day", "must be at least \"1s\"");
    }
    let cpu_per_day = cpu_per_day.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let logs_per_minute = section.optional::<Bytes>("logs_per_minute").map(|Bytes(bytes)| bytes);
    if logs_per_minute.is_some_and(|bytes| bytes < Allowance::LOGS_MIN) {
        let least = format_bytes(Allowance::LOGS_MIN);
        section.problem("logs_per_minute", format!("must be at least {least}"));
    }
    Allowance { concurrency: None, rate: None, fuel_per_minute, cpu_per_day, logs_per_minute }
}

#[cfg(test)]
mod tests {
    use super::super::problem::Problems;
    use super::super::tenant::parse_tenant;
    use super::*;
    use crate::{Ceilings, TenantSpec};

    fn parse(tenant: &str, queue: &str) -> Result<TenantSpec, Problems> {
        let text = format!("[tenant]\nname='a'\n{tenant}\n[[queue]]\nname='q'\nplugin='p@1'\n{queue}\n");
        parse_tenant("a.toml", &text, &Ceilings::default()).map(|file| file.spec)
    }

    #[test]
    fn what_is_not_said_is_not_limited() {
        let spec = parse("", "").unwrap();
        let queue = &spec.queues[&"q".parse().unwrap()];
        assert!(spec.allowance.is_unlimited() && queue.rate.is_none() && queue.key.is_none());
    }

    #[test]
    fn a_tenant_is_limited_in_what_it_starts_and_spends() {
        let spec = parse(
            "concurrency = 8\nrate = '100/s'\nburst = 200\n\
             quota = { fuel_per_minute = 60_000_000_000, cpu_per_day = '2h', logs_per_minute = '1MiB' }",
            "rate = '600/min'\nkey = { header = 'Customer', concurrency = 2, rate = '1/s', burst = 5 }",
        )
        .unwrap();
        let Allowance { concurrency, rate, fuel_per_minute, cpu_per_day, logs_per_minute } = spec.allowance;
        assert_eq!((concurrency, rate.unwrap().burst), (Some(8), 200));
        assert_eq!((fuel_per_minute, cpu_per_day), (Some(60_000_000_000), Some(7_200_000)));
        assert_eq!(logs_per_minute, Some(1 << 20));
        let queue = &spec.queues[&"q".parse().unwrap()];
        assert_eq!(queue.rate.unwrap().burst, 10, "what a second allows");
        let key = queue.key.as_ref().unwrap();
        assert_eq!((key.header.as_str(), key.concurrency, key.rate.unwrap().burst), ("Customer", Some(2), 5));
    }

    #[test]
    fn all_mistakes_are_reported_together_with_line_and_key() {
        let problems = parse(
            "concurrency = 0\nrate = '10/day'\nquota = { fuel_per_minute = 1, cpu_per_day = '1ms', logs_per_minute = 1 }",
            "burst = 3\nkey = { header = 'Saggar-Once' }",
        )
        .unwrap_err()
        .to_string();
        for part in [
            "line 3: `tenant.concurrency` must be from 1 to 100000",
            "line 4: `tenant.rate` cannot be read: is no rate: write a whole number",
            "line 5: `tenant.quota.fuel_per_minute` must be at least 1000000",
            "line 5: `tenant.quota.cpu_per_day` must be at least \"1s\"",
            "line 5: `tenant.quota.logs_per_minute` must be at least 64.0 KiB",
            "line 9: `queue.burst` has no meaning without a `rate`",
            "line 10: `queue.key.header` `Saggar-Once` belongs to the message system",
            "line 10: `queue.key.header` limits nothing by itself",
        ] {
            assert!(problems.contains(part), "{part}\nis not in\n{problems}");
        }
    }
}

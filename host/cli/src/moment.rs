//! Points in time, for programs and for people.

use std::time::{Duration, SystemTime};

/// A time as RFC 3339 has it, to the millisecond.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    match jiff::Timestamp::try_from(time) {
        Ok(timestamp) => format!("{timestamp:.3}"),
        // Beyond the year 9999.
        Err(_) => String::new(),
    }
}

/// The time of day, in UTC.
#[must_use]
pub fn clock(time: SystemTime) -> String {
    let timestamp = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::MAX);
    timestamp.strftime("%H:%M:%S").to_string()
}

/// How long ago a time was, in its largest unit: `3m ago`.
#[must_use]
pub fn ago(time: SystemTime, now: SystemTime) -> String {
    // Clocks of two machines differ; the future is as good as now.
    let since = now.duration_since(time).unwrap_or(Duration::ZERO);
    largest(since).map_or_else(|| "now".to_owned(), |text| format!("{text} ago"))
}

/// How far away a time is, in its largest unit: `in 3m`.
#[must_use]
pub fn ahead(time: SystemTime, now: SystemTime) -> String {
    let until = time.duration_since(now).unwrap_or(Duration::ZERO);
    largest(until).map_or_else(|| "now".to_owned(), |text| format!("in {text}"))
}

fn largest(duration: Duration) -> Option<String> {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let seconds = duration.as_secs();
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| seconds >= *unit)?;
    Some(format!("{}{name}", seconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_rfc_3339_and_told_in_their_largest_unit() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_123);
        assert_eq!(rfc3339(time), "2026-09-21T14:13:20.123Z");
        assert_eq!(clock(time), "14:13:20");
        let after = |seconds| ago(time, time + Duration::from_secs(seconds));
        assert_eq!(
            [after(0), after(59), after(60), after(7200), after(200_000)],
            ["now", "59s ago", "1m ago", "2h ago", "2d ago"]
        );
        assert_eq!(ago(time + Duration::from_secs(5), time), "now");
        assert_eq!(ahead(time + Duration::from_secs(3601), time), "in 1h");
        assert_eq!(ahead(time, time + Duration::from_secs(5)), "now");
    }
}

//! Durations, sizes and points in time as people write them: `90s`, `5m`, `128MiB`, `2030-01-31T12:00:00Z`.

use std::time::{Duration, SystemTime};

use bytesize::ByteSize;

/// Longest duration accepted anywhere. A bound keeps sums of a duration and a point in time from overflowing.
const DURATION_MAX: Duration = Duration::from_hours(87840);

/// Reads a duration such as `250ms`, `90s`, `5m` or `1h 30m`.
///
/// # Errors
/// The text is no duration, has no unit, or is longer than ten years.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text.trim()) {
        Ok(duration) if duration <= DURATION_MAX => Ok(duration),
        Ok(_) => Err("is longer than ten years".to_owned()),
        Err(_) => Err("is not a duration; write for example `250ms`, `90s`, `5m` or `24h`".to_owned()),
    }
}

/// Reads a size such as `768KiB`, `128MiB`, `1GB` or a plain number of bytes.
///
/// # Errors
/// The text is no size, or is larger than 2⁶³ − 1 bytes, the largest that JetStream can express.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let size = text
        .trim()
        .parse::<ByteSize>()
        .map_err(|_| "is not a size; write for example `768KiB`, `128MiB` or `1GiB`".to_owned())?
        .as_u64();
    if i64::try_from(size).is_err() {
        return Err("is larger than 2^63 - 1 bytes".to_owned());
    }
    Ok(size)
}

/// A duration in the unit that suits it: `850µs`, `1.2ms`, `3.4s`, `2m 5s`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1e-3 {
        format!("{:.0}µs", seconds * 1e6)
    } else if seconds < 1.0 {
        let ms = seconds * 1e3;
        if ms < 10.0 { format!("{ms:.1}ms") } else { format!("{ms:.0}ms") }
    } else if seconds < 60.0 && duration.subsec_nanos() != 0 {
        format!("{seconds:.1}s")
    } else {
        humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
    }
}

/// A size in binary units: `17 B`, `1.1 MiB`.
#[must_use]
pub fn format_bytes(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// A point in time as RFC 3339 has it, to the millisecond; beyond the year 9999, the end of it.
#[must_use]
pub fn format_time(time: SystemTime) -> String {
    let timestamp = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::MAX);
    format!("{timestamp:.3}")
}

/// Reads a point in time as RFC 3339 has it.
#[must_use]
pub fn parse_time(text: &str) -> Option<SystemTime> {
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration(" 1h 30m "), Ok(Duration::from_mins(90)));
        for bad in ["", "90", "-1s", "1e9s", "soon", "inf", "NaN", "99999999999999999999s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_duration("20years").unwrap_err(), "is longer than ten years");
    }

    #[test]
    fn sizes_take_binary_and_decimal_units_or_none() {
        assert_eq!(parse_bytes("128MiB"), Ok(128 << 20));
        assert_eq!(parse_bytes("1GB"), Ok(1_000_000_000));
        assert_eq!(parse_bytes("17"), Ok(17));
        for bad in ["", "MiB", "-1", "1e99 GiB", "many", "16EiB"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn formatted_quantities_are_short() {
        assert_eq!(format_duration(Duration::from_micros(85)), "85µs");
        assert_eq!(format_duration(Duration::from_micros(1234)), "1.2ms");
        assert_eq!(format_duration(Duration::from_millis(850)), "850ms");
        assert_eq!(format_duration(Duration::from_millis(3400)), "3.4s");
        assert_eq!(format_duration(Duration::from_secs(30)), "30s");
        assert_eq!(format_duration(Duration::from_secs(125)), "2m 5s");
        assert_eq!(format_bytes(17), "17 B");
        assert_eq!(format_bytes(1_153_434), "1.1 MiB");
    }

    #[test]
    fn points_in_time_read_back_to_the_millisecond() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_123);
        assert_eq!(format_time(time), "2026-09-21T14:13:20.123Z");
        assert_eq!(parse_time(&format_time(time)), Some(time));
        assert_eq!(parse_time("2026-09-21T16:13:20.123+02:00"), Some(time));
        assert_eq!(parse_time("tomorrow"), None);
    }
}

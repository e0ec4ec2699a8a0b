//! A day of the calendar, in UTC.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// A day, as `2026-11-22`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(Date);

/// A text is no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write a day as 2026-11-22; days are those of UTC")]
pub struct NotADay;

impl Day {
    /// The day that a moment lies in. One that no calendar has lies in the first or the last.
    #[must_use]
    pub fn of(time: SystemTime) -> Self {
        let edge = if time < SystemTime::UNIX_EPOCH { Timestamp::MIN } else { Timestamp::MAX };
        let moment = Timestamp::try_from(time).unwrap_or(edge);
        Self(TimeZone::UTC.to_datetime(moment).date())
    }

    /// The first day of its month.
    #[must_use]
    pub fn first_of_month(self) -> Self {
        Self(self.0.first_of_month())
    }

    /// The day before.
    #[must_use]
    pub fn before(self) -> Self {
        Self(self.0.yesterday().unwrap_or(self.0))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        text.parse().map(Self).map_err(|_| NotADay)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_day_is_that_of_utc_and_reads_back() {
        let day = Day::of(SystemTime::UNIX_EPOCH + Duration::from_hours(498_696));
        assert_eq!(day.to_string(), "2026-11-22");
        assert_eq!("2026-11-22".parse(), Ok(day));
        assert_eq!(day.before().to_string(), "2026-11-21");
        assert_eq!(day.first_of_month().to_string(), "2026-11-01");
        assert_eq!("22.11.".parse::<Day>(), Err(NotADay));
        assert_eq!(serde_json::to_string(&day).unwrap(), r#""2026-11-22""#);
    }

    #[test]
    fn no_moment_is_without_a_day() {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::MAX / 4);
        assert_eq!(Day::of(far).to_string(), "9999-12-30");
    }
}

//! Tasks that are made again and again: when they are due, and what becomes of those that were missed.
//!
//! Everything here is decided from the record and the time that is passed in. The id of a task is made of the
//! schedule's name and the time it was due, so that whoever decides again decides the same.

use std::str::FromStr;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use crate::{QueueName, ScheduleName, TaskId};

/// A task that is made within this time of when it was due was not missed. Longer than any change of leader takes, and
/// no longer than the shortest time between two tasks of a schedule.
pub const ON_TIME: Duration = Duration::from_mins(1);

/// The most missed tasks that are made up for: whoever was away for a week does not want ten thousand tasks at once.
pub const CATCH_UP_MAX: usize = 100;

/// The most bytes that the payload of a scheduled task may have; hosts read the records of all schedules now and then.
pub const SCHEDULE_PAYLOAD_MAX: usize = 64 * 1024;

/// The zones of this release, and not those of the machine: all hosts decide the same.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// What becomes of a task that is due while the one before it has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// It is made, and waits in the queue like any other.
    Queue,
    /// The one before it is cancelled.
    Replace,
}

/// What becomes of tasks that were due while no host was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CatchUp {
    /// They are left out.
    None,
    /// The last one is made.
    #[default]
    Last,
    /// All are made, the latest [`CATCH_UP_MAX`].
    All,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// What it is called.
    pub name: ScheduleName,
    /// When its tasks are due: minute, hour, day of month, month, day of week.
    pub cron: String,
    /// The time zone that this is meant in, as the IANA names it.
    pub zone: String,
    /// The queue its tasks go into.
    pub queue: QueueName,
    /// What becomes of a task that is due too early.
    pub overlap: Overlap,
    /// What becomes of those that were missed.
    pub catch_up: CatchUp,
    /// The plugin's input.
    #[serde(with = "bytes_as_hex")]
    pub payload: Vec<u8>,
    /// The tasks' headers.
    pub headers: Vec<(String, String)>,
    /// Nothing is made.
    pub paused: bool,
    /// Until then everything is decided, in Unix milliseconds.
    pub decided_ms: u64,
    /// The task that was made last.
    pub last: Option<TaskId>,
    /// Its tenant's file describes it: whoever applies the file changes and removes it.
    #[serde(default)]
    pub from_file: bool,
}

/// Why something is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// It is no cron expression.
    #[error(
        "`{given}` is no cron expression ({reason}); write minute, hour, day of month, month and day of week, for example `0 3 * * MON-FRI`"
    )]
    Cron {
        /// The text, escaped and cut.
        given: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It never comes true.
    #[error("`{given}` never comes true: no date is like that")]
    Never {
        /// The text, escaped and cut.
        given: String,
    },
    /// There is no such time zone.
    #[error("`{given}` is no time zone; use a name of the IANA, for example Europe/Berlin or UTC")]
    Zone {
        /// The text, escaped and cut.
        given: String,
    },
    /// The payload is too large.
    #[error(
        "the payload has {size} bytes and may have {SCHEDULE_PAYLOAD_MAX}; store a large input elsewhere and name it"
    )]
    Payload {
        /// Its size.
        size: usize,
    },
}

/// What is to be done at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Due {
    /// When the tasks to be made were due, in order.
    pub firings: Vec<SystemTime>,
    /// How many are left out because they were missed; of a long time, those that were looked at.
    pub missed: usize,
}

/// What is done about one task that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firing {
    /// It is made.
    Make,
    /// It is left out.
    Skip,
    /// The one before it is cancelled, and it is made.
    Replace,
}

impl Overlap {
    /// Decides about a task that is due. `running`: the one before it has not ended.
    #[must_use]
    pub fn decide(self, running: bool) -> Firing {
        match (self, running) {
            (_, false) | (Self::Queue, true) => Firing::Make,
            (Self::Skip, true) => Firing::Skip,
            (Self::Replace, true) => Firing::Replace,
        }
    }
}

impl Schedule {
    /// Checks everything that its author wrote.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, now: SystemTime) -> Result<(), ScheduleError> {
        let size = self.payload.len();
        if size > SCHEDULE_PAYLOAD_MAX {
            return Err(ScheduleError::Payload { size });
        }
        self.clock()?;
        match self.next_after(now) {
            Some(_) => Ok(()),
            None => Err(ScheduleError::Never { given: shown(&self.cron) }),
        }
    }

    /// When the first task after `time` is due; nothing if none ever is.
    #[must_use]
    pub fn next_after(&self, time: SystemTime) -> Option<SystemTime> {
        let (cron, zone) = self.clock().ok()?;
        let after = Timestamp::try_from(time).ok()?.to_zoned(zone);
        cron.find_next_occurrence(&after, false).ok().map(|next| next.timestamp().into())
    }

    /// What is to be done now, `now` being the time of whoever asks.
    #[must_use]
    pub fn due(&self, now: SystemTime) -> Due {
        let Ok((cron, zone)) = self.clock() else { return Due::default() };
        let (Ok(until), decided) = (Timestamp::try_from(now), self.decided()) else { return Due::default() };
        if self.paused {
            return Due::default();
        }
        // Looked at from now backwards, a long time away costs no more than a short one. What is due now counts.
        let just_after = until.to_zoned(zone).saturating_add(jiff::Span::new().seconds(1));
        let due = cron.iter_before(just_after).map(|time| SystemTime::from(time.timestamp()));
        let due = due.skip_while(|time| *time > now).take_while(|time| *time > decided);
        let mut due: Vec<_> = due.take(CATCH_UP_MAX).collect();
        due.reverse();
        let all = due.len();
        let newest = due.last().copied();
        let is_late = |time: &SystemTime| now.duration_since(*time).is_ok_and(|late| late > ON_TIME);
        match self.catch_up {
            CatchUp::All => {}
            CatchUp::None => due.retain(|time| !is_late(time)),
            CatchUp::Last => due.retain(|time| !is_late(time) || Some(*time) == newest),
        }
        Due { missed: all - due.len(), firings: due }
    }

    /// Until when everything is decided.
    #[must_use]
    pub fn decided(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.decided_ms)
    }

    /// Notes that everything up to `time` is decided.
    pub fn decide_until(&mut self, time: SystemTime) {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.decided_ms = self.decided_ms.max(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    }

    /// What the task is called that was due then: `nightly-20300131T020000Z`.
    #[must_use]
    pub fn task_id(&self, due: SystemTime) -> Option<TaskId> {
        let due = Timestamp::try_from(due).ok()?;
        TaskId::published(&format!("{}-{}", self.name, due.strftime("%Y%m%dT%H%M%SZ"))).ok()
    }

    fn clock(&self) -> Result<(Cron, TimeZone), ScheduleError> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(&self.cron).map_err(|error| ScheduleError::Cron {
            given: shown(&self.cron),
            reason: error.to_string().trim_end_matches('.').to_owned(),
        })?;
        let zone = ZONES.get(&self.zone).map_err(|_| ScheduleError::Zone { given: shown(&self.zone) })?;
        Ok((cron, zone))
    }
}

fn shown(text: &str) -> String {
    crate::escape_and_cut(text, 128)
}

macro_rules! words {
    ($type:ident: $($variant:ident = $word:literal),*) => {
        impl $type {
            /// The word for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(concat!("is none of", $(" `", $word, "`"),*).to_owned()),
                }
            }
        }
    };
}

words!(Overlap: Skip = "skip", Queue = "queue", Replace = "replace");
words!(CatchUp: None = "none", Last = "last", All = "all");

/// Bytes as text that JSON can hold.
mod bytes_as_hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        text.parse::<Timestamp>().unwrap().into()
    }

    fn schedule(cron: &str, zone: &str, decided: &str) -> Schedule {
        let mut schedule = Schedule {
            name: "nightly".parse().unwrap(),
            cron: cron.into(),
            zone: zone.into(),
            queue: "export".parse().unwrap(),
            overlap: Overlap::default(),
            catch_up: CatchUp::All,
            payload: b"\0in".to_vec(),
            headers: Vec::new(),
            paused: false,
            decided_ms: 0,
            last: None,
            from_file: false,
        };
        schedule.decide_until(at(decided));
        schedule
    }

    /// When tasks are due between two times, as RFC 3339 has it.
    fn between(cron: &str, zone: &str, from: &str, to: &str) -> Vec<String> {
        let due = schedule(cron, zone, from).due(at(to));
        due.firings.into_iter().map(|due| Timestamp::try_from(due).unwrap().to_string()).collect()
    }

    #[test]
    fn a_task_is_due_at_its_very_instant_and_once() {
        let minute = |from, to| between("* * * * *", "UTC", from, to);
        assert_eq!(minute("2030-01-01T00:00:30Z", "2030-01-01T00:00:59.999Z"), [""; 0]);
        assert_eq!(minute("2030-01-01T00:00:30Z", "2030-01-01T00:01:00Z"), ["2030-01-01T00:01:00Z"]);
        assert_eq!(minute("2030-01-01T00:01:00Z", "2030-01-01T00:01:30Z"), [""; 0]);
    }

    #[test]
    fn a_daily_task_is_due_once_a_day_whatever_the_clocks_do() {
        let berlin = |from, to| between("30 2 * * *", "Europe/Berlin", from, to);
        assert_eq!(
            berlin("2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z"),
            ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
            "half past two does not exist on that day: it is due when the gap ends"
        );
        assert_eq!(
            berlin("2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z"),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
            "half past two comes twice on that day: the first counts"
        );
    }

    #[test]
    fn a_task_that_is_due_every_so_often_is_due_as_often_whatever_the_clocks_do() {
        let half = |from, to| between("*/30 * * * *", "Europe/Berlin", from, to).len();
        assert_eq!(half("2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z"), 6, "clocks go forward");
        assert_eq!(half("2026-10-25T00:00:00Z", "2026-10-25T03:00:00Z"), 6, "clocks go back");
    }

    #[test]
    fn what_is_due_next_and_what_was_due_are_the_same() {
        for (cron, zone) in [
            ("30 2 * * *", "Europe/Berlin"),
            ("*/20 2 * * *", "Australia/Lord_Howe"),
            ("0 9 1 * MON", "America/New_York"),
        ] {
            let (from, to) = (at("2026-03-20T00:00:00Z"), at("2026-04-10T00:00:00Z"));
            let schedule = schedule(cron, zone, "2026-03-20T00:00:00Z");
            let forwards: Vec<_> =
                std::iter::successors(schedule.next_after(from), |due| schedule.next_after(*due))
                    .take_while(|due| *due <= to)
                    .collect();
            assert_eq!(schedule.due(to).firings, forwards, "{cron} {zone}");
        }
    }

    #[test]
    fn of_what_was_missed_is_made_up_for_as_much_as_is_asked() {
        let (decided, now) = ("2030-01-01T00:00:00Z", at("2030-01-01T05:30:00Z"));
        let due = |catch_up| Schedule { catch_up, ..schedule("0 * * * *", "UTC", decided) }.due(now);
        assert_eq!((due(CatchUp::None).firings.len(), due(CatchUp::None).missed), (0, 5));
        assert_eq!(
            (due(CatchUp::Last).firings, due(CatchUp::Last).missed),
            (vec![at("2030-01-01T05:00:00Z")], 4)
        );
        assert_eq!((due(CatchUp::All).firings.len(), due(CatchUp::All).missed), (5, 0));
        let on_time = at("2030-01-01T05:00:59Z");
        let none = Schedule { catch_up: CatchUp::None, ..schedule("0 * * * *", "UTC", decided) };
        assert_eq!(
            none.due(on_time).firings,
            [at("2030-01-01T05:00:00Z")],
            "a change of leader misses nothing"
        );
    }

    #[test]
    fn a_year_away_is_bounded() {
        let all = schedule("* * * * *", "UTC", "2029-01-01T00:00:00Z").due(at("2030-01-01T00:00:00Z"));
        assert_eq!(all.firings.len(), CATCH_UP_MAX);
        assert_eq!(all.firings.last(), Some(&at("2030-01-01T00:00:00Z")), "the latest ones");
    }

    #[test]
    fn a_paused_schedule_makes_nothing() {
        let paused = Schedule { paused: true, ..schedule("* * * * *", "UTC", "2029-01-01T00:00:00Z") };
        assert_eq!(paused.due(at("2030-01-01T00:00:00Z")), Due::default());
    }

    #[test]
    fn overlaps_are_decided_as_the_schedule_says() {
        for overlap in [Overlap::Skip, Overlap::Queue, Overlap::Replace] {
            assert_eq!(overlap.decide(false), Firing::Make);
        }
        let running = [Overlap::Skip, Overlap::Queue, Overlap::Replace].map(|overlap| overlap.decide(true));
        assert_eq!(running, [Firing::Skip, Firing::Make, Firing::Replace]);
    }

    #[test]
    fn a_schedule_that_makes_no_sense_is_refused_with_what_is_wrong() {
        let now = at("2026-01-01T00:00:00Z");
        let checked = |cron: &str, zone: &str| schedule(cron, zone, "2026-01-01T00:00:00Z").check(now);
        for good in ["0 3 * * *", "@daily", "*/5 8-18 * * MON-FRI", "0 0 L * *", "0 0 29 2 *"] {
            assert_eq!(checked(good, "Europe/Berlin"), Ok(()), "{good}");
        }
        for bad in ["", "soon", "* * * *", "* * * * * *", "61 * * * *", "0 0 * * 9", "@reboot", "\u{1b}[31m"]
        {
            assert!(matches!(checked(bad, "UTC"), Err(ScheduleError::Cron { .. })), "{bad:?}");
        }
        for never in ["0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
            assert!(matches!(checked(never, "UTC"), Err(ScheduleError::Never { .. })), "{never}");
        }
        for zone in ["", "Mars/Base", "../../etc/passwd", "CEST"] {
            assert!(matches!(checked("0 3 * * *", zone), Err(ScheduleError::Zone { .. })), "{zone:?}");
        }
        let large = Schedule {
            payload: vec![0; SCHEDULE_PAYLOAD_MAX + 1],
            ..schedule("@daily", "UTC", "2026-01-01T00:00:00Z")
        };
        assert!(matches!(large.check(now), Err(ScheduleError::Payload { .. })));
    }

    #[test]
    fn the_id_of_a_task_says_which_schedule_made_it_and_when_it_was_due() {
        let nightly = schedule("0 3 * * *", "Europe/Berlin", "2030-01-01T00:00:00Z");
        let id = nightly.task_id(at("2030-01-31T02:00:00Z")).unwrap();
        assert_eq!(id.as_str(), "nightly-20300131T020000Z");
        let longest = Schedule { name: "x".repeat(47).parse().unwrap(), ..nightly };
        assert!(longest.task_id(at("2030-01-31T02:00:00Z")).is_some());
        assert!("x".repeat(48).parse::<ScheduleName>().is_err());
    }

    #[test]
    fn a_record_reads_back() {
        let written = schedule("0 3 * * *", "Europe/Berlin", "2030-01-01T00:00:00Z");
        let json = serde_json::to_string(&written).unwrap();
        assert_eq!(serde_json::from_str::<Schedule>(&json).unwrap(), written);
        let older = json.replace(r#","from_file":false"#, "");
        assert_ne!(older, json);
        assert_eq!(serde_json::from_str::<Schedule>(&older).unwrap(), written, "an older release wrote it");
    }
}

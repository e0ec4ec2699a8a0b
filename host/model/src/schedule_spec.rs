//! A schedule as its tenant's file describes it, and the record that follows from it.
//!
//! Whether a schedule is paused, and until when it is decided, is not in the file: that belongs to operators and hosts.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::{CatchUp, HEADERS_MAX_BYTES, Overlap, QueueName, Schedule, ScheduleName, header_name};

/// Any moment will do to see whether an expression ever comes true: what does once does so again.
const SOME_DAY: Duration = Duration::from_hours(500_000);

/// A schedule as its tenant's file describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleSpec {
    /// The queue its tasks go into.
    pub queue: QueueName,
    /// When they are due: minute, hour, day of month, month, day of week.
    pub cron: String,
    /// The time zone that this is meant in.
    pub zone: String,
    /// What becomes of a task that is due too early.
    pub overlap: Overlap,
    /// What becomes of those that were missed.
    pub catch_up: CatchUp,
    /// The plugin's input.
    #[serde(default)]
    pub payload: String,
    /// The media type of the payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The tasks' other headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

impl ScheduleSpec {
    /// The zone of a schedule that names none.
    pub const ZONE_DEFAULT: &str = "UTC";

    /// The most schedules of one file: hosts look at each of them every second.
    pub const PER_TENANT_MAX: usize = 1000;

    /// The most bytes that the payloads of one file's schedules may have together: they lie in the tenant's record, which
    /// is one message, and escaped they can be six times as long.
    pub const PAYLOADS_MAX: usize = 128 * 1024;

    /// A schedule with nothing else said.
    #[must_use]
    pub fn new(queue: QueueName, cron: &str) -> Self {
        Self {
            queue,
            cron: cron.to_owned(),
            zone: Self::ZONE_DEFAULT.to_owned(),
            overlap: Overlap::default(),
            catch_up: CatchUp::default(),
            payload: String::new(),
            content_type: None,
            headers: BTreeMap::new(),
        }
    }

    /// What is wrong with it, one sentence per key.
    #[must_use]
    pub fn objections(&self) -> Vec<(&'static str, String)> {
        let some_day = SystemTime::UNIX_EPOCH + SOME_DAY;
        let checked = |key, cron: &str, zone: &str, payload: Vec<u8>| {
            let schedule = Schedule {
                name: "schedule".parse().ok()?,
                cron: cron.to_owned(),
                zone: zone.to_owned(),
                payload,
                ..self.record_of(&"schedule".parse().ok()?)
            };
            schedule.check(some_day).err().map(|error| (key, format!("cannot be: {error}")))
        };
        // Each by itself, so that none hides another.
        let mut objections: Vec<_> = [
            checked("cron", &self.cron, Self::ZONE_DEFAULT, Vec::new()),
            checked("zone", "@daily", &self.zone, Vec::new()),
            checked("payload", "@daily", Self::ZONE_DEFAULT, self.payload.clone().into()),
        ]
        .into_iter()
        .flatten()
        .collect();
        if self.content_type.as_deref().is_some_and(is_broken) {
            objections.push(("content_type", "holds a control character, which no header can".to_owned()));
        }
        for (name, value) in &self.headers {
            if let Some(why) = objection_to_header(name, value) {
                let name = crate::escape_and_cut(name, 64);
                objections.push(("headers", format!("has `{name}`, which {why}")));
            }
        }
        let bytes: usize = self.all_headers().iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        if bytes > HEADERS_MAX_BYTES {
            objections
                .push(("headers", format!("has {bytes} bytes, and a task may have {HEADERS_MAX_BYTES}")));
        }
        objections
    }

    /// The record of the schedule `name`, given the one that is stored. Where the times change, what was due before does
    /// not count; the rest goes on as it was.
    #[must_use]
    pub fn record(&self, name: &ScheduleName, stored: Option<&Schedule>, now: SystemTime) -> Schedule {
        let mut record = self.record_of(name);
        if let Some(stored) = stored {
            record.paused = stored.paused;
            record.decided_ms = stored.decided_ms;
            record.last.clone_from(&stored.last);
        }
        if stored.is_none_or(|stored| (&stored.cron, &stored.zone) != (&self.cron, &self.zone)) {
            record.decide_until(now);
        }
        record
    }

    fn record_of(&self, name: &ScheduleName) -> Schedule {
        Schedule {
            name: name.clone(),
            cron: self.cron.clone(),
            zone: self.zone.clone(),
            queue: self.queue.clone(),
            overlap: self.overlap,
            catch_up: self.catch_up,
            payload: self.payload.clone().into_bytes(),
            headers: self.all_headers(),
            paused: false,
            decided_ms: 0,
            last: None,
            from_file: true,
        }
    }

    /// The tasks' headers, the media type first.
    fn all_headers(&self) -> Vec<(String, String)> {
        let content_type =
            self.content_type.iter().map(|value| (header_name::CONTENT_TYPE.to_owned(), value.clone()));
        content_type.chain(self.headers.iter().map(|(name, value)| (name.clone(), value.clone()))).collect()
    }
}

/// What is wrong with a header of every task of a schedule.
fn objection_to_header(name: &str, value: &str) -> Option<&'static str> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let begins = |start: &str| name.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start));
    if name.is_empty() || !name.bytes().all(token) {
        Some("is no header name: use letters, digits and `-`")
    } else if begins("nats-") {
        Some("belongs to the message system")
    } else if name.eq_ignore_ascii_case(header_name::CONTENT_TYPE) {
        Some("is the key `content_type`")
    } else if name.eq_ignore_ascii_case(header_name::PAYLOAD) {
        Some("belongs to one task, not to many: a payload in the object store goes with the first of them")
    } else if is_broken(value) {
        Some("holds a control character, which no header can")
    } else {
        None
    }
}

fn is_broken(value: &str) -> bool {
    value.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ScheduleSpec {
        ScheduleSpec::new("export".parse().unwrap(), "0 3 * * *")
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_new_schedule_makes_nothing_of_what_was_due_before() {
        let record = spec().record(&"nightly".parse().unwrap(), None, at(1_900_000_000));
        assert_eq!(record.decided(), at(1_900_000_000));
        assert!(record.from_file && !record.paused && record.headers.is_empty());
    }

    #[test]
    fn a_change_keeps_what_hosts_and_operators_wrote() {
        let name: ScheduleName = "nightly".parse().unwrap();
        let stored = Schedule {
            paused: true,
            last: "nightly-1".parse().ok(),
            ..spec().record(&name, None, at(1_900_000_000))
        };
        let later = at(1_900_090_000);
        assert_eq!(spec().record(&name, Some(&stored), later), stored, "nothing changed");
        let other = ScheduleSpec { payload: "x".into(), ..spec() }.record(&name, Some(&stored), later);
        assert_eq!((other.paused, &other.last, other.decided()), (true, &stored.last, stored.decided()));
        let moved = ScheduleSpec { cron: "0 4 * * *".into(), ..spec() }.record(&name, Some(&stored), later);
        assert_eq!(moved.decided(), later, "a time that has become one of its times is not made up for");
    }

    #[test]
    fn a_schedule_that_was_added_by_command_becomes_the_files() {
        let name: ScheduleName = "nightly".parse().unwrap();
        let added = Schedule { from_file: false, ..spec().record(&name, None, at(1_900_000_000)) };
        assert!(spec().record(&name, Some(&added), at(1_900_000_001)).from_file);
    }

    #[test]
    fn each_key_is_judged_by_itself() {
        let headers = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let bad = ScheduleSpec {
            cron: "0 0 30 2 *".into(),
            zone: "Mars/Base".into(),
            payload: "x".repeat(70_000),
            content_type: Some("a\nb".into()),
            headers: headers(&[
                ("Nats-Rollup", "all"),
                ("a b", ""),
                ("saggar-payload", "object:x"),
                ("X", "\0"),
            ]),
            ..spec()
        };
        let keys: Vec<_> = bad.objections().into_iter().map(|(key, _)| key).collect();
        let expected =
            ["cron", "zone", "payload", "content_type", "headers", "headers", "headers", "headers"];
        assert_eq!(keys, expected);
        assert!(spec().objections().is_empty());
        let large = ScheduleSpec { headers: headers(&[("X-A", &"x".repeat(17_000))]), ..spec() };
        assert_eq!(large.objections()[0].0, "headers");
    }
}

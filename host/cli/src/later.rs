//! Tasks that are to run later: what the command line may ask for, and the timer that is made of it.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use saggar_jetstream::{NewTask, NewTimer};
use saggar_model::{DELAY_MAX, Digest, QueueName, TaskId, TimerName, parse_duration};

use crate::failure::{Failure, Kind};

const TOO_FAR: &str = "is more than a year away, further than a task can be delayed";

/// Reads how much later.
///
/// # Errors
/// It is no duration, or longer than a task can be delayed.
pub fn delay(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        delay if delay > DELAY_MAX => Err(TOO_FAR.to_owned()),
        delay => Ok(delay),
    }
}

/// Reads a point in time.
///
/// # Errors
/// It is none, or further away than a task can be delayed.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    checked(text, SystemTime::now())
}

fn checked(text: &str, now: SystemTime) -> Result<Timestamp, String> {
    let moment: Timestamp =
        text.parse().map_err(|_| "is not a time as in RFC 3339, such as 2027-01-31T12:00:00Z".to_owned())?;
    if SystemTime::from(moment) > now + DELAY_MAX { Err(TOO_FAR.to_owned()) } else { Ok(moment) }
}

/// When a task is due that is to run so much later than `now` or at that time; nothing if it is to run at once.
#[must_use]
pub fn due(after: Option<Duration>, at: Option<Timestamp>, now: SystemTime) -> Option<SystemTime> {
    at.map(SystemTime::from).or_else(|| Some(now + after?))
}

/// What a task is called whose publisher chose no id and cannot learn the one that is made of its place: after its message
/// id, so that one that is dropped as a duplicate is called as the first, or else after nothing.
///
/// # Errors
/// None, as long as such names can be ids.
pub fn drawn(message_id: Option<&str>) -> Result<TaskId, Failure> {
    let name = match message_id {
        Some(message_id) => {
            let digest = Digest::of(message_id.as_bytes()).to_string();
            format!("msg-{:.32}", digest.trim_start_matches("sha256:"))
        }
        None => format!("task-{:016x}", rand::random::<u64>()),
    };
    TaskId::published(&name).map_err(|error| Failure::new(Kind::Internal, error))
}

/// The timer of a task. Without an id the task is called `delayed-` and a number drawn at random.
///
/// # Errors
/// A header is none that a publisher may set.
pub fn timer(queue: &QueueName, task: NewTask, due: SystemTime) -> Result<NewTimer, Failure> {
    let unnamed = |error| Failure::new(Kind::Internal, error);
    let name: TimerName = format!("{:032x}", rand::random::<u128>()).parse().map_err(unnamed)?;
    let drawn = || TaskId::published(&format!("delayed-{:016x}", rand::random::<u64>()));
    let NewTask { id, payload, headers, message_id, unique: _ } = task;
    saggar_jetstream::check_headers(&headers)?;
    let id = id.map_or_else(drawn, Ok).map_err(unnamed)?;
    Ok(NewTimer { queue: queue.clone(), id, name, due, payload, headers, ticket: None, message_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_a_duration_of_a_year_at_most() {
        assert_eq!(delay("10m"), Ok(Duration::from_mins(10)));
        assert_eq!(delay("0s"), Ok(Duration::ZERO));
        assert_eq!(delay("366days"), Ok(DELAY_MAX));
        assert!(delay("367days").unwrap_err().contains("more than a year"));
        for bad in ["", "10", "-1s", "soon", "99999years"] {
            assert!(delay(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_moment_is_in_rfc_3339_and_may_have_passed() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        let moment = |text| checked(text, now);
        assert!(moment("2026-12-31T12:00:00+01:00").is_ok());
        assert!(moment("1999-12-31T12:00:00Z").is_ok());
        assert!(moment("2027-09-22T14:13:20Z").is_ok());
        for far in ["2027-09-23T00:00:00Z", "9999-12-30T00:00:00Z"] {
            assert!(moment(far).unwrap_err().contains("more than a year"), "{far}");
        }
        for bad in ["", "tomorrow", "12:00", "2030-02-30T12:00:00Z", "2030-01-31"] {
            assert!(moment(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_drawn_id_is_one_of_its_own_unless_a_message_id_says_which() {
        assert_ne!(drawn(None).unwrap(), drawn(None).unwrap());
        assert_eq!(drawn(Some("order 17\n")).unwrap(), drawn(Some("order 17\n")).unwrap());
        assert_ne!(drawn(Some("a")).unwrap(), drawn(Some("b")).unwrap());
    }

    #[test]
    fn a_delayed_task_without_an_id_gets_one() {
        let queue = "hello".parse().unwrap();
        let made = || timer(&queue, NewTask::default(), SystemTime::now()).unwrap();
        let (one, other) = (made(), made());
        assert!(one.id.as_str().starts_with("delayed-") && one.id != other.id && one.name != other.name);
    }
}

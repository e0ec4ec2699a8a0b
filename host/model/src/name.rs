//! Names that may enter a subject, a stream name, a file name or a metric label.
//!
//! A value of these types has been checked once and needs no second look: it holds no dot, no wildcard, no white
//! space and nothing outside ASCII. Everything that comes from a tenant passes through here first.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::text::escape_and_cut;

/// Longest name in bytes: that of a DNS label, so that a name also fits a host name or a Kubernetes object.
const NAME_MAX_BYTES: usize = 63;

/// Longest task id in bytes: room for a UUID with a prefix, short enough for any subject.
const TASK_ID_MAX_BYTES: usize = 64;

/// Longest name of a schedule in bytes: a time behind it makes it the id of a task.
const SCHEDULE_NAME_MAX_BYTES: usize = TASK_ID_MAX_BYTES - "-20300131T020000Z".len();

/// Longest key of a configuration in bytes: keys are words, perhaps with a path.
const CONFIG_KEY_MAX_BYTES: usize = 128;

/// Longest name of a secret in bytes.
const SECRET_NAME_MAX_BYTES: usize = 64;

/// How much of an offending text an error repeats.
const SHOWN_BYTES: usize = 256;

/// A text that is not the name it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a valid {what}: {rule}")]
pub struct NameError {
    /// What the text should have been, for example `queue name`.
    pub what: &'static str,
    /// The text, escaped and cut to 256 bytes.
    pub given: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

impl NameError {
    fn new(what: &'static str, given: &str, rule: &'static str) -> Self {
        Self { what, given: escape_and_cut(given, SHOWN_BYTES), rule }
    }
}

fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_MAX_BYTES).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// `saggar.state.` is where hosts keep what tasks have been through.
fn is_tenant(text: &str) -> bool {
    is_name(text) && text != "state"
}

const TENANT_RULE: &str =
    "use 1 to 63 of a-z, 0-9 and `-`, beginning and ending with a letter or digit; `state` is taken";

const NAME_RULE: &str = "use 1 to 63 of a-z, 0-9 and `-`, beginning and ending with a letter or digit";

macro_rules! checked_text {
    ($(#[$doc:meta])* $type:ident, $what:literal, $check:expr, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.into())) } else { Err(NameError::new($what, text, $rule)) }
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

checked_text!(
    /// The owner of queues, plugins and quotas.
    TenantName, "tenant name", is_tenant, TENANT_RULE
);
checked_text!(
    /// A tenant's named lane of tasks.
    QueueName, "queue name", is_name, NAME_RULE
);
checked_text!(
    /// A host's name, unique among the hosts of one NATS.
    HostName, "host name", is_name, NAME_RULE
);
checked_text!(
    /// A plugin's name within its tenant.
    PluginName, "plugin name", is_name, NAME_RULE
);
checked_text!(
    /// What a task is called within its queue, in results, dead letters and commands.
    ///
    /// Either the publisher's ([`TaskId::published`]) or made from the place in the stream
    /// ([`TaskId::from_sequence`]); parsing accepts both, for looking up.
    TaskId, "task id", is_task_id, "use 1 to 64 of A-Z, a-z, 0-9, `_` and `-`"
);

checked_text!(
    /// What a schedule is called, short enough for an id to be made of it.
    ScheduleName,
    "schedule name",
    is_schedule_name,
    "use 1 to 47 of a-z, 0-9 and `-`, beginning and ending with a letter or digit, and not beginning with `seq-`"
);
checked_text!(
    /// What a timer is called, so that two of one task can be told apart. Hosts and commands draw it at random.
    TimerName, "timer name", is_task_id, "use 1 to 64 of A-Z, a-z, 0-9, `_` and `-`"
);
checked_text!(
    /// Which book a result is counted in: that of one process of a host, so that another of the same name has another.
    BookId, "book", is_book_id, "use 1 to 40 of 0-9, a-f and `-`"
);
checked_text!(
    /// What a value of a queue's configuration is called.
    ConfigKey, "configuration key", is_config_key, "use 1 to 128 of A-Z, a-z, 0-9, `_`, `.` and `-`"
);
checked_text!(
    /// What a secret is called, by the operator and by the plugin.
    SecretName,
    "secret name",
    is_secret_name,
    "use 1 to 64 of A-Z, a-z, 0-9 and `_`, beginning with a letter, for example API_TOKEN"
);

fn is_schedule_name(text: &str) -> bool {
    text.len() <= SCHEDULE_NAME_MAX_BYTES && is_name(text) && !format!("{text}-").starts_with(TaskId::MADE)
}

fn is_book_id(text: &str) -> bool {
    let fits = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
    (1..=40).contains(&text.len()) && text.bytes().all(fits)
}

fn is_config_key(text: &str) -> bool {
    (1..=CONFIG_KEY_MAX_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// The names that a variable of the environment can have, so that `NAME_FILE` can be one.
fn is_secret_name(text: &str) -> bool {
    (1..=SECRET_NAME_MAX_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.as_bytes()[0].is_ascii_alphabetic()
}

fn is_task_id(text: &str) -> bool {
    (1..=TASK_ID_MAX_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

impl TaskId {
    /// The beginning of the ids that the host makes, closed to publishers.
    const MADE: &'static str = "seq-";

    /// Checks an id that a publisher chose.
    ///
    /// # Errors
    /// The text is no task id, or begins with `seq-`.
    pub fn published(text: &str) -> Result<Self, NameError> {
        if text.starts_with(Self::MADE) {
            return Err(NameError::new("task id", text, "ids beginning with `seq-` are made by the host"));
        }
        text.parse()
    }

    /// The id of a task that was published without one, or with one that cannot be used.
    ///
    /// `stream_created_ms` (Unix milliseconds) tells two incarnations of one stream apart, which both count from 1.
    #[must_use]
    pub fn from_sequence(stream_created_ms: u64, sequence: u64) -> Self {
        Self(format!("{}{}-{sequence}", Self::MADE, base36(stream_created_ms)).into())
    }

    /// Whether the host made this id, so that no publisher can ask for it again.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.0.starts_with(Self::MADE)
    }
}

fn base36(mut number: u64) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut digits = Vec::with_capacity(13);
    loop {
        digits.push(DIGITS[usize::try_from(number % 36).expect("a remainder of 36 fits")]);
        number /= 36;
        if number == 0 {
            break;
        }
    }
    digits.iter().rev().map(|&digit| char::from(digit)).collect()
}

/// A task as commands name it: `QUEUE/ID`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TaskRef {
    /// The queue.
    pub queue: QueueName,
    /// The id within the queue.
    pub id: TaskId,
}

impl FromStr for TaskRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (queue, id) = text.split_once('/').ok_or_else(|| {
            NameError::new("task", text, "name it QUEUE/ID, for example `thumbnail/order-17`")
        })?;
        Ok(Self { queue: queue.parse()?, id: id.parse()? })
    }
}

impl fmt::Display for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.queue, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_not_called_like_the_subjects_of_the_hosts() {
        assert!("state".parse::<TenantName>().is_err());
        assert!("state".parse::<QueueName>().is_ok() && "states".parse::<TenantName>().is_ok());
    }

    #[test]
    fn names_of_the_rule_are_accepted() {
        for good in ["a", "0", "acme", "a-b", "a--b", &"x".repeat(63)] {
            assert!(good.parse::<TenantName>().is_ok(), "{good}");
        }
    }

    #[test]
    fn attack_52_names_that_could_escape_a_subject_are_refused() {
        let long = "x".repeat(64);
        for bad in
            ["", "-a", "a-", "A", "a.b", "a*", ">", "a b", "a\r\n", "$JS", "ä", "а", "a_b", "a/b", &long]
        {
            assert!(bad.parse::<QueueName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_error_repeats_the_text_escaped_and_cut() {
        let error = "\u{1b}[31m".repeat(1000).parse::<QueueName>().unwrap_err();
        assert!(error.given.len() <= 256 + '…'.len_utf8());
        assert!(error.given.chars().all(|c| !c.is_control()));
    }

    #[test]
    fn a_publisher_cannot_choose_an_id_that_the_host_makes() {
        assert!(TaskId::published("order-17_B").is_ok());
        assert!(TaskId::published("seq-1-1").is_err());
        assert!("seq-1-1".parse::<TaskId>().is_ok(), "looking one up is allowed");
        for bad in ["", "a.b", "a~1", "*", ">", "a b", &"x".repeat(65)] {
            assert!(TaskId::published(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn made_ids_differ_between_incarnations_of_a_stream() {
        let first = TaskId::from_sequence(1_790_000_000_000, 7);
        assert_eq!(first.as_str(), "seq-mub4dn7k-7".replace("mub4dn7k", &base36(1_790_000_000_000)));
        assert_ne!(first, TaskId::from_sequence(1_790_000_000_001, 7));
        assert!(first.is_made());
        assert!(first.as_str().parse::<TaskId>().is_ok());
    }

    #[test]
    fn base_36_counts_like_any_other_base() {
        assert_eq!(base36(0), "0");
        assert_eq!(base36(35), "z");
        assert_eq!(base36(36), "10");
        assert_eq!(base36(u64::MAX), "3w5e11264sgsf");
    }

    #[test]
    fn a_task_reference_is_a_queue_and_an_id() {
        let task: TaskRef = "thumbnail/order-17".parse().unwrap();
        assert_eq!(task.to_string(), "thumbnail/order-17");
        assert!("thumbnail".parse::<TaskRef>().is_err());
        assert!("thumbnail/a/b".parse::<TaskRef>().is_err());
    }
}

//! Child tasks: what a running task may submit, what it is called, and how much of it there may be.
//!
//! A child without a name of its own is named after its parent and after all that was asked for, so that an attempt
//! which asks again means the same child, whatever it asked for before. Counting the calls would not do: an attempt that
//! goes on from a checkpoint makes others, and what it submits must not be taken for what came first.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::header::{belongs_to_nats, belongs_to_saggar, name};
use crate::{
    DELAY_MAX, Invalid, QueueName, Sequence, Subjects, Task, TaskHeaders, TaskId, TaskRef, TimerName,
    escape_and_cut, format_time,
};

/// How deep a child's child may be. Honest work has two or three stages; without an end a task could go on for ever
/// that nobody published.
pub const DEPTH_MAX: u32 = 8;

/// Children of one attempt. More are submitted by children; each one costs its tenant's quota, and the host a write.
pub const CHILDREN_MAX: u32 = 1_000;

/// Children of one attempt that wait for others. They are counted apart, so that one can wait for as many as there may be;
/// a task that has a hundred groups of children has ten in each.
pub const JOINS_MAX: u32 = 100;

/// Bytes of payloads that one attempt submits: a sixteenth of the default quota of queued bytes.
pub const CHILDREN_BYTES_MAX: u64 = 64 << 20;

/// How long a task waits for its children unless it is said otherwise: as long as results are kept by default.
pub const JOIN_WAIT_DEFAULT: Duration = Duration::from_hours(24);

/// How much of an offending text an error repeats.
const SHOWN_BYTES: usize = 64;

/// Which of all tasks that may have had one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Incarnation {
    /// When the stream was created, in Unix milliseconds.
    pub stream_created_ms: u64,
    /// The place of the task's first message.
    pub sequence: Sequence,
}

/// Why a child was not submitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue has no grant for it.
    #[error("{0}")]
    Denied(String),
    /// Something about it makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// It is larger than a task may be.
    #[error("a task of {0} bytes with its headers is larger than a task may be")]
    TooLarge(u64),
    /// The tenant has no such queue.
    #[error("the tenant has no such queue")]
    NoQueue,
    /// The tenant's quota is used up.
    #[error("the tenant's quota of queued or delayed tasks is used up")]
    QueueFull,
    /// The parent is so deep already.
    #[error("the task is {0} deep already, and may have no children")]
    TooDeep(u32),
    /// The attempt has submitted as much as it may.
    #[error("the attempt has submitted as many as it may: {0}")]
    TooMany(String),
    /// JetStream does not answer.
    #[error("JetStream did not answer in time; the task may have been submitted all the same")]
    Unavailable,
}

impl From<Invalid> for SubmitError {
    fn from(Invalid(reason): Invalid) -> Self {
        Self::Invalid(reason)
    }
}

/// A child as a guest asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewChild {
    /// The plugin's input.
    pub payload: Bytes,
    /// What it is to be called.
    pub id: Option<String>,
    /// Media type of the payload.
    pub content_type: Option<String>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// How much later it is to run.
    pub delay: Option<Duration>,
    /// After which it is not to be started any more.
    pub deadline: Option<Duration>,
    /// Its wall limit.
    pub timeout: Option<Duration>,
    /// The task that waits for it.
    pub group: Option<String>,
    /// It waits for so many others.
    pub joins: Option<u32>,
}

/// A child to be submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// What it is called.
    pub task: TaskRef,
    /// What its timer is called, if it has one.
    pub timer: TimerName,
    /// The plugin's input.
    pub payload: Bytes,
    /// All of its headers.
    pub headers: Vec<(String, String)>,
    /// How much later it is to run; nothing: at once.
    pub delay: Option<Duration>,
    /// It waits for so many others.
    pub joins: Option<u32>,
    alike: [u8; 32],
}

/// What an attempt has submitted so far.
#[derive(Debug, Default)]
pub struct Offspring {
    children: u32,
    joins: u32,
    bytes: u64,
    /// How many were asked for alike.
    alike: HashMap<[u8; 32], u32>,
}

impl Offspring {
    /// The child that `parent` asks for, in a queue that it may submit to.
    ///
    /// # Errors
    /// It makes no sense, or is too deep or too much.
    pub fn child(
        &self,
        parent: &Task,
        incarnation: Incarnation,
        queue: &QueueName,
        new: NewChild,
        now: SystemTime,
    ) -> Result<Child, SubmitError> {
        let depth = parent.headers.depth;
        if depth >= DEPTH_MAX {
            return Err(SubmitError::TooDeep(depth));
        }
        if new.joins.is_none() && self.children >= CHILDREN_MAX {
            return Err(SubmitError::TooMany(format!("{CHILDREN_MAX} children")));
        }
        if new.joins.is_some() && self.joins >= JOINS_MAX {
            return Err(SubmitError::TooMany(format!("{JOINS_MAX} tasks that wait for others")));
        }
        if self.bytes.saturating_add(new.payload.len() as u64) > CHILDREN_BYTES_MAX {
            return Err(SubmitError::TooMany(crate::format_bytes(CHILDREN_BYTES_MAX)));
        }
        if new.joins.is_some_and(|children| children > CHILDREN_MAX) {
            let reason = format!("a task can wait for {CHILDREN_MAX} others at most");
            return Err(SubmitError::Invalid(reason));
        }
        if new.delay.is_some_and(|delay| delay > DELAY_MAX) {
            return Err(SubmitError::Invalid("the delay is more than 366 days".to_owned()));
        }
        let invalid = |error: crate::NameError| SubmitError::Invalid(error.to_string());
        let alike = fingerprint(parent, incarnation, queue, &new);
        let timer = self.name(&alike);
        let id = match &new.id {
            Some(id) => TaskId::published(id).map_err(invalid)?,
            None => timer.as_str().parse().map_err(invalid)?,
        };
        let headers = headers(parent, &new, now)?;
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        TaskHeaders::read(&Subjects::of(&parent.tenant), pairs)?;
        let task = TaskRef { queue: queue.clone(), id };
        let NewChild { payload, delay, joins, .. } = new;
        let delay = delay.filter(|delay| !delay.is_zero());
        Ok(Child { task, timer, payload, headers, delay, joins, alike })
    }

    /// Notes that a child was submitted. One that was not is to have the same name when it is asked for again.
    pub fn submitted(&mut self, child: &Child) {
        match child.joins {
            None => self.children += 1,
            Some(_) => self.joins += 1,
        }
        self.bytes += child.payload.len() as u64;
        *self.alike.entry(child.alike).or_default() += 1;
    }

    /// `child-` and 128 bits of what the child is and of how many like it came before.
    fn name(&self, alike: &[u8; 32]) -> TimerName {
        let before = self.alike.get(alike).copied().unwrap_or_default();
        let digest = Sha256::new().chain_update(alike).chain_update(before.to_le_bytes()).finalize();
        format!("child-{}", hex::encode(&digest[..16])).parse().expect("digits are a name")
    }
}

/// What tells one child of a task from another: whose it is, and all that was asked for.
fn fingerprint(parent: &Task, incarnation: Incarnation, queue: &QueueName, new: &NewChild) -> [u8; 32] {
    let mut hash = Sha256::new();
    // Each part behind its length, so that none can pretend to be two.
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for name in [parent.tenant.as_str(), parent.queue.as_str(), parent.id.as_str(), queue.as_str()] {
        part(name.as_bytes());
    }
    part(&incarnation.stream_created_ms.to_le_bytes());
    part(&incarnation.sequence.to_le_bytes());
    for text in [&new.id, &new.content_type, &new.group] {
        part(&[u8::from(text.is_some())]);
        part(text.as_deref().unwrap_or_default().as_bytes());
    }
    for duration in [new.delay, new.deadline, new.timeout] {
        part(&duration.map_or(u128::MAX, |duration| duration.as_nanos()).to_le_bytes());
    }
    part(&new.joins.unwrap_or(u32::MAX).to_le_bytes());
    part(&(new.headers.len() as u64).to_le_bytes());
    for (name, value) in &new.headers {
        part(name.as_bytes());
        part(value.as_bytes());
    }
    part(&new.payload);
    hash.finalize().into()
}

/// The headers that a child is published with.
fn headers(parent: &Task, new: &NewChild, now: SystemTime) -> Result<Vec<(String, String)>, SubmitError> {
    let mut headers = Vec::with_capacity(new.headers.len() + 8);
    let content_type = new.content_type.iter().map(|value| (name::CONTENT_TYPE.to_owned(), value.clone()));
    for (header, value) in content_type.chain(new.headers.iter().cloned()) {
        let bad =
            |why| SubmitError::Invalid(format!("header `{}` {why}", escape_and_cut(&header, SHOWN_BYTES)));
        if belongs_to_nats(&header) {
            return Err(bad("belongs to the message system"));
        }
        if belongs_to_saggar(&header) && !header.eq_ignore_ascii_case(name::REPLY_TO) {
            return Err(bad("is not for a guest to set"));
        }
        if header.is_empty() || !header.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(bad("is no header name: use letters, digits and `-`"));
        }
        if value.contains(['\r', '\n', '\0']) {
            return Err(bad("has a line break in its value"));
        }
        headers.push((header, value));
    }
    let mut add = |name: &str, value: String| headers.push((name.to_owned(), value));
    if let Some(timeout) = new.timeout {
        add(name::TIMEOUT, format!("{}ms", timeout.as_millis()));
    }
    if let Some(deadline) = new.deadline {
        let deadline = now.checked_add(deadline.min(DELAY_MAX)).unwrap_or(now);
        add(name::DEADLINE, format_time(deadline));
    }
    if let Some(group) = &new.group {
        add(name::GROUP, group.clone());
    }
    if let Some(children) = new.joins {
        add(name::JOINS, children.to_string());
    }
    add(name::PARENT, TaskRef { queue: parent.queue.clone(), id: parent.id.clone() }.to_string());
    add(name::DEPTH, (parent.headers.depth + 1).to_string());
    // So that one which another attempt asked for and which has ended is not run again.
    add(name::ONCE, true.to_string());
    if let Some(traceparent) = &parent.headers.traceparent
        && !headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name::TRACEPARENT))
    {
        headers.push((name::TRACEPARENT.to_owned(), traceparent.clone()));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(depth: u32) -> Task {
        Task {
            tenant: "acme".parse().unwrap(),
            queue: "split".parse().unwrap(),
            id: "order-17".parse().unwrap(),
            payload: Bytes::new(),
            headers: TaskHeaders { depth, ..TaskHeaders::default() },
        }
    }

    fn ask(offspring: &Offspring, new: NewChild) -> Result<Child, SubmitError> {
        let incarnation = Incarnation { stream_created_ms: 1, sequence: 7 };
        offspring.child(&parent(0), incarnation, &"part".parse().unwrap(), new, SystemTime::UNIX_EPOCH)
    }

    fn payload(text: &str) -> NewChild {
        NewChild { payload: Bytes::copy_from_slice(text.as_bytes()), ..NewChild::default() }
    }

    fn value<'a>(child: &'a Child, wanted: &str) -> Option<&'a str> {
        child.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    #[test]
    fn another_attempt_that_asks_for_the_same_means_the_same_children_in_whatever_order() {
        let (mut first, mut second) = (Offspring::default(), Offspring::default());
        let submit = |offspring: &mut Offspring, text: &str| {
            let child = ask(offspring, payload(text)).unwrap();
            offspring.submitted(&child);
            child.task.id
        };
        let before: Vec<_> = ["a", "b", "a"].map(|text| submit(&mut first, text)).into();
        assert_ne!(before[0], before[2], "the second that is alike is another child");
        // It goes on from a checkpoint behind the first.
        let after: Vec<_> = ["b", "a", "c"].map(|text| submit(&mut second, text)).into();
        assert_eq!((&after[0], &after[1]), (&before[1], &before[0]));
        assert!(!before.contains(&after[2]));
    }

    #[test]
    fn a_child_that_was_not_submitted_has_the_same_name_when_it_is_asked_for_again() {
        let offspring = Offspring::default();
        let [one, again] = [0, 1].map(|_| ask(&offspring, payload("a")).unwrap().task);
        assert_eq!(one, again);
    }

    #[test]
    fn whatever_is_different_makes_another_child() {
        let offspring = Offspring::default();
        let plain = || payload("a");
        let some = |text: &str| Some(text.to_owned());
        let second = Duration::from_secs(1);
        let others = [
            plain(),
            payload("b"),
            NewChild { content_type: some("text/plain"), ..plain() },
            NewChild { headers: vec![("A".into(), "b".into())], ..plain() },
            NewChild { headers: vec![("Ab".into(), String::new())], ..plain() },
            NewChild { delay: Some(second), ..plain() },
            NewChild { deadline: Some(second), ..plain() },
            NewChild { timeout: Some(second), ..plain() },
            NewChild { group: some("sum/a"), ..plain() },
            NewChild { joins: Some(1), ..plain() },
        ];
        let names: std::collections::BTreeSet<_> =
            others.iter().cloned().map(|new| ask(&offspring, new).unwrap().timer.to_string()).collect();
        assert_eq!(names.len(), others.len());
        let redriven = Incarnation { stream_created_ms: 1, sequence: 8 };
        let queue = "part".parse().unwrap();
        let other = offspring.child(&parent(0), redriven, &queue, plain(), SystemTime::UNIX_EPOCH).unwrap();
        assert!(!names.contains(other.timer.as_str()), "a parent that is redriven is another");
    }

    #[test]
    fn a_child_carries_whose_it_is_and_how_deep() {
        let parent = Task {
            headers: TaskHeaders {
                depth: 2,
                traceparent: Some("00-1-2-01".into()),
                ..TaskHeaders::default()
            },
            ..parent(2)
        };
        let new = NewChild {
            id: Some("part-1".into()),
            timeout: Some(Duration::from_millis(1500)),
            deadline: Some(Duration::from_mins(1)),
            ..payload("a")
        };
        let queue = "part".parse().unwrap();
        let child = Offspring::default()
            .child(&parent, Incarnation::default(), &queue, new, SystemTime::UNIX_EPOCH)
            .unwrap();
        assert_eq!(child.task.to_string(), "part/part-1");
        assert_eq!(value(&child, "Saggar-Parent"), Some("split/order-17"));
        assert_eq!((value(&child, "Saggar-Depth"), value(&child, "Saggar-Once")), (Some("3"), Some("true")));
        assert_eq!(value(&child, "traceparent"), Some("00-1-2-01"));
        let pairs = child.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let read = TaskHeaders::read(&Subjects::of(&parent.tenant), pairs).unwrap();
        assert_eq!(read.timeout, Some(Duration::from_millis(1500)));
        assert_eq!(read.deadline, Some(SystemTime::UNIX_EPOCH + Duration::from_mins(1)));
        assert_eq!((read.depth, read.once), (3, true));
    }

    #[test]
    fn attack_64_children_without_end_are_refused() {
        let queue = "part".parse().unwrap();
        let at = |depth| {
            let new = payload("a");
            let incarnation = Incarnation::default();
            let offspring = Offspring::default();
            offspring.child(&parent(depth), incarnation, &queue, new, SystemTime::UNIX_EPOCH).map(|_| ())
        };
        assert_eq!(at(DEPTH_MAX - 1), Ok(()));
        for depth in [DEPTH_MAX, u32::MAX] {
            assert_eq!(at(depth), Err(SubmitError::TooDeep(depth)));
        }
        let mut offspring = Offspring::default();
        for _ in 0..CHILDREN_MAX {
            let child = ask(&offspring, payload("")).unwrap();
            offspring.submitted(&child);
        }
        assert!(matches!(ask(&offspring, payload("")), Err(SubmitError::TooMany(_))));
        let waiting = || NewChild { joins: Some(CHILDREN_MAX), ..NewChild::default() };
        for _ in 0..JOINS_MAX {
            let child = ask(&offspring, waiting()).unwrap();
            offspring.submitted(&child);
        }
        assert!(matches!(ask(&offspring, waiting()), Err(SubmitError::TooMany(_))));
        let mut offspring = Offspring::default();
        let large = || NewChild { payload: vec![0; 16 << 20].into(), ..NewChild::default() };
        for _ in 0..4 {
            let child = ask(&offspring, large()).unwrap();
            offspring.submitted(&child);
        }
        assert!(matches!(ask(&offspring, payload("a")), Err(SubmitError::TooMany(_))));
        assert!(ask(&offspring, payload("")).is_ok());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_reason() {
        let header = |name: &str, value: &str| NewChild {
            headers: vec![(name.to_owned(), value.to_owned())],
            ..NewChild::default()
        };
        let with = |change: fn(&mut NewChild)| {
            let mut new = NewChild::default();
            change(&mut new);
            new
        };
        for (new, part) in [
            (header("Nats-Rollup", "all"), "belongs to the message system"),
            (header("saggar-depth", "0"), "is not for a guest to set"),
            (header("Saggar-Reply-To", "saggar.other.reply.a"), "Saggar-Reply-To"),
            (header("a b", ""), "is no header name"),
            (header("A", "x\r\nNats-Rollup: all"), "line break"),
            (header("A", &"x".repeat(16 << 10)), "larger than 16384 bytes"),
            (with(|new| new.content_type = Some("a\nb".into())), "line break"),
            (with(|new| new.id = Some("seq-1-1".into())), "made by the host"),
            (with(|new| new.id = Some("a.>".into())), "not a valid task id"),
            (with(|new| new.timeout = Some(Duration::ZERO)), "leaves no time"),
            (with(|new| new.delay = Some(DELAY_MAX + Duration::from_millis(1))), "366 days"),
            (with(|new| new.group = Some("nothing".into())), "QUEUE/ID"),
            (with(|new| new.joins = Some(CHILDREN_MAX + 1)), "at most"),
        ] {
            match ask(&Offspring::default(), new) {
                Err(SubmitError::Invalid(reason)) => {
                    assert!(reason.contains(part), "{part}\nis not in\n{reason}");
                }
                other => panic!("{part}: {other:?}"),
            }
        }
        assert!(ask(&Offspring::default(), header("Saggar-Reply-To", "saggar.acme.reply.a")).is_ok());
        let far = with(|new| new.deadline = Some(Duration::from_millis(u64::MAX)));
        assert!(ask(&Offspring::default(), far).is_ok(), "a deadline that never comes");
    }
}

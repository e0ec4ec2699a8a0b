//! What a stream or consumer is, against what it should be, setting by setting.
//!
//! One table serves both uses: making them equal, and refusing to work where a difference could lose or mix up
//! tasks.

use std::fmt;

use async_nats::jetstream::consumer;
use async_nats::jetstream::stream::Config;

/// A setting that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The stream, or stream and consumer.
    pub place: String,
    /// The setting, as the `nats` command line names it in JSON.
    pub setting: &'static str,
    /// What it is.
    pub found: String,
    /// What it should be.
    pub wanted: String,
    /// Whether tasks could be lost or cross from one tenant to another.
    pub dangerous: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, setting, found, wanted, .. } = self;
        write!(f, "{place}: {setting} is {found}, must be {wanted}")
    }
}

/// Where the differences of one stream or consumer are collected.
struct Comparison<'a> {
    place: &'a str,
    differences: Vec<Difference>,
}

impl Comparison<'_> {
    fn check<T: PartialEq + fmt::Debug>(
        &mut self,
        setting: &'static str,
        found: &T,
        wanted: &T,
        dangerous: bool,
    ) {
        if found != wanted {
            self.differences.push(Difference {
                place: self.place.to_owned(),
                setting,
                found: format!("{found:?}"),
                wanted: format!("{wanted:?}"),
                dangerous,
            });
        }
    }
}

/// Where the stream `found` is not as `wanted`. Settings of which we have no opinion (placement, compression,
/// description) are left to the operator.
pub(crate) fn of_streams(found: &Config, wanted: &Config) -> Vec<Difference> {
    let mut is = Comparison { place: &wanted.name, differences: Vec::new() };
    let sorted = |subjects: &[String]| {
        let mut subjects = subjects.to_vec();
        subjects.sort_unstable();
        subjects
    };
    // A missing subject refuses tasks loudly; a foreign one lets strangers in.
    let foreign = found.subjects.iter().any(|subject| !wanted.subjects.contains(subject));
    is.check("subjects", &sorted(&found.subjects), &sorted(&wanted.subjects), foreign);
    is.check("retention", &found.retention, &wanted.retention, true);
    is.check("discard", &found.discard, &wanted.discard, true);
    is.check(
        "discard_new_per_subject",
        &found.discard_new_per_subject,
        &wanted.discard_new_per_subject,
        true,
    );
    let per_subject = |config: &Config| config.max_messages_per_subject.max(0);
    is.check("max_msgs_per_subject", &per_subject(found), &per_subject(wanted), true);
    is.check("max_age", &found.max_age, &wanted.max_age, true);
    is.check("allow_rollup_hdrs", &found.allow_rollup, &wanted.allow_rollup, true);
    is.check("allow_msg_schedules", &found.allow_message_schedules, &wanted.allow_message_schedules, true);
    is.check("allow_atomic", &found.allow_atomic_publish, &wanted.allow_atomic_publish, true);
    is.check("allow_batched", &found.allow_batch_publish, &wanted.allow_batch_publish, true);
    is.check("allow_msg_counter", &found.allow_message_counter, &wanted.allow_message_counter, true);
    is.check("allow_msg_ttl", &found.allow_message_ttl, &wanted.allow_message_ttl, true);
    is.check(
        "subject_delete_marker_ttl",
        &found.subject_delete_marker_ttl.unwrap_or_default(),
        &wanted.subject_delete_marker_ttl.unwrap_or_default(),
        true,
    );
    is.check("allow_direct", &found.allow_direct, &wanted.allow_direct, true);
    is.check("no_ack", &found.no_ack, &wanted.no_ack, true);
    is.check("sealed", &found.sealed, &wanted.sealed, true);
    is.check("deny_delete", &found.deny_delete, &wanted.deny_delete, true);
    is.check("mirror", &found.mirror.is_some(), &false, true);
    is.check("sources", &found.sources.as_ref().is_some_and(|sources| !sources.is_empty()), &false, true);
    is.check("republish", &found.republish.is_some(), &false, true);
    is.check("subject_transform", &found.subject_transform, &wanted.subject_transform, true);
    is.check("storage", &found.storage, &wanted.storage, true);
    let unbounded = |limit: i64| if limit <= 0 { -1 } else { limit };
    is.check("max_msgs", &unbounded(found.max_messages), &unbounded(wanted.max_messages), false);
    is.check("max_bytes", &unbounded(found.max_bytes), &unbounded(wanted.max_bytes), false);
    let too_large = found.max_message_size <= 0 || found.max_message_size > wanted.max_message_size;
    let size = |config: &Config| unbounded(i64::from(config.max_message_size));
    is.check("max_msg_size", &size(found), &size(wanted), wanted.max_message_size > 0 && too_large);
    is.check("num_replicas", &found.num_replicas, &wanted.num_replicas, false);
    if !wanted.duplicate_window.is_zero() {
        is.check("duplicate_window", &found.duplicate_window, &wanted.duplicate_window, false);
    }
    is.differences
}

/// `found` with everything set that we have an opinion of.
pub(crate) fn stream_made_equal(mut found: Config, wanted: &Config) -> Config {
    let Config { subjects, retention, discard, storage, .. } = wanted.clone();
    found.subjects = subjects;
    found.retention = retention;
    found.discard = discard;
    found.storage = storage;
    found.discard_new_per_subject = wanted.discard_new_per_subject;
    found.max_messages_per_subject = wanted.max_messages_per_subject;
    found.max_messages = wanted.max_messages;
    found.max_bytes = wanted.max_bytes;
    found.max_age = wanted.max_age;
    found.max_message_size = wanted.max_message_size;
    found.num_replicas = wanted.num_replicas;
    found.allow_rollup = wanted.allow_rollup;
    found.allow_message_schedules = wanted.allow_message_schedules;
    found.allow_atomic_publish = wanted.allow_atomic_publish;
    found.allow_batch_publish = wanted.allow_batch_publish;
    found.allow_message_counter = wanted.allow_message_counter;
    found.allow_message_ttl = wanted.allow_message_ttl;
    found.subject_delete_marker_ttl = wanted.subject_delete_marker_ttl;
    found.allow_direct = wanted.allow_direct;
    found.no_ack = wanted.no_ack;
    found.deny_delete = wanted.deny_delete;
    found.sources = None;
    found.republish = None;
    found.subject_transform.clone_from(&wanted.subject_transform);
    if !wanted.duplicate_window.is_zero() {
        found.duplicate_window = wanted.duplicate_window;
    }
    found
}

/// Where the consumer `found` is not as `wanted`. A pause is the operator's.
pub(crate) fn of_consumers(
    stream: &str,
    found: &consumer::Config,
    wanted: &consumer::Config,
) -> Vec<Difference> {
    let place = format!("{stream}, consumer {}", wanted.durable_name.as_deref().unwrap_or_default());
    let mut is = Comparison { place: &place, differences: Vec::new() };
    is.check("filter_subjects", &filters(found), &filters(wanted), true);
    is.check("ack_policy", &found.ack_policy, &wanted.ack_policy, true);
    is.check("deliver_policy", &found.deliver_policy, &wanted.deliver_policy, true);
    is.check("ack_wait", &found.ack_wait, &wanted.ack_wait, true);
    is.check("max_deliver", &found.max_deliver, &wanted.max_deliver, true);
    is.check("backoff", &found.backoff, &wanted.backoff, true);
    is.check("inactive_threshold", &found.inactive_threshold, &wanted.inactive_threshold, true);
    is.check("max_ack_pending", &found.max_ack_pending, &wanted.max_ack_pending, false);
    is.differences
}

fn filters(config: &consumer::Config) -> Vec<String> {
    let mut filters = config.filter_subjects.clone();
    if !config.filter_subject.is_empty() {
        filters.push(config.filter_subject.clone());
    }
    filters.sort_unstable();
    filters
}

/// `found` with everything set that we have an opinion of.
pub(crate) fn consumer_made_equal(
    mut found: consumer::Config,
    wanted: &consumer::Config,
) -> consumer::Config {
    found.filter_subject.clear();
    found.filter_subjects.clone_from(&wanted.filter_subjects);
    found.ack_policy = wanted.ack_policy;
    found.ack_wait = wanted.ack_wait;
    found.max_deliver = wanted.max_deliver;
    found.backoff.clone_from(&wanted.backoff);
    found.inactive_threshold = wanted.inactive_threshold;
    found.max_ack_pending = wanted.max_ack_pending;
    found
}

//! How every stream, bucket and consumer is set up: pure functions from a tenant's record.
//!
//! The flags that let a header reach beyond its own message (roll-up, schedules, atomic batches) are off wherever a
//! tenant can publish.

use std::time::Duration;

use async_nats::jetstream::consumer::{
    self, AckPolicy, DeliverPolicy, IntoConsumerConfig as _, ReplayPolicy,
};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, SubjectTransform};
use saggar_model::{QueueName, QueueSpec, Quota, Subjects, TenantName, TenantRecord};

/// How long a delivered message may stay without a sign of life before JetStream delivers it again. Hosts give one
/// every few seconds, so that half of it would still do; a third would turn a change of leader into redeliveries.
pub const ACK_WAIT: Duration = Duration::from_secs(30);

/// What a message of a tenant must leave free of the server's `max_payload`, so that it can be stored once more as a
/// dead letter: 16 KiB of headers are the publisher's, the rest is for the reason and the receipt.
pub const PAYLOAD_RESERVE: usize = 32 * 1024;

/// How long JetStream remembers message ids. Longer than any client repeats a publish, short enough that a million
/// ids a minute fit into memory.
pub const DUPLICATE_WINDOW: Duration = Duration::from_mins(2);

/// How long a host is believed to live after its last heartbeat: five heartbeats, so that a change of leader does
/// not bury every host.
pub const HOST_TTL: Duration = Duration::from_secs(10);

/// How long a checkpoint is kept that nobody renews: longer than any attempt may run, and than people take to notice
/// that nothing does.
const CHECKPOINT_AGE: Duration = Duration::from_hours(7 * 24);

/// How long a day of usage is kept: a year, and a month to compare with the year before.
const USAGE_AGE: Duration = Duration::from_hours(400 * 24);

/// Messages of a tenant's store of payloads at most, so that looking through their names has an end: fifty thousand
/// payloads of one part each, or 12 GiB of large ones.
const PAYLOAD_MESSAGES_MAX: i64 = 100_000;

/// Bucket of the tenants' records.
pub(crate) const TENANTS_BUCKET: &str = "saggar_tenants";
/// Bucket of the hosts' heartbeats.
pub(crate) const HOSTS_BUCKET: &str = "saggar_hosts";
/// Bucket of plugin versions.
pub(crate) const VERSIONS_BUCKET: &str = "saggar_plugin_versions";
/// Bucket of schedules.
pub(crate) const SCHEDULES_BUCKET: &str = "saggar_schedules";
/// Object store of components.
pub(crate) const PLUGINS_STORE: &str = "saggar_plugins";

/// How the streams of timers begin, before the tenant's name.
pub(crate) const TIMERS_PREFIX: &str = "SAGGAR_TIMERS_";

/// The consumer that hosts take from what is due.
pub(crate) const PUMP: &str = "pump";

/// How much of what is due can be in the hands of hosts, or waiting to be tried again, of one tenant. Far more than
/// hosts ask for at once, so that tasks for a queue that is gone do not stand in the way of the others for long.
const PUMP_PENDING: i64 = 10_000;

/// The largest message, headers included, that a tenant may publish through a server with this `max_payload`.
#[must_use]
pub fn task_max_bytes(max_payload: usize) -> usize {
    // A server set up for tiny messages still gets something that works for tiny messages.
    max_payload.saturating_sub(PAYLOAD_RESERVE).max(max_payload / 2)
}

/// The stream of a tenant's tasks. It listens for the tasks of its queues and for nothing else, so that a task for
/// an unknown queue is refused to its publisher at once.
pub(crate) fn tasks_stream(record: &TenantRecord, max_payload: usize, replicas: usize) -> Config {
    let subjects = Subjects::of(&record.spec.name);
    let mut filters: Vec<String> =
        record.spec.queues.keys().flat_map(|queue| subjects.task_subjects(queue)).collect();
    if filters.is_empty() {
        // A stream needs a subject. No task can be published to this one: it lacks the queue.
        filters.push(format!("saggar.{}.task", record.spec.name));
    }
    let [source, destination] = subjects.nameless_tasks();
    Config {
        name: subjects.tasks_stream(),
        subjects: filters,
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        max_messages: bounded(record.spec.quota.tasks),
        max_bytes: bounded(record.spec.quota.bytes),
        max_messages_per_subject: -1,
        subject_transform: Some(SubjectTransform { source, destination }),
        max_message_size: i32::try_from(task_max_bytes(max_payload)).unwrap_or(i32::MAX),
        duplicate_window: DUPLICATE_WINDOW,
        ..base(replicas)
    }
}

/// The stream of a tenant's results: one for each task, the oldest given up when it is full, each with its own end
/// of life.
pub(crate) fn results_stream(record: &TenantRecord, replicas: usize) -> Config {
    let subjects = Subjects::of(&record.spec.name);
    Config {
        name: subjects.results_stream(),
        subjects: vec![subjects.results()],
        discard: DiscardPolicy::Old,
        max_messages_per_subject: 1,
        // With less, a large result would be acknowledged and not stored.
        max_bytes: bounded(record.spec.quota.results.max(Quota::RESULTS_MIN)),
        allow_message_ttl: true,
        ..base(replicas)
    }
}

/// The stream of a tenant's dead letters: none is given up for another.
pub(crate) fn dead_stream(record: &TenantRecord, replicas: usize) -> Config {
    let subjects = Subjects::of(&record.spec.name);
    Config {
        name: subjects.dead_stream(),
        subjects: vec![subjects.dead_letters(None)],
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        max_messages_per_subject: 1,
        max_bytes: bounded(record.spec.quota.dead),
        ..base(replicas)
    }
}

/// The stream of a tenant's timers. One with schedules must give up old messages when it is full, so that it has no
/// limits of its own: whoever writes asks for room first. The server allows roll-up where it allows schedules.
pub(crate) fn timers_stream(tenant: &TenantName, replicas: usize) -> Config {
    let subjects = Subjects::of(tenant);
    Config {
        name: subjects.timers_stream(),
        subjects: subjects.timers().into(),
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::Old,
        max_bytes: -1,
        allow_message_schedules: true,
        allow_rollup: true,
        duplicate_window: DUPLICATE_WINDOW,
        ..base(replicas)
    }
}

/// The consumer of what is due.
pub(crate) fn pump_consumer(tenant: &TenantName) -> consumer::Config {
    let [_, due] = Subjects::of(tenant).timers();
    consumer::pull::Config {
        durable_name: Some(PUMP.to_owned()),
        name: Some(PUMP.to_owned()),
        filter_subjects: vec![due],
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_deliver: -1,
        replay_policy: ReplayPolicy::Instant,
        max_ack_pending: PUMP_PENDING,
        ..consumer::pull::Config::default()
    }
    .into_consumer_config()
}

/// The stream of what tasks have been through.
pub(crate) fn state_stream(replicas: usize) -> Config {
    Config {
        name: Subjects::STATE_STREAM.to_owned(),
        subjects: vec![Subjects::STATE_SUBJECTS.to_owned()],
        discard: DiscardPolicy::Old,
        max_messages_per_subject: 1,
        max_bytes: -1,
        ..base(replicas)
    }
}

/// The stream of what tenants have used.
pub(crate) fn usage_stream(replicas: usize) -> Config {
    Config {
        name: Subjects::USAGE_STREAM.to_owned(),
        subjects: vec![Subjects::USAGE_SUBJECTS.to_owned()],
        discard: DiscardPolicy::Old,
        max_messages_per_subject: 1,
        max_bytes: -1,
        max_age: USAGE_AGE,
        ..base(replicas)
    }
}

/// A key-value bucket as every client of JetStream knows it.
pub(crate) fn bucket(name: &str, max_age: Duration, replicas: usize) -> Config {
    Config {
        name: format!("KV_{name}"),
        subjects: vec![format!("$KV.{name}.>")],
        discard: DiscardPolicy::New,
        max_messages_per_subject: 1,
        max_bytes: -1,
        max_age,
        allow_rollup: true,
        deny_delete: true,
        ..base(replicas)
    }
}

/// An object store as every client of JetStream knows it.
pub(crate) fn object_store(name: &str, replicas: usize) -> Config {
    Config {
        name: format!("OBJ_{name}"),
        subjects: vec![format!("$O.{name}.C.>"), format!("$O.{name}.M.>")],
        discard: DiscardPolicy::New,
        max_messages_per_subject: -1,
        max_bytes: -1,
        allow_rollup: true,
        ..base(replicas)
    }
}

/// The bucket of a tenant's keys and values: none is given up for another.
pub(crate) fn kv_bucket(tenant: &TenantName, quota: &Quota, replicas: usize) -> Config {
    Config { max_bytes: bounded(quota.kv), ..bucket(&kv_name(tenant), Duration::ZERO, replicas) }
}

/// The store of a tenant's objects: none is given up for another.
pub(crate) fn blobs_store(tenant: &TenantName, quota: &Quota, replicas: usize) -> Config {
    Config { max_bytes: bounded(quota.blobs), ..object_store(&blobs_name(tenant), replicas) }
}

/// The store of the checkpoints of a tenant's tasks: none is given up for another, and what nobody removed ends by itself.
pub(crate) fn checkpoints_store(tenant: &TenantName, quota: &Quota, replicas: usize) -> Config {
    Config {
        max_bytes: bounded(quota.checkpoints),
        max_age: CHECKPOINT_AGE,
        ..object_store(&checkpoints_name(tenant), replicas)
    }
}

/// The store of the payloads that are too large for a message: none is given up for another. The outputs of results end
/// by themselves, each with its result.
pub(crate) fn payloads_store(tenant: &TenantName, quota: &Quota, replicas: usize) -> Config {
    Config {
        max_bytes: bounded(quota.payloads),
        max_messages: PAYLOAD_MESSAGES_MAX,
        allow_message_ttl: true,
        ..object_store(&payloads_name(tenant), replicas)
    }
}

/// What the bucket of a tenant's keys and values is called.
pub(crate) fn kv_name(tenant: &TenantName) -> String {
    format!("saggar-{tenant}-kv")
}

/// What the store of a tenant's objects is called.
pub(crate) fn blobs_name(tenant: &TenantName) -> String {
    format!("saggar-{tenant}-blobs")
}

/// What the store of the checkpoints of a tenant's tasks is called.
pub(crate) fn checkpoints_name(tenant: &TenantName) -> String {
    format!("saggar-{tenant}-checkpoints")
}

/// What the store of a tenant's large payloads is called.
pub(crate) fn payloads_name(tenant: &TenantName) -> String {
    format!("saggar-{tenant}-payloads")
}

/// What all have in common.
fn base(replicas: usize) -> Config {
    Config {
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        num_replicas: replicas.max(1),
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        max_message_size: -1,
        allow_direct: true,
        ..Config::default()
    }
}

/// The consumer of a queue. Its `max_ack_pending` is the queue's concurrency over all hosts; it lives in JetStream,
/// so that no crash can leak a slot.
pub(crate) fn queue_consumer(record: &TenantRecord, name: &QueueName, queue: &QueueSpec) -> consumer::Config {
    consumer::pull::Config {
        durable_name: Some(name.to_string()),
        name: Some(name.to_string()),
        filter_subjects: vec![Subjects::of(&record.spec.name).stored_tasks(name)],
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        // Whoever counts attempts is the host; past a maximum JetStream would keep the message for ever, unseen.
        max_deliver: -1,
        replay_policy: ReplayPolicy::Instant,
        max_ack_pending: i64::from(queue.concurrency),
        ..consumer::pull::Config::default()
    }
    .into_consumer_config()
}

fn bounded(quota: u64) -> i64 {
    i64::try_from(quota).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use saggar_model::{Allowance, TenantSpec};

    use super::*;

    const MIB: usize = 1 << 20;

    fn record(queues: &[&str]) -> TenantRecord {
        let queue = QueueSpec { concurrency: 7, ..QueueSpec::new("hello@1".parse().unwrap()) };
        let spec = TenantSpec {
            name: "acme".parse().unwrap(),
            weight: 1,
            quota: Quota { tasks: 10, bytes: 20 << 20, results: 1, dead: 30 << 20, ..Quota::default() },
            allowance: Allowance::default(),
            queues: queues.iter().map(|name| (name.parse().unwrap(), queue.clone())).collect(),
            schedules: [].into(),
        };
        TenantRecord::new(spec, [].into())
    }

    #[test]
    fn the_tasks_stream_is_a_bounded_work_queue_of_its_queues_only() {
        let stream = tasks_stream(&record(&["a", "b"]), MIB, 3);
        assert_eq!(stream.name, "SAGGAR_TASKS_acme");
        assert_eq!(
            stream.subjects,
            ["saggar.acme.task.a", "saggar.acme.task.a.*", "saggar.acme.task.b", "saggar.acme.task.b.*"]
        );
        let renamed = stream.subject_transform.expect("tasks without an id get a place of their own");
        assert_eq!(renamed.source, "saggar.acme.task.*");
        assert_eq!(renamed.destination, "saggar.acme.task.{{wildcard(1)}}.~");
        assert_eq!(stream.retention, RetentionPolicy::WorkQueue);
        assert_eq!(stream.discard, DiscardPolicy::New);
        assert_eq!(stream.storage, StorageType::File);
        assert_eq!((stream.max_messages, stream.max_bytes, stream.max_age), (10, 20 << 20, Duration::ZERO));
        assert_eq!(stream.max_message_size, 1_048_576 - 32_768);
        assert_eq!(stream.num_replicas, 3);
        assert!(stream.allow_direct);
        assert_eq!(stream.duplicate_window, Duration::from_mins(2));
    }

    #[test]
    fn no_header_of_a_tenant_reaches_beyond_its_message() {
        let record = record(&["a"]);
        for stream in [
            tasks_stream(&record, MIB, 1),
            results_stream(&record, 1),
            dead_stream(&record, 1),
            state_stream(1),
            usage_stream(1),
        ] {
            assert!(!stream.allow_rollup, "{}", stream.name);
            assert!(!stream.allow_message_schedules, "{}", stream.name);
            assert!(!stream.allow_atomic_publish, "{}", stream.name);
            assert!(!stream.allow_batch_publish, "{}", stream.name);
            assert!(!stream.allow_message_counter, "{}", stream.name);
        }
    }

    #[test]
    fn a_tenant_without_queues_has_a_stream_that_takes_no_task() {
        assert_eq!(tasks_stream(&record(&[]), MIB, 1).subjects, ["saggar.acme.task"]);
    }

    #[test]
    fn results_are_kept_one_for_each_task_and_end_by_themselves() {
        let stream = results_stream(&record(&[]), 1);
        assert_eq!(stream.subjects, ["saggar.acme.result.*.*"]);
        assert_eq!(stream.retention, RetentionPolicy::Limits);
        assert_eq!((stream.max_messages_per_subject, stream.discard), (1, DiscardPolicy::Old));
        assert_eq!(stream.max_bytes, 64 << 20, "room for 64 of the largest, whatever the quota says");
        assert!(stream.allow_message_ttl && stream.allow_direct);
        assert_eq!(stream.subject_delete_marker_ttl, None);
    }

    #[test]
    fn dead_letters_are_never_given_up_for_others() {
        let stream = dead_stream(&record(&[]), 1);
        assert_eq!(stream.subjects, ["saggar.acme.dead.*.*"]);
        assert_eq!((stream.max_messages_per_subject, stream.discard), (1, DiscardPolicy::New));
        assert!(stream.discard_new_per_subject && stream.allow_direct);
        assert_eq!(stream.max_bytes, 30 << 20);
    }

    #[test]
    fn timers_are_never_given_up_for_others() {
        let tenant = "acme".parse().unwrap();
        let stream = timers_stream(&tenant, 3);
        assert_eq!(stream.name, format!("{TIMERS_PREFIX}acme"));
        assert_eq!(stream.subjects, ["saggar.acme.timer.>", "saggar.acme.due.>"]);
        assert_eq!(stream.retention, RetentionPolicy::WorkQueue);
        assert_eq!((stream.max_messages, stream.max_bytes, stream.max_messages_per_subject), (-1, -1, -1));
        assert!(stream.allow_message_schedules && stream.allow_direct && !stream.allow_atomic_publish);
        let pump = pump_consumer(&tenant);
        assert_eq!(pump.filter_subjects, ["saggar.acme.due.>"]);
        assert_eq!((pump.ack_policy, pump.max_deliver), (AckPolicy::Explicit, -1));
    }

    #[test]
    fn state_is_kept_one_for_each_task() {
        let stream = state_stream(1);
        assert_eq!((stream.name.as_str(), stream.max_messages_per_subject), ("SAGGAR_STATE", 1));
        assert_eq!(stream.subjects, ["saggar.state.>"]);
        assert_eq!(stream.retention, RetentionPolicy::Limits);
        assert!(stream.allow_direct);
    }

    #[test]
    fn what_was_used_is_kept_one_for_each_day_and_book() {
        let stream = usage_stream(3);
        assert_eq!((stream.name.as_str(), stream.max_messages_per_subject), ("SAGGAR_USAGE", 1));
        assert_eq!(stream.subjects, ["saggar-usage.>"], "nothing that a tenant could be granted");
        assert_eq!((stream.max_age, stream.num_replicas), (Duration::from_hours(9600), 3));
    }

    #[test]
    fn hosts_are_forgotten_by_their_bucket() {
        let bucket = bucket(HOSTS_BUCKET, HOST_TTL, 1);
        assert_eq!((bucket.name.as_str(), bucket.max_age), ("KV_saggar_hosts", Duration::from_secs(10)));
        assert_eq!(bucket.max_messages_per_subject, 1);
    }

    #[test]
    fn what_plugins_keep_is_never_given_up_for_more() {
        let (tenant, quota) =
            ("acme".parse().unwrap(), Quota { kv: 3 << 20, blobs: 5 << 20, ..Quota::default() });
        let checkpoints = checkpoints_store(&tenant, &quota, 1);
        assert_eq!(checkpoints.name, "OBJ_saggar-acme-checkpoints");
        assert_eq!((checkpoints.max_bytes, checkpoints.discard), (256 << 20, DiscardPolicy::New));
        assert_eq!(checkpoints.max_age, Duration::from_hours(168), "what nobody removed");
        let (kv, blobs) = (kv_bucket(&tenant, &quota, 3), blobs_store(&tenant, &quota, 3));
        assert_eq!((kv.name.as_str(), blobs.name.as_str()), ("KV_saggar-acme-kv", "OBJ_saggar-acme-blobs"));
        assert_eq!((kv.max_bytes, blobs.max_bytes), (3 << 20, 5 << 20));
        assert_eq!(kv.max_messages_per_subject, 1, "a history of one");
        for store in [kv, blobs] {
            assert_eq!((store.discard, store.max_age), (DiscardPolicy::New, Duration::ZERO));
            assert_eq!((store.num_replicas, store.max_messages), (3, -1));
        }
    }

    #[test]
    fn payloads_are_bounded_in_bytes_and_number_and_can_end_with_their_results() {
        let (tenant, quota) = ("acme".parse().unwrap(), Quota { payloads: 7 << 20, ..Quota::default() });
        let store = payloads_store(&tenant, &quota, 3);
        assert_eq!(store.name, "OBJ_saggar-acme-payloads");
        assert_eq!((store.max_bytes, store.discard), (7 << 20, DiscardPolicy::New));
        assert_eq!((store.max_messages, store.max_age), (100_000, Duration::ZERO));
        assert!(store.allow_message_ttl && store.subject_delete_marker_ttl.is_none());
    }

    #[test]
    fn the_consumer_of_a_queue_is_its_concurrency_and_nothing_is_counted_by_the_server() {
        let record = record(&["a"]);
        let (name, queue) = record.spec.queues.first_key_value().unwrap();
        let consumer = queue_consumer(&record, name, queue);
        assert_eq!(consumer.durable_name.as_deref(), Some("a"));
        assert_eq!(consumer.filter_subjects, ["saggar.acme.task.a.*"], "one: two are slow");
        assert_eq!(consumer.ack_policy, AckPolicy::Explicit);
        assert_eq!((consumer.ack_wait, consumer.max_ack_pending), (Duration::from_secs(30), 7));
        assert_eq!((consumer.max_deliver, consumer.backoff.len()), (-1, 0));
        assert_eq!(consumer.deliver_policy, DeliverPolicy::All);
        assert_eq!(consumer.inactive_threshold, Duration::ZERO);
    }

    #[test]
    fn a_server_for_tiny_messages_still_takes_tasks() {
        assert_eq!(task_max_bytes(MIB), MIB - PAYLOAD_RESERVE);
        assert_eq!(task_max_bytes(16 * 1024), 8 * 1024);
    }
}

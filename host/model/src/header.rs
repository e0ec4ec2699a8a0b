//! The names of the headers on tasks, results and dead letters.

/// All headers of a task together, in bytes of names and values.
pub const HEADERS_MAX_BYTES: usize = 16 * 1024;

/// Header names as they are written. Reading does not mind the case.
pub mod name {
    /// Media type of a payload.
    pub const CONTENT_TYPE: &str = "Content-Type";
    /// W3C trace context, carried from task to result.
    pub const TRACEPARENT: &str = "traceparent";

    /// Wall limit that a publisher asks for.
    pub const TIMEOUT: &str = "Saggar-Timeout";
    /// Point in time after which a task is not started.
    pub const DEADLINE: &str = "Saggar-Deadline";
    /// Subject that also receives the result.
    pub const REPLY_TO: &str = "Saggar-Reply-To";
    /// Where the payload lies, if not in the message.
    pub const PAYLOAD: &str = "Saggar-Payload";
    /// Not to be run again while its result is kept: `true` or `false`.
    pub const ONCE: &str = "Saggar-Once";
    /// The task that submitted this one, `QUEUE/ID`.
    pub const PARENT: &str = "Saggar-Parent";
    /// How deep it is: 1 for the child of a task that a publisher published.
    pub const DEPTH: &str = "Saggar-Depth";
    /// The task that waits for this one, `QUEUE/ID`.
    pub const GROUP: &str = "Saggar-Group";
    /// For how many others it waited.
    pub const JOINS: &str = "Saggar-Joins";

    /// The outcome.
    pub const STATUS: &str = "Saggar-Status";
    /// `QUEUE/ID`.
    pub const TASK: &str = "Saggar-Task";
    /// Which message the result belongs to: stream incarnation and sequence.
    pub const SEQ: &str = "Saggar-Seq";
    /// The counted attempt.
    pub const ATTEMPT: &str = "Saggar-Attempt";
    /// Fuel spent.
    pub const FUEL: &str = "Saggar-Fuel";
    /// Peak memory in bytes.
    pub const PEAK_MEMORY: &str = "Saggar-Peak-Memory";
    /// Run time in milliseconds.
    pub const DURATION: &str = "Saggar-Duration";
    /// The part of the run time that the guest was computing, in milliseconds.
    pub const CPU: &str = "Saggar-Cpu";
    /// What the attempts before the last one cost, by host, as JSON; absent if there was none.
    pub const EARLIER: &str = "Saggar-Earlier";
    /// The book that the host counts the result in.
    pub const BOOK: &str = "Saggar-Book";
    /// Waiting time in milliseconds.
    pub const QUEUED: &str = "Saggar-Queued";
    /// `name@version`.
    pub const PLUGIN: &str = "Saggar-Plugin";
    /// `sha256:…`.
    pub const DIGEST: &str = "Saggar-Digest";
    /// Name of the host.
    pub const HOST: &str = "Saggar-Host";
    /// Bytes in, out and logged, and calls into the host: `in=256 out=3 log=0 calls=1`.
    pub const USAGE: &str = "Saggar-Usage";
    /// The timer that a task came out of.
    pub const TIMER: &str = "Saggar-Timer";
    /// Where the record lies of what such a task has been through.
    pub const STATE: &str = "Saggar-State";
    /// When a timer is due.
    pub const DUE: &str = "Saggar-Due";
    /// What is to be done with a large payload: `put`, `finish`, `get` or `remove`.
    pub const BLOB: &str = "Saggar-Blob";
    /// Where the part before lies, of a large payload that is stored or read part by part.
    pub const AFTER: &str = "Saggar-After";
    /// Bytes of a large payload as a whole.
    pub const SIZE: &str = "Saggar-Size";
    /// What of a message could not be read as it was published. Written on its way to who reads it, in place of what was
    /// wrong; a publisher who writes it says that of itself.
    pub const MALFORMED: &str = "Saggar-Malformed";
    /// Why a task became a dead letter.
    pub const REASON: &str = "Saggar-Reason";
}

/// Whether the message system owns a header, so that a tenant's is never copied on.
#[must_use]
pub(crate) fn belongs_to_nats(name: &str) -> bool {
    has_prefix(name, "nats-")
}

/// Whether a header is Saggar's.
#[must_use]
pub(crate) fn belongs_to_saggar(name: &str) -> bool {
    has_prefix(name, "saggar-")
}

/// Whether a publisher may set this `Saggar-` header, so that it stays with the task in a dead letter.
#[must_use]
pub(crate) fn is_publishers(header: &str) -> bool {
    [name::TIMEOUT, name::DEADLINE, name::REPLY_TO, name::PAYLOAD, name::ONCE, name::PARENT, name::DEPTH]
        .into_iter()
        .chain([name::GROUP, name::JOINS, name::MALFORMED])
        .any(|ours| ours.eq_ignore_ascii_case(header))
}

/// Whether only hosts set this header, beyond what a publisher may.
#[must_use]
pub(crate) fn is_hosts(header: &str) -> bool {
    [name::TIMER, name::STATE, name::DUE, "Nats-Msg-Id"]
        .into_iter()
        .any(|ours| ours.eq_ignore_ascii_case(header))
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

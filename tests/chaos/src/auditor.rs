//! Looks on while things break: a task that is gone from its queue must have its result by then, and a failure its
//! dead letter. That is what "acknowledged only after the record is stored" means to somebody outside.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use tokio::time::Instant;

use crate::generator::Acknowledged;
use crate::job::{Job, Task};

/// How often a task is looked at.
const BEAT: Duration = Duration::from_millis(20);

/// How long one look may take.
const ASK: Duration = Duration::from_secs(2);

/// A new leader of a stream may answer before it has caught up with what it was elected on. What is missing then is
/// looked for again, so often and so much later.
const AGAIN: u32 = 3;
const LATER: Duration = Duration::from_secs(2);

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// Tasks that were looked at and could be judged.
    pub looked: u64,
    /// Of those, tasks that were gone from their queue and had their records.
    pub recorded: u64,
    /// Looks that had to be repeated, because a new leader had not caught up.
    pub again: u64,
    /// Tasks that were gone without a record.
    pub wrong: Vec<String>,
}

/// What one look at a task says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// It waits or runs.
    Queued,
    /// It is gone, and its records are there.
    Recorded,
    /// It is gone, and a record is missing.
    Unrecorded,
    /// Nobody answered.
    Unknown,
}

/// Looks at one acknowledged task after another until `until`.
pub async fn look_on(
    context: Context,
    seed: u64,
    acknowledged: Acknowledged,
    nodes: u8,
    until: Instant,
) -> Audit {
    let mut audit = Audit::default();
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while Instant::now() < until {
        beat.tick().await;
        let Some(number) = acknowledged.any() else { continue };
        let task = Task::of(seed, number);
        let mut look = look(&context, &task).await;
        // One server has nobody to catch up with.
        for _ in 0..AGAIN {
            if look != Look::Unrecorded || nodes == 1 {
                break;
            }
            audit.again += 1;
            tokio::time::sleep(LATER).await;
            look = self::look(&context, &task).await;
        }
        match look {
            Look::Unknown => continue,
            Look::Queued => {}
            Look::Recorded => audit.recorded += 1,
            Look::Unrecorded => audit.wrong.push(task.subject()),
        }
        audit.looked += 1;
    }
    audit
}

async fn look(context: &Context, task: &Task) -> Look {
    let looking = async {
        let Task { tenant, job, .. } = task;
        let (queue, id) = (job.queue().name(), task.id());
        let stream =
            async |name: &str| context.get_stream_no_info(format!("SAGGAR_{name}_{tenant}")).await.ok();
        // The queue first: what is missing there was acknowledged before the records are looked for.
        let tasks = stream("TASKS").await?;
        if has(&tasks, &task.subject()).await? {
            return Some(Look::Queued);
        }
        if task.job == Job::PutOff {
            // Into a timer and out again, each before it is gone from where it was.
            let timers = stream("TIMERS").await?;
            for at in ["timer", "due"] {
                if has(&timers, &format!("saggar.{tenant}.{at}.{queue}.{id}.*")).await? {
                    return Some(Look::Queued);
                }
            }
            if has(&tasks, &task.subject()).await? {
                return Some(Look::Queued);
            }
        }
        let mut recorded =
            has(&stream("RESULTS").await?, &format!("saggar.{tenant}.result.{queue}.{id}")).await?;
        if job.is_failure() {
            recorded &= has(&stream("DEAD").await?, &format!("saggar.{tenant}.dead.{queue}.{id}")).await?;
        }
        Some(if recorded { Look::Recorded } else { Look::Unrecorded })
    };
    tokio::time::timeout(ASK, looking).await.ok().flatten().unwrap_or(Look::Unknown)
}

/// Whether a stream's leader has a message on a subject; nothing if it does not answer.
async fn has<T>(stream: &Stream<T>, subject: &str) -> Option<bool> {
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(_) => Some(true),
        Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => Some(false),
        Err(_) => None,
    }
}

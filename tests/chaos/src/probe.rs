//! Whether every queue can still run as many tasks at once as it may: so many are submitted that wait for a word, and
//! the word is given when all of them are there. A slot that leaked would leave one of them out.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::jetstream::Context;
use futures::StreamExt as _;
use tokio::time::Instant;

use crate::job::{Queue, TENANTS};
use crate::streams::state_of;

/// How long all tasks of a queue may take to be running at once. A host that was killed last leaves suspects behind,
/// which are all settled by then.
const TOGETHER: Duration = Duration::from_secs(40);

/// How long a new version of a plugin may take to reach a queue: hosts read all records again twice a minute.
const UPDATED: Duration = Duration::from_secs(45);

/// How long finished tasks may take to be gone.
const GONE: Duration = Duration::from_secs(40);

const LOOK: Duration = Duration::from_millis(100);

/// How one queue did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The tenant.
    pub tenant: &'static str,
    /// The queue.
    pub queue: Queue,
    /// Tasks that were seen running at once.
    pub together: usize,
}

/// Fills one queue after another.
pub async fn all_queues(context: &Context) -> anyhow::Result<Vec<Reached>> {
    let mut reached = Vec::new();
    for tenant in TENANTS {
        for queue in Queue::ALL {
            let together = fill(context, tenant, queue).await?;
            reached.push(Reached { tenant, queue, together });
        }
    }
    Ok(reached)
}

async fn fill(context: &Context, tenant: &'static str, queue: Queue) -> anyhow::Result<usize> {
    let (name, wanted) = (queue.name(), queue.concurrency());
    for n in 0..wanted {
        let payload = format!("hold {name} {name}.{n}");
        publish(context, format!("saggar.{tenant}.task.{name}.probe-{n}"), payload).await?;
    }
    let until = Instant::now() + TOGETHER;
    let mut together = 0;
    while together < wanted && Instant::now() < until {
        tokio::time::sleep(LOOK).await;
        together = held(context, tenant, name).await.unwrap_or(together);
    }
    publish(context, format!("$KV.saggar-{tenant}-kv.held.go.{name}"), "go".to_owned()).await?;
    empty(context, tenant, GONE).await?;
    Ok(together)
}

/// How many tasks of a queue say that they are there.
async fn held(context: &Context, tenant: &str, queue: &str) -> Option<usize> {
    let stream = context.get_stream(format!("KV_saggar-{tenant}-kv")).await.ok()?;
    let subjects = stream.info_with_subjects(format!("$KV.saggar-{tenant}-kv.held.{queue}.*")).await.ok()?;
    Some(subjects.filter(|subject| std::future::ready(subject.is_ok())).count().await)
}

/// Waits until a tenant's queues are empty, and no task waits for its time.
pub async fn empty(context: &Context, tenant: &str, within: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + within;
    loop {
        let mut left = 0;
        for stream in ["TASKS", "TIMERS"] {
            left += state_of(context, &format!("SAGGAR_{stream}_{tenant}")).await?.messages;
        }
        if left == 0 {
            return Ok(());
        }
        ensure!(Instant::now() < until, "{left} tasks of {tenant} are still queued after {within:?}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until a task of each tenant was run by this version of the plugin.
pub async fn updated(context: &Context, version: u32) -> anyhow::Result<()> {
    let wanted = format!("works@{version}.0.0");
    for tenant in TENANTS {
        let results = context.get_stream(format!("SAGGAR_RESULTS_{tenant}")).await?;
        let until = Instant::now() + UPDATED;
        for n in 0.. {
            let id = format!("probe-version-{n}");
            publish(context, format!("saggar.{tenant}.task.quick.{id}"), "quick".to_owned()).await?;
            empty(context, tenant, GONE).await?;
            let subject = format!("saggar.{tenant}.result.quick.{id}");
            let result = results.get_last_raw_message_by_subject(&subject).await.context(subject)?;
            if result.headers.get("Saggar-Plugin").is_some_and(|plugin| plugin.as_str() == wanted) {
                break;
            }
            ensure!(Instant::now() < until, "tasks of {tenant} are not run by {wanted} after {UPDATED:?}");
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

async fn publish(context: &Context, subject: String, payload: String) -> anyhow::Result<()> {
    let answer = context.publish(subject.clone(), payload.into()).await?;
    answer.await.with_context(|| format!("publishing {subject}"))?;
    Ok(())
}

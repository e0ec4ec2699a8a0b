//! `saggar queue pause`, `resume` and `purge`.

use std::time::Duration;

use futures::stream;
use jiff::Timestamp;
use saggar_jetstream::{Nats, PullError, Purged, TaskQueue};
use saggar_model::{QueueName, TenantName, parse_duration};
use serde_json::json;

use crate::confirm::confirm;
use crate::connection;
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::report::count;
use crate::several::{Done, each};

/// A pause without an end: JetStream has no such thing, and nobody is there to see this one.
const FOR_EVER: Duration = Duration::from_hours(24 * 365 * 100);

/// The arguments of `saggar queue pause`.
#[derive(Debug, clap::Args)]
pub struct Pause {
    /// The queues.
    #[arg(required = true)]
    queues: Vec<QueueName>,

    /// Resume by itself after so long [default: never].
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration, conflicts_with = "until")]
    duration: Option<Duration>,

    /// Resume by itself then, for example 2030-01-31T12:00:00Z [default: never].
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
}

/// Pauses queues.
///
/// # Errors
/// There is no such queue, the end of the pause has passed, or NATS does not answer.
pub async fn pause(
    nats: &Nats,
    tenant: &TenantName,
    pause: Pause,
    console: Console,
) -> Result<Exit, Failure> {
    let Pause { queues, duration, until } = pause;
    let now = Timestamp::now();
    let end = until.map_or_else(|| now.checked_add(duration.unwrap_or(FOR_EVER)), Ok);
    let end = end.map_err(|error| Failure::new(Kind::Usage, format!("the pause has no end: {error}")))?;
    if end <= now {
        return Err(Failure::new(Kind::Usage, format!("the end of the pause, {end}, has passed")));
    }
    let forever = until.is_none() && duration.is_none();
    let pause = async |queue: QueueName| {
        open(nats, tenant, &queue).await?.pause(end).await?;
        let shown = if forever { "until it is resumed".to_owned() } else { format!("until {end:.0}") };
        Ok(Done {
            row: json!({ "queue": queue, "paused": true, "until": (!forever).then(|| end.to_string()) }),
            line: format!("{queue} is paused {shown}; what runs goes on"),
        })
    };
    each(stream::iter(queues.into_iter().map(Ok)), pause, console).await
}

/// Resumes queues. One that was not paused stays as it is.
///
/// # Errors
/// There is no such queue, or NATS does not answer.
pub async fn resume(
    nats: &Nats,
    tenant: &TenantName,
    queues: Vec<QueueName>,
    console: Console,
) -> Result<Exit, Failure> {
    let resume = async |queue: QueueName| {
        open(nats, tenant, &queue).await?.resume().await?;
        let row = json!({ "queue": queue, "paused": false });
        Ok(Done { row, line: format!("{queue} gives out tasks") })
    };
    each(stream::iter(queues.into_iter().map(Ok)), resume, console).await
}

/// Empties a queue.
///
/// # Errors
/// There is no such queue, nobody confirmed it, or NATS does not answer.
pub async fn purge(
    nats: &Nats,
    tenant: &TenantName,
    queue: &QueueName,
    yes: bool,
    console: Console,
) -> Result<Exit, Failure> {
    let source = open(nats, tenant, queue).await?;
    let waiting = source.depth().await?.pending;
    confirm(yes, &format!("removing {} tasks of queue {tenant}/{queue}", count(waiting)), queue.as_str())?;
    let Purged { removed, left } = source.purge().await?;
    let rest = if left == 0 { String::new() } else { format!("; {} that hosts have go on", count(left)) };
    console.answer(
        json!({ "queue": queue, "removed": removed, "left": left }),
        format!("{} tasks are gone{rest}", count(removed)),
    )?;
    Ok(Exit::Success)
}

async fn open(nats: &Nats, tenant: &TenantName, queue: &QueueName) -> Result<TaskQueue, Failure> {
    connection::queues(nats, tenant, Some(queue)).await?;
    match TaskQueue::open(nats, tenant, queue).await {
        Err(error @ PullError::Gone { .. }) => {
            Err(connection::explain_queue(nats, tenant, queue, error.into()).await)
        }
        opened => Ok(opened?),
    }
}

//! A task that is submitted once for a key and a window of time.

use std::time::Duration;

use saggar_jetstream::{Nats, Results};
use saggar_model::{
    QueueName, TaskId, TaskRef, TenantName, WINDOW_MIN, format_duration, parse_duration, unique_id,
};

use crate::connection;
use crate::failure::{Failure, Kind};

/// Reads a window.
///
/// # Errors
/// It is no duration, or shorter than a second.
pub fn window(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        window if window < WINDOW_MIN => Err("is shorter than a second".to_owned()),
        window if window.subsec_nanos() > 0 => Err("is not a whole number of seconds".to_owned()),
        window => Ok(window),
    }
}

/// What the task of this key is called in the window that it is now.
///
/// What is queued or running JetStream refuses by itself. What has ended is looked for here; a task that ends between
/// the look and the submission is found by the host that is to run it again.
///
/// # Errors
/// There is no such queue; it does not keep its results for as long as the window lasts; or the task of this window has
/// ended already.
pub async fn id(
    nats: &Nats,
    tenant: &TenantName,
    queue: &QueueName,
    key: &str,
    window: Duration,
) -> Result<TaskId, Failure> {
    connection::queues(nats, tenant, Some(queue)).await?;
    let mut spec = connection::tenant(nats, tenant).await?.record.spec;
    let kept = spec.queues.remove(queue).map_or(0, |queue| queue.results_ttl);
    let kept = Duration::from_secs(kept);
    if kept < window {
        let text = format!(
            "queue {queue} keeps results for {}, and a task can be told from another for as long only: {} is more",
            format_duration(kept),
            format_duration(window)
        );
        return Err(
            Failure::new(Kind::Usage, text).advice("Set `results_ttl` of the queue, or a shorter window.")
        );
    }
    let unfit = || Failure::new(Kind::Internal, "the clock tells no time that a task can be named after");
    // Whoever submits from several machines means one window. What is not known by now is this machine's time.
    nats.look_at_clock().await.ok();
    let id = unique_id(key, window, nats.now()).ok_or_else(unfit)?;
    let task = TaskRef { queue: queue.clone(), id: id.clone() };
    match Results::new(nats).get(tenant, queue, &id).await? {
        None => Ok(id),
        Some(stored) => {
            let outcome = stored.result.outcome;
            let text = format!("task {task} of this key and window has ended already: {outcome}");
            Err(Failure::new(Kind::Conflict, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_whole_number_of_seconds() {
        assert_eq!(window("1h"), Ok(Duration::from_hours(1)));
        for bad in ["", "0s", "500ms", "1500ms", "-1h", "soon"] {
            assert!(window(bad).is_err(), "{bad:?}");
        }
    }
}

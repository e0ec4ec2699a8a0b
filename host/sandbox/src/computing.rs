//! How long a guest had a processor: the time inside the polls of its future, which is all the time but that spent
//! waiting.
//!
//! The clock of the thread itself would leave out what other processes of the machine take, but costs a system call
//! twice a poll, 2 % of a short attempt; this one costs a fifth of that.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::{Duration, Instant};

/// Runs a future, and adds the time inside its polls to `computed`, also if it is dropped before its end.
pub(crate) async fn measured<F: Future>(computed: &mut Duration, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let start = Instant::now();
        let polled = future.as_mut().poll(context);
        *computed += start.elapsed();
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Far more than a poll that does nothing takes on a busy machine.
    const WORK: Duration = Duration::from_millis(20);

    fn compute() {
        let start = Instant::now();
        while start.elapsed() < WORK {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn computing_counts_and_waiting_does_not() {
        let mut computed = Duration::ZERO;
        let start = Instant::now();
        measured(&mut computed, async {
            compute();
            tokio::time::sleep(10 * WORK).await;
            compute();
        })
        .await;
        assert!(computed >= 2 * WORK, "{computed:?}");
        let waited = start.elapsed().saturating_sub(computed);
        assert!(waited >= 5 * WORK, "{waited:?}");
    }
}

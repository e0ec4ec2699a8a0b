//! Keeps a panic of the host with the task it happened in.
//!
//! One loop runs many tasks, and another one acknowledges them all; a fault of ours that shows with one task must
//! not end the loop for its neighbours. What the task held is free again, since it is dropped on the way out, and its
//! message is delivered again.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use saggar_model::panic_message;

/// Waits for `work`; nothing if it panicked, which is logged as a fault in `what`. No `async fn`: that would keep room
/// for the work twice.
pub(crate) fn contained<T>(
    what: &'static str,
    work: impl Future<Output = T>,
) -> impl Future<Output = Option<T>> {
    AssertUnwindSafe(work).catch_unwind().map(move |done| {
        done.inspect_err(|panic| {
            let message = panic_message(&**panic);
            tracing::error!(panic = message, "the host panicked in {what}; its task will be delivered again");
        })
        .ok()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn what_a_panicking_task_held_is_free_and_the_next_one_is_run() {
        let slot = Arc::new(());
        for panics in [true, false, true] {
            let held = slot.clone();
            let ended = contained("a test", async move {
                tokio::task::yield_now().await;
                assert!(!panics, "a fault of ours");
                drop(held);
            });
            assert_eq!(ended.await.is_none(), panics);
            assert_eq!(Arc::strong_count(&slot), 1);
        }
    }
}

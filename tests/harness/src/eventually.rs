//! Waiting for something to become true, for so long and no longer.

use std::time::Duration;

/// How often to look: often enough that nobody waits for the waiting, seldom enough that a test is not all looking.
const LOOK: Duration = Duration::from_millis(20);

/// Calls `attempt` until it gives an answer.
///
/// # Panics
/// It gives none within `within`; the panic says `what` was awaited.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    within: Duration,
    mut attempt: impl FnMut() -> F,
) -> T {
    let trying = async {
        let mut look = tokio::time::interval(LOOK);
        loop {
            look.tick().await;
            if let Some(found) = attempt().await {
                return found;
            }
        }
    };
    now_or_panic(what, within, trying).await
}

/// Waits for `work`.
///
/// # Panics
/// It is not done within `within`; the panic says `what` was awaited.
pub async fn now_or_panic<T>(what: &str, within: Duration, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(within, work).await {
        Ok(done) => done,
        Err(tokio::time::error::Elapsed { .. }) => panic!("not within {within:?}: {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_ends_the_wait() {
        let mut left = 3;
        let found = eventually("three looks", Duration::from_secs(10), || {
            left -= 1;
            std::future::ready((left == 0).then_some("found"))
        })
        .await;
        assert_eq!(found, "found");
    }

    #[tokio::test]
    #[should_panic(expected = "the moon")]
    async fn a_wait_that_is_over_says_what_for() {
        eventually("the moon", Duration::from_millis(50), || std::future::ready(None::<()>)).await;
    }
}

//! Who is charged for work that no result shows.
//!
//! A tenant must not compute for nothing by cancelling its tasks at the last moment, or by giving many the same id; and
//! it does not pay for what a host, or whoever stops it, is to blame for.

use saggar_model::{Bill, Earlier, Outcome, Receipt, Spent, TaskResult, is_charged};

use crate::lane::OpenLane;
use crate::unit::Held;

/// Why a task's result is not the one of the run that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It was cancelled while it ran. Its result may show what the attempts before cost.
    Cancelled,
    /// It was delivered twice, and the other host was faster: nobody but hosts is to blame.
    Twin,
    /// Another task of the same id has a result.
    Repeated,
}

/// Whether a stored result is the one that was refused in its favour: the answer to the first try was lost. One of another
/// run, or of whoever cancelled the task, differs in what it cost.
pub(crate) fn is_same(stored: &TaskResult, refused: &TaskResult) -> bool {
    let facts = |result: &TaskResult| {
        let receipt = &result.receipt;
        (result.sequence, result.outcome, receipt.attempt, Spent::of(receipt, true))
    };
    facts(stored) == facts(refused) && stored.book == refused.book
}

/// Charges what `result` would have shown, which was refused. `shown` is what the one that is stored shows of it.
pub(crate) async fn unshown(held: &Held, cause: Cause, result: &TaskResult, shown: &Earlier) {
    let unshown = match cause {
        Cause::Cancelled => result.earlier.beyond(shown),
        Cause::Repeated => result.earlier.clone(),
        Cause::Twin => return to_nobody(held, &result.receipt).await,
    };
    apart(&held.lane, &unshown).await;
    if !is_charged(result.outcome) {
        return to_nobody(held, &result.receipt).await;
    }
    let ran = u64::from(result.receipt.attempt) > result.earlier.total().attempts;
    let spent = Spent::of(&result.receipt, ran);
    let lane = &held.lane;
    lane.host.books.add(&lane.tenant, |host, now| Bill::apart(&lane.queue, host, spent, now)).await;
}

/// Charges nobody for a run.
pub(crate) async fn to_nobody(held: &Held, receipt: &Receipt) {
    let (lane, spent) = (&held.lane, Spent::of(receipt, true));
    lane.metrics.uncharged(receipt);
    lane.host.books.add(&lane.tenant, |host, now| Bill::uncharged(&lane.queue, host, spent, now)).await;
}

/// Charges what the record of a finished task has and its result does not show: it was cancelled at the moment at which
/// an attempt ended, or it shares its id with the task that has the result.
pub(crate) async fn left_over(
    lane: &OpenLane,
    earlier: &Earlier,
    result: &TaskResult,
    is_of_this_task: bool,
) {
    match (is_of_this_task, result.outcome) {
        (false, _) => apart(lane, earlier).await,
        (true, Outcome::Cancelled) => apart(lane, &earlier.beyond(&result.earlier)).await,
        // It was written by a twin, whose run the result does not need.
        (true, _) => {}
    }
}

async fn apart(lane: &OpenLane, earlier: &Earlier) {
    if !earlier.is_none() {
        lane.host.books.add(&lane.tenant, |_, now| Bill::all_apart(&lane.queue, earlier, now)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use saggar_model::{Ending, Failure};

    use super::*;

    fn cancelled(attempt: u32, micros: u64) -> TaskResult {
        let receipt =
            Receipt { attempt, duration: Duration::from_nanos(micros * 1000 + 7), ..Receipt::default() };
        let failure = Failure::new(Outcome::Cancelled, "somebody cancelled it");
        TaskResult::new("q/a".parse().unwrap(), 7, Ending::Failed(failure), receipt, None)
    }

    #[test]
    fn a_result_is_known_again_and_not_taken_for_that_of_whoever_cancelled_the_task() {
        let mut headers = Vec::new();
        let ours = cancelled(1, 1_500);
        ours.headers(|name, value| headers.push((name, value.to_string())));
        let get = |name| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        let read = TaskResult::read(get, ours.payload.clone()).unwrap();
        assert!(is_same(&read, &ours), "whatever a header rounds");
        assert!(!is_same(&cancelled(0, 0), &ours));
        assert!(!is_same(&cancelled(1, 1_501), &ours), "a twin");
    }
}

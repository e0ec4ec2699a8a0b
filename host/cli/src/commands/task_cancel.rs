//! `saggar task cancel`: ending tasks before they end by themselves.

use futures::stream;
use saggar_jetstream::{Control, Nats};
use saggar_model::{CancelAnswer, CancelRequest, TaskRef, TenantName, Was};

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::several::{Done, each};

/// Cancels tasks. One that has ended stays as it is, and that is no failure.
///
/// # Errors
/// There is no such task, no host runs, or NATS does not answer.
pub async fn execute(
    nats: &Nats,
    tenant: &TenantName,
    tasks: Vec<TaskRef>,
    console: Console,
) -> Result<Exit, Failure> {
    let control = Control::new(nats);
    let cancel = async |task: TaskRef| {
        let answer = control.cancel(&CancelRequest { tenant: tenant.clone(), task }).await?;
        let line = said(&answer);
        Ok(Done { row: serde_json::to_value(answer).unwrap_or_default(), line })
    };
    each(stream::iter(tasks.into_iter().map(Ok)), cancel, console).await
}

fn said(answer: &CancelAnswer) -> String {
    let CancelAnswer { task, was, outcome, .. } = answer;
    match was {
        Was::Queued => format!("{task} is cancelled; it was not started"),
        Was::Delayed => format!("{task} is cancelled; it was not due"),
        Was::Running => format!("{task} is cancelled; the host that has it is told"),
        Was::Ended => format!("{task} had ended before: {outcome}"),
    }
}

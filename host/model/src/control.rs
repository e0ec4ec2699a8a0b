//! The subjects of requests about one task, which hosts answer: `saggar.<tenant>.control.<what>.<queue>.<task-id>`.

use crate::{NameError, TaskRef, TenantName, escape_and_cut};

/// Where a request for `what` about a task is published.
pub(crate) fn subject(what: &str, tenant: &TenantName, task: &TaskRef) -> String {
    let TaskRef { queue, id } = task;
    format!("saggar.{tenant}.control.{what}.{queue}.{id}")
}

/// Reads such a subject; `rule` says how it should have been.
pub(crate) fn read(
    what: &str,
    subject: &str,
    rule: &'static str,
) -> Result<(TenantName, TaskRef), NameError> {
    let tokens: Vec<&str> = subject.split('.').collect();
    match tokens[..] {
        ["saggar", tenant, "control", asked, queue, id] if asked == what => {
            Ok((tenant.parse()?, TaskRef { queue: queue.parse()?, id: id.parse()? }))
        }
        _ => Err(NameError { what: "subject", given: escape_and_cut(subject, 256), rule }),
    }
}

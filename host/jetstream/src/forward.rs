//! Bringing a timer forward: its task has nothing to wait for any more.

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use saggar_model::{DeadLetter, Subjects, TaskRef, TenantName, header_name};

use crate::timers::{NewTimer, SETTING, TimerError, Timers, message};

impl Timers {
    /// Makes the timer of a task due now; the answer says whether it waits no longer, and not, that it never did.
    ///
    /// It is one write in place of the timer, if that is as it was read: a schedule takes the place of another on its
    /// subject. So there is one timer at any moment, and it fires once.
    ///
    /// # Errors
    /// NATS refuses or does not answer. The timer may be due now all the same.
    pub async fn bring_forward(&self, tenant: &TenantName, task: &TaskRef) -> Result<bool, TimerError> {
        let subjects = Subjects::of(tenant);
        let [waiting, due] = subjects.timers_of(Some(&task.queue), Some(&task.id));
        let stream = subjects.timers_stream();
        for filter in [waiting, due] {
            let found = match self.nats.scan("looking for a timer", &stream, &filter, 0, 1).await {
                Ok(found) => found.into_iter().next(),
                Err(error) if error.is_not_found() => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            let Some(kept) = found else { continue };
            let Some(timer) = subjects.read_timer(&kept.subject) else { continue };
            // With a record of what it has been through it was released already, and waits for another attempt.
            if timer.is_due || kept.header(header_name::STATE).is_some() {
                return Ok(true);
            }
            let forward = NewTimer {
                queue: timer.queue,
                id: timer.id,
                due: self.nats.now(),
                payload: kept.payload.clone(),
                headers: DeadLetter::publishers(kept.headers()),
                ticket: None,
                // Another one than before, or it would be taken for what is there; and the same whoever does it.
                message_id: Some(format!("{}-{}", timer.name, kept.sequence)),
                name: timer.name,
            };
            let (subject, mut headers, payload) = message(tenant, forward);
            headers.set_number(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, kept.sequence);
            return match self.nats.store(SETTING, subject, Some(headers.into_map()), payload).await {
                Ok(_) => Ok(true),
                // It became due or was brought forward a moment ago, or was cancelled.
                Err(error) if error.is_wrong_sequence() => Ok(true),
                Err(error) => Err(error.into()),
            };
        }
        Ok(false)
    }
}

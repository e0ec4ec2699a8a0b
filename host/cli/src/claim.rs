//! Payloads that are too large for a message: put before the task is published that names them, fetched with the
//! result or the dead letter that does. Nobody who uses the commands has to know.

use bytes::Bytes;
use saggar_jetstream::{Control, ControlError, Nats, PayloadUpload, StoredDead};
use saggar_model::{PayloadName, TaskResult, TenantName, header_name};

use crate::console::Console;
use crate::failure::{Failure, Kind};
use crate::payload::Source;

/// What a task's message needs beside its payload and its publisher's headers: ids, and what a timer adds.
const BESIDE: usize = 1024;

/// What a header takes beside its name and its value.
const AROUND_HEADER: usize = ": \r\n".len();

/// A payload as a task's message carries it.
pub enum Carried {
    /// It fits into the message.
    Inline(Bytes),
    /// It lies in the object store.
    Object(PayloadName),
}

/// Reads a payload, and puts it into the object store if it does not fit into a message with these headers.
///
/// # Errors
/// It cannot be read, is larger than a payload may be, or no host takes it.
pub async fn put(
    nats: &Nats,
    tenant: &TenantName,
    source: Source,
    headers: &[(String, String)],
) -> Result<Carried, Failure> {
    let control = Control::new(nats);
    let most = control.part_max();
    let beside: usize =
        headers.iter().map(|(name, value)| name.len() + value.len() + AROUND_HEADER).sum::<usize>() + BESIDE;
    let (source, first) = next_part(source, most).await?;
    if first.len() <= most.saturating_sub(beside) {
        return Ok(Carried::Inline(first));
    }
    let mut upload = control.put_payload(tenant);
    match put_parts(&mut upload, source, first, most).await {
        Ok(()) => Ok(Carried::Object(upload.finish().await?)),
        Err(failure) => {
            if let Some(name) = upload.name() {
                remove(nats, tenant, name).await;
            }
            Err(failure)
        }
    }
}

async fn put_parts(
    upload: &mut PayloadUpload,
    mut source: Source,
    mut part: Bytes,
    most: usize,
) -> Result<(), Failure> {
    while !part.is_empty() {
        upload.write(part).await?;
        (source, part) = next_part(source, most).await?;
    }
    Ok(())
}

/// Reads the next part where nobody else waits for this thread.
async fn next_part(mut source: Source, most: usize) -> Result<(Source, Bytes), Failure> {
    let reading = tokio::task::spawn_blocking(move || {
        let part = source.read_part(most)?;
        Ok((source, part))
    });
    reading.await.map_err(|error| Failure::new(Kind::Internal, error))?
}

/// Removes a payload that no task names. What stays behind is removed by the hosts, later.
pub async fn remove(nats: &Nats, tenant: &TenantName, name: PayloadName) {
    let _ = Control::new(nats).remove_payload(tenant, name).await;
}

/// A result with its output, wherever that lies.
///
/// # Errors
/// The output is kept no longer, no host answers, or what comes is not what was stored.
pub async fn whole(nats: &Nats, tenant: &TenantName, result: TaskResult) -> Result<TaskResult, Failure> {
    let Some(object) = result.object else { return Ok(result) };
    match Control::new(nats).get_payload(tenant, object).await {
        Ok(payload) => Ok(TaskResult { payload, ..result }),
        Err(ControlError::Refused { code, .. }) if code == "not-found" => Err(Failure::new(
            Kind::NotFound,
            format!("{} has succeeded, and its output {object} is kept no longer", result.task),
        )),
        Err(error) => Err(error.into()),
    }
}

/// A dead letter with its payload, wherever that lies, as far as it is still there.
///
/// # Errors
/// No host answers, or what comes is not what was stored.
pub async fn whole_dead(
    nats: &Nats,
    tenant: &TenantName,
    mut dead: StoredDead,
    console: Console,
) -> Result<StoredDead, Failure> {
    let named = dead.header(header_name::PAYLOAD).and_then(|value| PayloadName::from_header(value).ok());
    if let Some(name) = named {
        match Control::new(nats).get_payload(tenant, name).await {
            Ok(payload) => dead.letter.payload = payload,
            Err(ControlError::Refused { code, .. }) if code == "not-found" => {
                console.warn(format!("its payload {name} is not there"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(dead)
}

//! Delivers an event to an HTTP endpoint, signed in the manner of Standard Webhooks.
//!
//! The payload is the event, and goes over the wire byte for byte. The signature covers its id, the time and its bytes,
//! so that whoever receives it knows whom it is from, that nobody changed it, and which of two deliveries came later.

mod endpoint;
mod signature;
mod verdict;

use std::time::{Duration, SystemTime};

use saggar_plugin::http::Request;
use saggar_plugin::{Error, Json, context, handler, log};
use serde::Serialize;

use endpoint::Endpoint;
use signature::Signed;

/// An endpoint should take an event and work on it later; one that needs longer is asked again.
const PATIENCE: Duration = Duration::from_secs(20);

/// Time to say what became of the delivery before the wall limit ends the attempt.
const SPARE: Duration = Duration::from_millis(500);

/// What is known about a delivery that was taken.
#[derive(Debug, PartialEq, Serialize)]
struct Delivered {
    id: String,
    status: u16,
    attempt: u32,
}

#[handler]
fn webhook(event: Vec<u8>) -> Result<Json<Delivered>, Error> {
    let endpoint = Endpoint::of_the_task()?;
    let id = context::task_id();
    let Signed { timestamp, signature } = endpoint.secret.sign(&id, SystemTime::now(), &event);
    let content_type = context::content_type().unwrap_or_else(|| "application/octet-stream".to_owned());
    let sent = Request::post(&endpoint.url)
        .header("content-type", content_type)
        .header("user-agent", concat!("saggar-webhook/", env!("CARGO_PKG_VERSION")))
        .header("webhook-id", &id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signature)
        .body(event)
        .timeout(PATIENCE.min(context::deadline().saturating_sub(SPARE)))
        .skip_body()
        .send();
    let status = verdict::of(sent)?;
    log::info!("delivered {id}: {status}");
    Ok(Json(Delivered { id, status, attempt: context::attempt() }))
}

#[cfg(test)]
mod tests;

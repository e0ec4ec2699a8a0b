//! Where the event goes, and the secret that is shared with whoever is there.

use saggar_plugin::{Error, config, context};

use crate::signature::Secret;

/// The endpoint of a task.
pub struct Endpoint {
    pub url: String,
    pub secret: Secret,
}

impl Endpoint {
    /// From the queue's configuration; a URL that is missing there comes from the task.
    pub fn of_the_task() -> Result<Self, Error> {
        let url = match (setting("url")?, context::header("Webhook-Url")) {
            (Some(url), None) | (None, Some(url)) => url,
            (None, None) => {
                return Err(unconfigured(
                    "neither the queue's configuration has a `url` nor the task a `Webhook-Url`",
                ));
            }
            // Whoever fixed the endpoint meant every event of the queue.
            (Some(_), Some(_)) => {
                return Err(unconfigured(
                    "the queue's configuration has a `url`; its tasks take no `Webhook-Url`",
                ));
            }
        };
        // Without a signature anybody could have sent it.
        let secret = setting("WEBHOOK_SECRET")?
            .ok_or_else(|| unconfigured("the queue has no secret `WEBHOOK_SECRET` to sign with"))?;
        let secret =
            Secret::parse(&secret).map_err(|what| unconfigured(&format!("`WEBHOOK_SECRET` {what}")))?;
        Ok(Self { url, secret })
    }
}

/// What cannot be read here may be readable on another host, or when somebody has mended it.
fn setting(key: &str) -> Result<Option<String>, Error> {
    config::get(key).map_err(|error| Error::retry(error.to_string()).code("not-configured"))
}

fn unconfigured(what: &str) -> Error {
    Error::reject(what).code("not-configured")
}

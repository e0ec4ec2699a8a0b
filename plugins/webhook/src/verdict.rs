//! What an endpoint's answer means for the task: delivered, to be tried again, or never.

use std::time::Duration;

use saggar_plugin::Error;
use saggar_plugin::http::{Failure, Response};

/// An endpoint that wants to be left alone for longer gets the event a day later.
const WAIT_MAX: Duration = Duration::from_hours(24);

/// The status of a delivery that was taken.
pub fn of(sent: Result<Response, Failure>) -> Result<u16, Error> {
    let response = sent.map_err(|failure| not_sent(&failure))?;
    let status = response.status();
    let answered = |what: &str| format!("the endpoint answered {status}: {what}");
    match status {
        200..=299 => Ok(status),
        408 | 425 | 429 => Err(again(&response, answered("it wants the event later")).code("throttled")),
        500..=599 => Err(again(&response, answered("it failed")).code("server-error")),
        300..=399 => {
            Err(Error::reject(answered("it is elsewhere, and events do not follow")).code("redirected"))
        }
        410 => Err(Error::reject(answered("it wants no more events")).code("gone")),
        _ => Err(Error::reject(answered("it does not want the event")).code("refused")),
    }
}

fn again(response: &Response, reason: String) -> Error {
    let error = Error::retry(reason);
    match response.retry_after() {
        Some(wait) => error.retry_after(wait.min(WAIT_MAX)),
        None => error,
    }
}

fn not_sent(failure: &Failure) -> Error {
    let code = match failure {
        Failure::Denied => "not-granted",
        Failure::Invalid(_) => "bad-url",
        Failure::NoSuchHost => "no-such-host",
        Failure::Insecure => "insecure",
        Failure::TimedOut => "timed-out",
        _ => "unreachable",
    };
    let error = if failure.may_pass() { Error::retry } else { Error::reject };
    error(failure.to_string()).code(code)
}

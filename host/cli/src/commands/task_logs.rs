//! `saggar task logs`: what a task says while it runs, and what is kept of a failure.
//!
//! Log lines are not stored: they are for whoever listens. What a guest wrote is hostile text, and shown escaped.

use std::time::Duration;

use futures::StreamExt as _;
use owo_colors::{OwoColorize as _, Style};
use saggar_jetstream::{Events, Heard, Nats, Results, StoredResult};
use saggar_model::{EventKind, Outcome, TaskRef, TenantName, escape, format_duration, parse_duration};
use serde_json::{Value, json};

use crate::commands::task;
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};
use crate::report::style;

/// Longer than any task may take, retries included, and an end all the same.
const PATIENCE: &str = "30d";

/// The arguments of `saggar task logs`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The task, as QUEUE/ID.
    task: TaskRef,

    /// Show what it says from now on, until it has a result. With --output json, one object a line.
    #[arg(long, short)]
    follow: bool,

    /// How long to follow it.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = PATIENCE, requires = "follow")]
    timeout: Duration,
}

/// Shows the logs of a task.
///
/// # Errors
/// There is no such task, it has no result in time, or NATS does not answer.
pub async fn execute(
    arguments: Arguments,
    nats: &Nats,
    tenant: &TenantName,
    console: Console,
) -> Result<Exit, Failure> {
    let Arguments { task, follow, timeout } = arguments;
    if !follow {
        return kept(nats, tenant, &task, console).await;
    }
    // Listened to first, so that nothing is missed between the question and the answer.
    let mut heard = std::pin::pin!(Events::new(nats).listen(tenant, &task).await?);
    if task::result(nats, tenant, &task).await?.is_none()
        && task::whereabouts(nats, tenant, &task).await?.is_none()
    {
        return Err(task::missing(tenant, &task));
    }
    console.note(format!("following {task} until it has a result"));
    let results = Results::new(nats);
    let mut ending = std::pin::pin!(results.wait(tenant, &task.queue, &task.id, timeout));
    let ended = loop {
        tokio::select! {
            biased;
            Some(event) = heard.next() => show(&event, console)?,
            ended = &mut ending => break ended?,
        }
    };
    let Some(StoredResult { result, .. }) = ended else {
        let waited = format_duration(timeout);
        return Err(Failure::new(Kind::TimedOut, format!("{task} has no result after {waited}")));
    };
    end(&task, result.outcome, console)?;
    Ok(if result.outcome == Outcome::Succeeded { Exit::Success } else { Exit::TaskFailed })
}

/// Shows what is kept: the last words of a failed attempt.
async fn kept(nats: &Nats, tenant: &TenantName, task: &TaskRef, console: Console) -> Result<Exit, Failure> {
    let Some(StoredResult { result, .. }) = task::result(nats, tenant, task).await? else {
        if task::whereabouts(nats, tenant, task).await?.is_none() {
            return Err(task::missing(tenant, task));
        }
        console.note("it has not ended, and logs are not kept; see what it says with `--follow`");
        console.object(json!({ "task": task.to_string(), "stderr": null, "backtrace": [] }), &json!({}))?;
        return Ok(Exit::Success);
    };
    let problem: Value = serde_json::from_slice(&result.payload).unwrap_or_default();
    let (stderr, backtrace) = (problem["stderr"].as_str(), problem["backtrace"].as_array());
    let backtrace: Vec<&str> = backtrace.into_iter().flatten().filter_map(Value::as_str).collect();
    for line in stderr.unwrap_or_default().lines().chain(backtrace.iter().copied()) {
        console.line(escape(line))?;
    }
    if stderr.is_none() && backtrace.is_empty() {
        console.note("nothing is kept of it: logs are for whoever follows them, and only a failure leaves its last words");
    }
    let outcome = result.outcome;
    console.object(
        json!({ "task": task.to_string(), "outcome": outcome, "stderr": stderr, "backtrace": backtrace }),
        &json!({}),
    )?;
    Ok(Exit::Success)
}

fn show(event: &Heard, console: Console) -> Result<(), Failure> {
    let Heard { kind, body } = event;
    if console.is_json() {
        return console.object_line(&json!({ "event": kind.as_str(), "body": body }));
    }
    let text = |key: &str| escape(body[key].as_str().unwrap_or_default());
    let line = match kind {
        EventKind::Log => {
            let context = text("context");
            let context = if context.is_empty() { String::new() } else { format!("{context}: ") };
            let label = if body["source"] == "log" { text("level") } else { text("source") };
            format!("{label} {context}{}", text("message"))
        }
        EventKind::Progress => match body["fraction"].as_f64() {
            Some(fraction) => format!("{:3.0}% {}", fraction * 100.0, text("message")),
            None => text("message"),
        },
        EventKind::Started => format!("attempt {} started on {}", body["attempt"], text("host")),
        EventKind::Retrying => {
            format!("attempt {} {}; the next in {} ms", body["attempt"], text("outcome"), body["after_ms"])
        }
    };
    let dimmed = matches!(kind, EventKind::Started | EventKind::Retrying | EventKind::Progress);
    let shade = if dimmed { Style::new().dimmed() } else { Style::new() };
    console.line(line.style(shade).to_string())
}

fn end(task: &TaskRef, outcome: Outcome, console: Console) -> Result<(), Failure> {
    if console.is_json() {
        return console.object_line(&json!({ "event": "ended", "body": { "outcome": outcome } }));
    }
    console.note(format!("{task} {}", outcome.style(style(outcome))));
    Ok(())
}

//! Does what its input says with tasks of its tenant, step by step, and gives back what came of each: a value, or the kind
//! of the error and its sentence. A step is a list of words; `group=0` names what came of step 0.

use std::thread::sleep;
use std::time::Duration;

use saggar_plugin::tasks::{self, SubmitError, Task};
use saggar_plugin::{Error, Json, context, handler};
use serde_json::{Value, json};

#[handler]
fn submits(Json(steps): Json<Vec<Vec<String>>>) -> Result<Json<Vec<Value>>, Error> {
    let mut outcomes: Vec<Value> = Vec::new();
    for step in &steps {
        let words: Vec<&str> = step.iter().map(String::as_str).collect();
        outcomes.push(match *words {
            ["submit", queue, payload, ref options @ ..] => {
                shown(with(Task::new(queue, payload), options, &outcomes).submit())
            }
            ["join", queue, payload, children, ref options @ ..] => {
                shown(with(Task::new(queue, payload), options, &outcomes).join(children.parse().unwrap_or(0)))
            }
            // So many at once, each with its number for a payload, for the task of step 0.
            ["many", queue, number, ref options @ ..] => {
                let submitted = (0..number.parse().unwrap_or(0))
                    .map(|n: u32| with(Task::new(queue, n.to_string()), options, &outcomes).submit());
                shown(submitted.collect::<Result<Vec<_>, _>>().map(|names| names.len()))
            }
            // The same steps again, as tasks of its own queue, as often as it gets.
            ["bomb", most] => {
                let steps = json!(steps).to_string();
                let most: usize = most.parse().unwrap_or(usize::MAX);
                let failed = (0..most).find_map(|n| {
                    let submitted = Task::new(context::queue(), steps.clone()).submit();
                    submitted.err().map(|error| json!([n, kind(&error)]))
                });
                failed.unwrap_or_else(|| json!(most))
            }
            ["ended"] => match tasks::ended() {
                Ok(ended) => ended.iter().map(|child| json!([child.task, child.outcome])).collect(),
                Err(error) => shown::<()>(Err(error)),
            },
            ["result", task] => shown(tasks::result(task).map(|found| {
                found.map(|result| (result.outcome, String::from_utf8_lossy(&result.payload).into_owned()))
            })),
            ["header", name] => json!(context::header(name)),
            ["sleep", millis] => {
                sleep(Duration::from_millis(millis.parse().unwrap_or(0)));
                Value::Null
            }
            ["until", attempt] if context::attempt() < attempt.parse().unwrap_or(0) => {
                return Err(Error::retry("not yet"));
            }
            _ => json!("no such step"),
        });
    }
    Ok(Json(outcomes))
}

fn with(mut task: Task, options: &[&str], outcomes: &[Value]) -> Task {
    for option in options {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let millis = || Duration::from_millis(value.parse().unwrap_or(0));
        task = match name {
            "id" => task.id(value),
            "type" => task.content_type(value),
            "delay" => task.delay(millis()),
            "deadline" => task.deadline(millis()),
            "timeout" => task.timeout(millis()),
            "group" => {
                let step = value.parse().ok().and_then(|step: usize| outcomes.get(step)?.as_str());
                task.group(step.unwrap_or(value))
            }
            header => task.header(header, value),
        };
    }
    task
}

fn shown<T: serde::Serialize>(outcome: Result<T, SubmitError>) -> Value {
    match outcome {
        Ok(value) => json!(value),
        Err(error) => json!({ "error": kind(&error), "text": error.to_string() }),
    }
}

/// The name of a kind of error, without what it says.
fn kind(error: &SubmitError) -> String {
    format!("{error:?}").split('(').next().unwrap_or_default().to_owned()
}

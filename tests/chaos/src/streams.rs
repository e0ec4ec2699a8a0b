//! Reads what lies in the streams, with nothing but a plain client: the checker believes no code of Saggar's.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::{Context, Message};
use futures::StreamExt as _;

use crate::job::Task;

/// How long a stream may say nothing while it is read.
const PATIENCE: Duration = Duration::from_secs(30);

/// A result, as its headers have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The queue in its subject.
    pub queue: String,
    /// How the task ended.
    pub status: String,
    /// The attempt it is from.
    pub attempt: u32,
    /// How many results the task has.
    pub count: u32,
}

/// How much a stream holds, and the last place it ever gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// Messages in it.
    pub messages: u64,
    /// The place of the last one, whether it is still there or not.
    pub last_sequence: u64,
}

/// What tasks cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Tasks that ended.
    pub tasks: u64,
    /// Attempts, all of them.
    pub attempts: u64,
    /// Fuel.
    pub fuel: u64,
}

/// What was found of one tenant.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Results by the number of their task.
    pub results: BTreeMap<u64, Found>,
    /// What all results say that their tasks cost.
    pub billed: Cost,
    /// What the tenant's account says.
    pub account: Cost,
    /// Dead letters by the number of their task.
    pub dead: BTreeMap<u64, u32>,
    /// What tasks left behind, by their number: how often each did.
    pub effects: BTreeMap<u64, u64>,
    /// Results that were stored and are gone: each stream keeps all of a campaign's.
    pub replaced: u64,
    /// Tasks that are still queued, or wait for their time.
    pub queued: u64,
    /// Subjects that no task of the campaign accounts for.
    pub strangers: Vec<String>,
}

impl Inventory {
    /// Reads everything of one tenant.
    pub async fn of(context: &Context, tenant: &str) -> anyhow::Result<Self> {
        let mut inventory = Self::default();
        let results = format!("SAGGAR_RESULTS_{tenant}");
        let state = each(context, &results, true, |message| inventory.add_result(message)).await?;
        inventory.replaced = state.last_sequence.saturating_sub(state.messages);
        each(context, &format!("SAGGAR_DEAD_{tenant}"), true, |message| {
            match last_token(message).and_then(Task::number_of) {
                Some(number) => *inventory.dead.entry(number).or_default() += 1,
                None => inventory.strangers.push(message.subject.to_string()),
            }
        })
        .await?;
        let prefix = format!("$KV.saggar-{tenant}-kv.effects.");
        each(context, &format!("KV_saggar-{tenant}-kv"), false, |message| {
            let Some(key) = message.subject.strip_prefix(&prefix) else { return };
            let times = std::str::from_utf8(&message.payload).ok().and_then(|text| text.parse().ok());
            match (Task::number_of(key), times) {
                (Some(number), Some(times)) => drop(inventory.effects.insert(number, times)),
                _ => inventory.strangers.push(message.subject.to_string()),
            }
        })
        .await?;
        for stream in ["TASKS", "TIMERS"] {
            inventory.queued += state_of(context, &format!("SAGGAR_{stream}_{tenant}")).await?.messages;
        }
        Ok(inventory)
    }

    fn add_result(&mut self, message: &Message) {
        let tokens: Vec<&str> = message.subject.split('.').collect();
        let (queue, id) = match tokens.as_slice() {
            [_, _, _, queue, id] => (*queue, *id),
            _ => ("", ""),
        };
        self.billed.add(message);
        // Those of the checker itself come and go.
        if id.starts_with("probe-") {
            return;
        }
        let header = |name: &str| {
            let headers = message.headers.as_ref()?;
            headers.get(name).map(|value| value.as_str().to_owned())
        };
        let attempt = header("Saggar-Attempt").and_then(|attempt| attempt.parse().ok());
        let (Some(number), Some(status), Some(attempt)) =
            (Task::number_of(id), header("Saggar-Status"), attempt)
        else {
            self.strangers.push(message.subject.to_string());
            return;
        };
        let found = Found { queue: queue.to_owned(), status, attempt, count: 0 };
        self.results.entry(number).or_insert(found).count += 1;
    }
}

impl Cost {
    fn add(&mut self, message: &Message) {
        let header = |name: &str| message.headers.as_ref()?.get(name).map(|value| value.as_str().to_owned());
        let number = |name: &str| header(name).and_then(|value| value.parse().ok()).unwrap_or(0);
        self.tasks += 1;
        // Those before the last are counted in its number.
        self.attempts += number("Saggar-Attempt");
        self.fuel += number("Saggar-Fuel");
        let earlier = header("Saggar-Earlier").and_then(|json| serde_json::from_str(&json).ok());
        let earlier: BTreeMap<String, serde_json::Value> = earlier.unwrap_or_default();
        self.fuel += earlier.values().filter_map(|spent| spent["fuel"].as_u64()).sum::<u64>();
    }
}

fn last_token(message: &Message) -> Option<&str> {
    message.subject.rsplit('.').next()
}

/// What a stream says of itself; an empty one if there is none.
pub async fn state_of(context: &Context, name: &str) -> anyhow::Result<State> {
    match context.get_stream(name).await {
        Ok(mut stream) => {
            let info = stream.info().await.with_context(|| format!("reading {name}"))?;
            Ok(State { messages: info.state.messages, last_sequence: info.state.last_sequence })
        }
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(refused)
                if refused.error_code() == async_nats::jetstream::ErrorCode::STREAM_NOT_FOUND =>
            {
                Ok(State::default())
            }
            _ => Err(error).with_context(|| format!("reading {name}")),
        },
    }
}

/// Shows each message of a stream, and gives what the stream said of itself before. None is there: no message.
async fn each(
    context: &Context,
    name: &str,
    headers_only: bool,
    mut show: impl FnMut(&Message),
) -> anyhow::Result<State> {
    let state = state_of(context, name).await?;
    if state.messages == 0 {
        return Ok(state);
    }
    let stream = context.get_stream(name).await.with_context(|| format!("reading {name}"))?;
    let config = OrderedConfig { headers_only, ..OrderedConfig::default() };
    let consumer = stream.create_consumer(config).await.with_context(|| format!("reading {name}"))?;
    let mut messages = consumer.messages().await.with_context(|| format!("reading {name}"))?;
    loop {
        let next = tokio::time::timeout(PATIENCE, messages.next()).await;
        let message =
            next.with_context(|| format!("{name} says nothing"))?.context("the reading ended")??;
        show(&message);
        let info = message.info().map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
        if info.pending == 0 || info.stream_sequence >= state.last_sequence {
            return Ok(state);
        }
    }
}

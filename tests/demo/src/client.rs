//! The publisher's part: plain subjects and headers, and an ear on the results. It knows nothing of WebAssembly.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_nats::jetstream;
use async_nats::{HeaderMap, Subscriber};
use futures::StreamExt as _;
use futures::stream::SelectAll;
use tokio::time::{Instant as Moment, sleep_until, timeout};

use crate::answer::Answer;
use crate::job::Job;

/// How long the next result may take. The slowest task of the demonstration takes 2 s, and a plugin that is compiled
/// on a busy machine a few more.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection of both tenants' publisher.
pub struct Client {
    jetstream: jetstream::Context,
    results: SelectAll<Subscriber>,
}

/// A task and what came of it.
pub struct Played<'a> {
    /// The task.
    pub job: &'a Job,
    /// When it was published.
    pub published: Instant,
    /// Its results: one, if all is well.
    pub answers: Vec<Answer>,
}

impl Played<'_> {
    /// From publishing to the result, as the client saw it.
    pub fn latency(&self) -> Option<Duration> {
        self.answers.first().map(|answer| answer.seen - self.published)
    }
}

impl Client {
    /// Connects and listens for the results of `tenants`.
    pub async fn connect(url: &str, tenants: &[&str]) -> anyhow::Result<Self> {
        let client = async_nats::connect(url).await.context("the server does not answer")?;
        let mut results = SelectAll::new();
        for tenant in tenants {
            results.push(client.subscribe(format!("saggar.{tenant}.result.>")).await?);
        }
        client.flush().await?;
        Ok(Self { jetstream: jetstream::new(client), results })
    }

    /// Publishes `jobs`, one every `gap`, and waits for all results. `seen` is told how many there are.
    pub async fn play<'a>(
        &mut self,
        jobs: &'a [Job],
        gap: Duration,
        seen: impl FnMut(usize),
    ) -> anyhow::Result<Vec<Played<'a>>> {
        let jetstream = self.jetstream.clone();
        let (published, mut answers) =
            tokio::try_join!(publish(&jetstream, jobs, gap), collect(&mut self.results, jobs, seen))?;
        let played = jobs.iter().zip(published).map(|(job, published)| {
            let answers = answers.remove(&result_subject(job)).unwrap_or_default();
            Played { job, published, answers }
        });
        Ok(played.collect())
    }

    /// How many results are stored for a tenant.
    pub async fn stored(&self, tenant: &str) -> anyhow::Result<u64> {
        let stream = self.jetstream.get_stream(format!("SAGGAR_RESULTS_{tenant}")).await?;
        Ok(stream.cached_info().state.messages)
    }
}

fn result_subject(job: &Job) -> String {
    format!("saggar.{}.result.{}.{}", job.tenant, job.queue, job.id)
}

async fn publish(
    jetstream: &jetstream::Context,
    jobs: &[Job],
    gap: Duration,
) -> anyhow::Result<Vec<Instant>> {
    let began = Moment::now();
    let mut times = Vec::with_capacity(jobs.len());
    let mut acks = Vec::with_capacity(jobs.len());
    for (nth, job) in (0..).zip(jobs) {
        // Against the beginning, so that a late one does not delay all that follow.
        sleep_until(began + gap * nth).await;
        let mut headers = HeaderMap::new();
        for (name, value) in &job.headers {
            headers.insert(*name, value.as_str());
        }
        let subject = format!("saggar.{}.task.{}.{}", job.tenant, job.queue, job.id);
        times.push(Instant::now());
        acks.push(jetstream.publish_with_headers(subject, headers, job.payload.clone()).await?);
    }
    for (ack, job) in acks.into_iter().zip(jobs) {
        ack.await.with_context(|| format!("{}/{} of {} was not taken", job.queue, job.id, job.tenant))?;
    }
    Ok(times)
}

async fn collect(
    results: &mut SelectAll<Subscriber>,
    jobs: &[Job],
    mut seen: impl FnMut(usize),
) -> anyhow::Result<HashMap<String, Vec<Answer>>> {
    let mut open: HashMap<String, Vec<Answer>> =
        jobs.iter().map(|job| (result_subject(job), Vec::new())).collect();
    let mut answered = 0;
    while answered < jobs.len() {
        // Whoever asked sees what is missing.
        let Ok(message) = timeout(PATIENCE, results.next()).await else { break };
        let message = message.context("the connection was closed")?;
        let answers = open
            .get_mut(message.subject.as_str())
            .with_context(|| format!("a result that belongs to no task: {}", message.subject))?;
        answered += usize::from(answers.is_empty());
        answers.push(Answer::read(&message)?);
        seen(answered);
    }
    Ok(open)
}

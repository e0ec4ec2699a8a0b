//! River's own client for Rust: `river worker` works two queues, `river client` obeys the lines of `protocol.py`.
//!
//! The result is the job's output, which River stores in the job's row.

use std::error::Error;
use std::time::{Duration, Instant};

use riverqueue::migrate::PostgresMigrator;
use riverqueue::sqlx::{self, AssertSqlSafe, PgPool};
use riverqueue::{
    BoxError, Client, InsertOpts, Job, JobArgs, JobState, QueueConfig, WorkContext, WorkOutcome, Workers,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::JoinSet;

type Failure = Box<dyn Error + Send + Sync>;

/// What every peer's job carries, and gives back.
const PAYLOAD_BYTES: usize = 256;

/// Jobs that are inserted by one statement.
const BATCH: usize = 1_000;

/// River's clients do not wait for results of other processes, so the row is looked at until it is complete.
const POLL: Duration = Duration::from_millis(1);

#[derive(Clone, Deserialize, JobArgs, Serialize)]
#[river(kind = "echo")]
struct Echo {
    payload: String,
}

/// One line of the driver.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    Fill { queue: String, jobs: usize },
    Count {},
    Check {},
    Call { queue: String, jobs: usize, every: Option<f64> },
}

async fn echo(context: WorkContext, job: Job<Echo>) -> Result<WorkOutcome, BoxError> {
    context.record_output(json!(job.args.payload))?;
    Ok(WorkOutcome::Complete)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let pool = PgPool::connect(&std::env::var("PEER_URL")?).await?;
    match std::env::args().nth(1).as_deref() {
        Some("worker") => work(pool).await,
        Some("client") => obey(pool).await,
        _ => Err("river worker, or river client".into()),
    }
}

async fn work(pool: PgPool) -> Result<(), Failure> {
    let at_once = std::env::var("PEER_CONCURRENCY")?.parse()?;
    let cooldown = Duration::from_millis(std::env::var("PEER_COOLDOWN_MS")?.parse()?);
    let mut workers = Workers::new();
    workers.add_fn(echo)?;
    let client = Client::builder(pool)
        .workers(workers)
        .fetch_cooldown(cooldown)
        .queue("bulk", QueueConfig::new(at_once))
        .queue("quiet", QueueConfig::new(at_once))
        .build()?;
    client.start()?.wait().await?;
    Ok(())
}

async fn obey(pool: PgPool) -> Result<(), Failure> {
    PostgresMigrator::new(pool.clone()).migrate_up().await?;
    let client = Client::builder(pool.clone())
        // An inserting client is silent for its cooldown after each notification; the next job would wait for a poll.
        .fetch_cooldown(Duration::from_millis(1))
        .allow_unregistered_job_kinds()
        .build()?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    println!("{}", json!({ "ready": true }));
    while let Some(line) = lines.next_line().await? {
        let reply = match serde_json::from_str(&line)? {
            Order::Fill { queue, jobs } => fill(&client, &queue, jobs).await?,
            Order::Count {} => json!({ "done": count(&pool, "state = 'completed'").await? }),
            // A job that failed once is one, even if another attempt succeeded.
            Order::Check {} => json!({ "failed": count(&pool, "errors IS NOT NULL").await? }),
            Order::Call { queue, jobs, every } => call_all(&client, &queue, jobs, every).await?,
        };
        println!("{reply}");
    }
    Ok(())
}

async fn fill(client: &Client, queue: &str, jobs: usize) -> Result<serde_json::Value, Failure> {
    let mut left = jobs;
    while left > 0 {
        let batch = left.min(BATCH);
        client.insert_many((0..batch).map(|_| new_job(queue))).await?;
        left -= batch;
    }
    Ok(json!({ "filled": jobs }))
}

async fn count(pool: &PgPool, which: &'static str) -> Result<i64, Failure> {
    let query = AssertSqlSafe(format!("SELECT count(*) FROM river_job WHERE {which}"));
    Ok(sqlx::query_scalar(query).fetch_one(pool).await?)
}

async fn call_all(
    client: &Client,
    queue: &str,
    jobs: usize,
    every: Option<f64>,
) -> Result<serde_json::Value, Failure> {
    let mut seconds = Vec::new();
    let Some(every) = every else {
        for _ in 0..jobs {
            seconds.push(call(client.clone(), queue.to_owned()).await?);
        }
        return Ok(json!({ "seconds": seconds }));
    };
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(every));
    let mut calls = JoinSet::new();
    for _ in 0..jobs {
        ticks.tick().await;
        calls.spawn(call(client.clone(), queue.to_owned()));
    }
    while let Some(call) = calls.join_next().await {
        seconds.push(call??);
    }
    Ok(json!({ "seconds": seconds }))
}

async fn call(client: Client, queue: String) -> Result<f64, Failure> {
    let began = Instant::now();
    let (args, opts) = new_job(&queue);
    let inserted = client.insert(args).opts(opts).await?;
    loop {
        let job = client.jobs().get(inserted.id()).await?;
        if job.state == JobState::Completed {
            return match job.output() {
                Some(_) => Ok(began.elapsed().as_secs_f64()),
                None => Err("a job without its output".into()),
            };
        }
        tokio::time::sleep(POLL).await;
    }
}

fn new_job(queue: &str) -> (Echo, InsertOpts) {
    (Echo { payload: "x".repeat(PAYLOAD_BYTES) }, InsertOpts::default().with_queue(queue))
}

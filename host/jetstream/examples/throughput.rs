//! Measures publish, pull + ack, and pull + result + ack through one connection, against a nats-server of its own.
//!
//! `cargo run --release -p saggar-jetstream --example throughput -- [TASKS]`

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use saggar_jetstream::{
    LocalServer, Nats, NewTask, Provisioner, PullMode, Results, StartOptions, Target, TaskQueue, Tasks,
};
use saggar_model::{
    Ending, Output, QueueSpec, Quota, Receipt, TaskId, TaskRef, TaskResult, TenantRecord, TenantSpec,
};

/// Publishes under way at once; more starve the connection of what it should read.
const IN_FLIGHT: usize = 500;

const TTL: Duration = Duration::from_hours(1);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tasks: usize = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
    let server = LocalServer::start(StartOptions::default()).await?;
    let nats = Nats::connect(&Target::at(&server.url()), "throughput").await?;
    let provisioner = Provisioner::new(&nats, 1);
    provisioner.ensure_common().await?;
    let queue = QueueSpec { concurrency: 10_000, ..QueueSpec::new("bench@1".parse()?) };
    let record = TenantRecord {
        spec: TenantSpec {
            name: "bench".parse()?,
            weight: 1,
            quota: Quota { tasks: 10_000_000, bytes: 10 << 30, results: 10 << 30, dead: 1 << 30 },
            queues: [("work".parse()?, queue)].into(),
        },
        plugins: [].into(),
    };
    provisioner.ensure_tenant(&record).await?;
    for (batch, mode) in [
        (1, PullMode::Wait),
        (10, PullMode::Wait),
        (32, PullMode::Wait),
        (256, PullMode::Wait),
        (256, PullMode::Fill),
        (1000, PullMode::Fill),
    ] {
        let count = if batch == 1 { tasks / 10 } else { tasks };
        println!("publish {:>9}/s", publish(&nats, count).await?);
        println!("pull {batch:>4} {mode:?} + ack {:>9}/s", drain(&nats, count, batch, mode, false).await?);
    }
    for batch in [10, 32, 256, 256, 256] {
        for raw in [true, false] {
            publish(&nats, tasks).await?;
            let (ours, servers) = (cpu("self"), cpu(&server.pid().unwrap_or_default().to_string()));
            let (kind, rate) = if raw {
                ("async-nats alone", drain_raw(&server.url(), tasks, batch).await?)
            } else {
                ("this crate", drain(&nats, tasks, batch, PullMode::Wait, true).await?)
            };
            let per_task = |ticks: u64| ticks * 10_000 / tasks as u64;
            let (ours, servers) =
                (cpu("self") - ours, cpu(&server.pid().unwrap_or_default().to_string()) - servers);
            println!(
                "pull {batch:>4} + result + ack, {kind:<16} {rate:>7}/s, CPU {:>3} µs here, {:>3} µs in the server",
                per_task(ours),
                per_task(servers)
            );
        }
    }
    Ok(())
}

/// CPU time of a process in hundredths of a second.
fn cpu(pid: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    ticks(11) + ticks(12)
}

/// The same with the client library alone, and results without headers but the first-writer's.
async fn drain_raw(url: &str, count: usize, batch: usize) -> Result<u64, Box<dyn std::error::Error>> {
    let client = async_nats::connect(url).await?;
    let js = async_nats::jetstream::new(client.clone());
    let consumer: async_nats::jetstream::consumer::PullConsumer =
        js.get_consumer_from_stream("work", "SAGGAR_TASKS_bench").await?;
    let began = Instant::now();
    let mut taken = 0;
    let mut settling = stream::FuturesUnordered::new();
    while taken < count {
        let mut pull =
            consumer.batch().max_messages(batch).expires(Duration::from_secs(1)).messages().await?;
        while let Some(message) = pull.next().await {
            let message = message.map_err(|error| error.to_string())?;
            taken += 1;
            let js = &js;
            settling.push(async move {
                let sequence = message.info().map_err(|error| error.to_string())?.stream_sequence;
                let publish = async_nats::jetstream::message::PublishMessage::build()
                    .payload(message.payload.clone())
                    .expected_last_subject_sequence(0);
                js.send_publish(format!("saggar.bench.result.work.raw-{sequence}"), publish).await?.await?;
                message.ack().await.map_err(|error| error.to_string())?;
                Ok::<_, Box<dyn std::error::Error>>(())
            });
            while settling.len() >= IN_FLIGHT {
                settling.next().await.transpose()?;
            }
        }
    }
    while let Some(done) = settling.next().await {
        done?;
    }
    client.flush().await?;
    Ok(rate(count, began))
}

fn rate(count: usize, began: Instant) -> u64 {
    let rate = count as u128 * 1_000_000 / began.elapsed().as_micros().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

async fn publish(nats: &Nats, count: usize) -> Result<u64, Box<dyn std::error::Error>> {
    let tasks = Tasks::new(nats);
    let (tenant, queue) = ("bench".parse()?, "work".parse()?);
    let began = Instant::now();
    let mut published = stream::iter(0..count)
        .map(|_| {
            tasks.publish(&tenant, &queue, NewTask { payload: vec![7; 256].into(), ..NewTask::default() })
        })
        .buffer_unordered(IN_FLIGHT);
    while let Some(done) = published.next().await {
        done?;
    }
    Ok(rate(count, began))
}

async fn drain(
    nats: &Nats,
    count: usize,
    batch: usize,
    mode: PullMode,
    result: bool,
) -> Result<u64, Box<dyn std::error::Error>> {
    let (tenant, queue) = ("bench".parse()?, "work".parse()?);
    let source = TaskQueue::open(nats, &tenant, &queue).await?;
    let results = Results::new(nats);
    let created = source.stream_created_ms();
    let began = Instant::now();
    let mut taken = 0;
    let mut settling = stream::FuturesUnordered::new();
    // As many pulls stand as keep the connection busy while one of them is being asked for.
    while taken < count {
        let mut pull = source.pull(batch, mode, Duration::from_secs(1)).await?;
        while let Some(delivery) = pull.next().await {
            let delivery = delivery?;
            taken += 1;
            if !result {
                delivery.ack().await?;
                continue;
            }
            let (results, tenant, queue) = (&results, &tenant, &queue);
            settling.push(async move {
                let sequence = delivery.stream_sequence();
                let task =
                    TaskRef { queue: Clone::clone(queue), id: TaskId::from_sequence(created, sequence) };
                let output =
                    Output { content_type: "text/plain".to_owned(), payload: delivery.payload().clone() };
                let receipt = Receipt { host: "host-1".to_owned(), attempt: 1, ..Receipt::default() };
                let done = TaskResult::new(task, sequence, Ending::Succeeded(output), receipt, None);
                results.put(tenant, &done, TTL).await?;
                delivery.ack().await?;
                Ok::<_, Box<dyn std::error::Error>>(())
            });
            while settling.len() >= IN_FLIGHT {
                settling.next().await.transpose()?;
            }
        }
    }
    while let Some(done) = settling.next().await {
        done?;
    }
    nats.flush(Duration::from_secs(10)).await?;
    Ok(rate(count, began))
}

//! The worker of apalis-nats: two queues in one process, each a stream with a durable pull consumer.
//!
//! apalis-nats keeps no results. So the handler stores its own in a JetStream stream and waits for the server's
//! acknowledgement, which comes before the job's.

use apalis::prelude::*;
use apalis_nats::{Config, NatsJetStream};
use async_nats::jetstream;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct Echo {
    id: String,
    payload: String,
}

async fn echo(job: Echo, results: Data<jetstream::Context>) -> Result<(), BoxDynError> {
    results.publish(format!("results.{}", job.id), job.payload.into()).await?.await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxDynError> {
    let concurrency = std::env::var("PEER_CONCURRENCY")?.parse()?;
    let client = async_nats::connect(std::env::var("PEER_URL")?).await?;
    let results = jetstream::new(client.clone());
    let mut monitor = Monitor::new();
    for queue in ["bulk", "quiet"] {
        let (client, results) = (client.clone(), results.clone());
        monitor = monitor.register(move |_| {
            let config = Config::new(queue).with_pull_consumer().durable();
            WorkerBuilder::new(queue)
                .backend(NatsJetStream::<Echo, _>::new(client.clone()).with_config(config))
                .concurrency(concurrency)
                .parallelize(tokio::spawn)
                .data(results.clone())
                .build(echo)
        });
    }
    monitor.run().await?;
    Ok(())
}

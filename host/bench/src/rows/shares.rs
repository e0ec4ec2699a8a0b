//! What tenants get that all want more than there is: by their weights, and beside tasks that mean harm.
//!
//! Counted is what guests computed, as receipts say it, while every queue has more.

use std::time::{Duration, Instant};

use bytes::Bytes;
use saggar_jetstream::TaskQueue;
use saggar_model::{Limits, TenantName};

use crate::bench::{BenchError, Setting};
use crate::figure::{Figure, Goal, Unit};
use crate::samples::Pairs;
use crate::stage::{Kind, Stage, queue_name};
use crate::worker::Worker;

/// The weights of the tenants that share a host.
const WEIGHTS: [u32; 3] = [1, 2, 4];

/// What their tasks count the primes below: a millisecond or two.
pub(super) const PRIMES: &str = "60000";

/// The same for tenants whose shares are looked at: their queues must outlast it.
const MORE_PRIMES: &str = "250000";

/// Guests that mean harm, and what they are told: to loop, to take memory without end, to log without end.
const HOSTILE: [(&str, &str); 3] = [("spin", ""), ("hog", ""), ("chats", "100000")];

/// Before so many have ended the host has not found its pace.
const BEGUN: u64 = 500;

/// What a share may differ by, and what must be left of a fair one beside hostile tasks.
const WITHIN: f64 = 0.05;
const LEFT: f64 = 0.9;

pub(crate) async fn measure(setting: &Setting<'_>) -> Result<Vec<Figure>, BenchError> {
    let mut figures = by_weight(setting).await?;
    let alone = beside(setting, &[]).await?;
    let hostile = beside(setting, &HOSTILE).await?;
    figures.push(Figure {
        case: Some("half of the weight, beside hostile tasks ÷ half of alone".to_owned()),
        unit: Unit::Millis,
        goal: Some(Goal::AtLeast(LEFT)),
        pairs: Pairs { ours: vec![hostile], limit: vec![alone / 2.0] },
    });
    Ok(figures)
}

/// The parts of the time that each of them computed.
async fn by_weight(setting: &Setting<'_>) -> Result<Vec<Figure>, BenchError> {
    let component = setting.components.read("sieve")?;
    let kinds =
        WEIGHTS.map(|weight| Kind { component: component.clone(), weight, limits: Limits::default() });
    let computed = Stage::with(setting, async |stage| {
        let tenants = stage.tenants_of(&kinds).await?;
        stage.fill(&tenants, setting.scale.flood_tasks, &Bytes::from(MORE_PRIMES)).await?;
        stage
            .host(crate::worker::HostSize::default(), async |host| {
                stage.begun(host, BEGUN).await?;
                over(stage, host, &tenants, setting.scale.sharing).await
            })
            .await
    })
    .await?;
    let (all, weights): (f64, u32) = (computed.iter().sum(), WEIGHTS.iter().sum());
    let figure = |(weight, computed): (&u32, &f64)| Figure {
        case: Some(format!("weight {weight} of {weights}")),
        unit: Unit::Percent,
        goal: Some(Goal::Within(WITHIN)),
        pairs: Pairs {
            ours: vec![computed / all * 100.0],
            limit: vec![f64::from(*weight) / f64::from(weights) * 100.0],
        },
    };
    Ok(WEIGHTS.iter().zip(&computed).map(figure).collect())
}

/// What a tenant computes in a second, in milliseconds, beside others that have its weight together.
async fn beside(setting: &Setting<'_>, others: &[(&'static str, &'static str)]) -> Result<f64, BenchError> {
    let limits = Limits { fuel: 100_000_000, ..Limits::default() };
    let weight = u32::try_from(others.len()).unwrap_or(1).max(1);
    let mut kinds = vec![Kind { component: setting.components.read("sieve")?, weight, limits }];
    for (name, _) in others {
        kinds.push(Kind { component: setting.components.read(name)?, weight: 1, limits });
    }
    let time = setting.scale.sharing / 4;
    let computed = Stage::with(setting, async |stage| {
        let tenants = stage.tenants_of(&kinds).await?;
        let (first, rest) = tenants.split_at(1);
        stage.fill(first, setting.scale.flood_tasks / 2, &Bytes::from(MORE_PRIMES)).await?;
        for (tenant, (_, payload)) in rest.iter().zip(others) {
            // Five hundred a second, all of them.
            let tasks = time.as_secs().max(10) * 500 / u64::from(weight);
            stage.fill(std::slice::from_ref(tenant), tasks, &Bytes::from(*payload)).await?;
        }
        stage
            .host(crate::worker::HostSize::default(), async |host| {
                stage.begun(host, BEGUN).await?;
                over(stage, host, first, time).await
            })
            .await
    })
    .await?;
    Ok(computed.iter().sum::<f64>() * 1000.0)
}

/// What the guests of the first tenants compute in a second, over a while in which they always have more to do.
async fn over(
    stage: &Stage,
    host: &Worker,
    tenants: &[TenantName],
    time: Duration,
) -> Result<Vec<f64>, BenchError> {
    let now = || (0..tenants.len()).map(|number| host.computed(number)).collect::<Vec<f64>>();
    let (before, start) = (now(), Instant::now());
    tokio::time::sleep(time).await;
    let passed = start.elapsed().as_secs_f64();
    let computed = now().iter().zip(before).map(|(after, before)| (after - before) / passed).collect();
    for tenant in tenants {
        let queue = TaskQueue::open(&stage.nats, tenant, &queue_name()).await?;
        if queue.depth().await?.pending == 0 {
            return Err(BenchError::RanDry { tenant: tenant.clone() });
        }
    }
    Ok(computed)
}

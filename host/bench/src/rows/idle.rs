//! What a host costs that has many tenants and nothing to do: memory by which the process grows from before there is a
//! host, and processor time once it has found all queues, the server's as well. It is looked at for so long that what
//! a host does now and then is part of it.

use std::time::Instant;

use saggar_model::Limits;

use crate::bench::{BenchError, Setting};
use crate::figure::{Figure, Goal, Unit};
use crate::process::memory;
use crate::samples::Pairs;
use crate::stage::Stage;
use crate::worker::HostSize;

/// What a tenant may cost, in MiB, and all of them together in milliseconds of a core in a second.
const EACH: f64 = 200.0 / 1024.0;
const CORE: f64 = 50.0;

const MIB: f64 = 1_048_576.0;

#[expect(clippy::cast_precision_loss, reason = "bytes of a process")]
pub(crate) async fn measure(setting: &Setting<'_>) -> Result<Vec<Figure>, BenchError> {
    let component = setting.components.read("echo")?;
    let count = setting.scale.tenants.iter().copied().max().unwrap_or(1);
    let (begins, look) = (setting.scale.sharing / 6, setting.scale.sharing);
    let (grown, [cpu, of_server]) = Stage::with(setting, async |stage| {
        stage.tenants(count, &component, Limits::default()).await?;
        let before = memory();
        stage
            .host(HostSize::default(), async |_| {
                // Until every lane has its plugin, its queue and a request at the server.
                tokio::time::sleep(begins).await;
                let ([host, server], start) = (stage.cpu(), Instant::now());
                tokio::time::sleep(look).await;
                let passed = start.elapsed().as_secs_f64() / 1e3;
                let [host_now, server_now] = stage.cpu();
                let cpu = [host_now - host, server_now - server].map(|cpu| cpu / passed);
                Ok((memory() as f64 - before as f64, cpu))
            })
            .await
    })
    .await?;
    let figure = |case: &str, unit, ours, limit| Figure {
        case: Some(format!("{count} tenants, {case}")),
        unit,
        goal: Some(Goal::AtMost(1.0)),
        pairs: Pairs { ours: vec![ours], limit: vec![limit] },
    };
    Ok(vec![
        figure("memory", Unit::Mebibytes, grown / MIB, EACH * f64::from(count)),
        figure("of a core in a second", Unit::Millis, cpu, CORE),
        Figure { goal: None, ..figure("of a core in a second, server", Unit::Millis, of_server, CORE) },
    ])
}

//! `saggar queue promote` and `saggar queue rollback`: a new version of a plugin for good, or the old one again.

use saggar_jetstream::{Nats, Tenants};
use saggar_model::{NoRollout, QueueName, RolloutStep, TenantName};
use serde_json::json;

use crate::connection;
use crate::console::Console;
use crate::failure::{Exit, Failure, Kind};

/// Does it, in one step. What runs goes on as it began.
///
/// # Errors
/// There is no such queue, there is nothing to promote or to go back to, or NATS does not answer.
pub async fn roll(
    nats: &Nats,
    tenant: &TenantName,
    queue: &QueueName,
    step: RolloutStep,
    console: Console,
) -> Result<Exit, Failure> {
    connection::queues(nats, tenant, Some(queue)).await?;
    let changed = Tenants::new(nats)
        .change(tenant, |record| match step {
            RolloutStep::Promoted => record.promote(queue),
            RolloutStep::RolledBack => record.roll_back(queue),
        })
        .await?;
    let rolled = match changed {
        Some(Ok((_, rolled))) => rolled,
        Some(Err(why)) => return Err(nothing(tenant, queue, why)),
        None => return Err(nothing(tenant, queue, NoRollout::NoQueue)),
    };
    let data = json!({
        "queue": queue, "tenant": tenant, "plugin": rolled.plugin, "instead_of": rolled.instead_of,
        "step": step,
    });
    console.answer(data, format!("{queue} runs {}, and no longer {}", rolled.plugin, rolled.instead_of))?;
    console.note(format!(
        "write `plugin = \"{}\"` without a canary into the tenant's file, or applying it takes this back",
        rolled.plugin
    ));
    Ok(Exit::Success)
}

fn nothing(tenant: &TenantName, queue: &QueueName, why: NoRollout) -> Failure {
    let kind = match why {
        NoRollout::NoQueue => Kind::NotFound,
        NoRollout::NoCanary | NoRollout::NothingBefore => Kind::Conflict,
    };
    Failure::new(kind, format!("queue {tenant}/{queue}: {why}"))
        .advice("A version is tried with `canary = { version = \"…\", percent = 10 }` in the tenant's file.")
}

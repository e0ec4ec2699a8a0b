//! `saggar tenant rm`: a tenant goes, with everything it has.
//!
//! The command writes that it is to go; hosts do the rest, and go on with it whatever becomes of this command.

use std::time::Duration;

use saggar_jetstream::{Hosts, Nats, Provisioner, Tenants};
use saggar_model::TenantName;
use serde_json::json;

use crate::confirm::confirm;
use crate::connection;
use crate::console::Console;
use crate::failure::{Exit, Failure};

/// How long a person waits for it: streams are deleted in a moment, and what runs by default ends within 30 s.
const GONE_WITHIN: Duration = Duration::from_secs(40);

/// How often to look.
const LOOK: Duration = Duration::from_millis(100);

/// Removes a tenant. One that is on its way out already is waited for.
///
/// # Errors
/// There is no such tenant, nobody agreed to it, or NATS does not answer.
pub async fn remove(nats: &Nats, tenant: &TenantName, yes: bool, console: Console) -> Result<Exit, Failure> {
    let record = connection::tenant(nats, tenant).await?.record;
    let losses = Provisioner::new(nats, 1).losses(&record, None).await?;
    if !record.removal.tenant {
        let words = match losses.words().as_slice() {
            [] => "nothing in it".to_owned(),
            words => words.join(", "),
        };
        console.warn(format!("tenant {tenant} would go with {words}"));
        confirm(yes, &format!("removing tenant {tenant} with {words}"), tenant.as_str())?;
        let removed = |record: &mut saggar_model::TenantRecord| {
            *record = record.clone().removed();
            Ok::<_, std::convert::Infallible>(())
        };
        Tenants::new(nats).change(tenant, removed).await?;
    }
    let answer = |state: &str, text: String| {
        console.answer(json!({ "tenant": tenant, "state": state, "lost": losses }), text)?;
        Ok(Exit::Success)
    };
    if Hosts::new(nats).list().await?.is_empty() {
        return answer("waiting-for-a-host", format!("{tenant} goes when a host starts: `saggar host`"));
    }
    let waiting = async {
        loop {
            if let Ok(None) = connection::look_up(nats, tenant).await {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(GONE_WITHIN, waiting).await.is_ok() {
        answer("gone", format!("{tenant} is gone, with everything it had"))
    } else {
        let text = "takes no tasks any more, and goes by itself when what runs has ended";
        answer("leaving", format!("{tenant} {text}; see `saggar tenant ls`"))
    }
}

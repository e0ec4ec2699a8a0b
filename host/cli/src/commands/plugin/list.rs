//! `saggar plugin ls`: a tenant's plugins.

use std::time::SystemTime;

use owo_colors::Style;
use saggar_jetstream::{Fault, PluginInfo, Plugins, PluginsError};
use saggar_model::{Digest, PluginName, PluginVersion, PublicKey, SIGNATURES_MAX, format_bytes};
use serde::Serialize;
use serde_json::{Value, json};

use crate::arguments::ConnectionFlags;
use crate::connection::{self, TenantFlag};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::moment::{ago, rfc3339};
use crate::report::short_digest;
use crate::table::{self, Cell, Column};

/// Lists them.
///
/// # Errors
/// NATS does not answer, or a record cannot be read.
pub async fn execute(
    tenant: &TenantFlag,
    flags: &ConnectionFlags,
    console: Console,
) -> Result<Exit, Failure> {
    let tenant = tenant.get()?;
    let nats = connection::connect(flags, console).await?;
    let listed = match Plugins::new(&nats).list(&tenant).await {
        // The store is made by the first push.
        Err(PluginsError::Request(error)) if error.fault() == Fault::NotFound => Vec::new(),
        listed => listed?,
    };
    let rows: Vec<Row> = listed.into_iter().map(Row::from).collect();
    let nothing =
        format!("tenant {tenant} has no plugin; bring one with `saggar plugin push FILE --tenant {tenant}`");
    table::write(console, &rows, json!({}), &nothing)?;
    Ok(Exit::Success)
}

/// A version of a plugin, for programs and people.
#[derive(Debug, Serialize)]
struct Row {
    name: PluginName,
    version: PluginVersion,
    tenant: String,
    digest: Digest,
    size: u64,
    pushed_at: String,
    wants: Vec<String>,
    source: Option<String>,
    signatures: Vec<Value>,
    #[serde(skip)]
    signed_by: String,
    #[serde(skip)]
    pushed: String,
}

impl From<PluginInfo> for Row {
    fn from(info: PluginInfo) -> Self {
        Self {
            signatures: super::signatures(&info),
            signed_by: signed_by(&info),
            name: info.name,
            version: info.version,
            tenant: info.tenant.to_string(),
            digest: info.digest,
            size: info.size,
            pushed_at: rfc3339(info.pushed_at),
            wants: info.declared.wants,
            source: info.declared.source,
            pushed: ago(info.pushed_at, SystemTime::now()),
        }
    }
}

/// The keys whose signatures hold, and how many others there are.
fn signed_by(info: &PluginInfo) -> String {
    let (mut keys, mut damaged) = (Vec::new(), 0);
    for signature in info.signatures.iter().take(SIGNATURES_MAX) {
        match signature.key.parse::<PublicKey>() {
            Ok(key) if signature.is_of(&info.statement()) == Ok(true) => keys.push(key.short()),
            _ => damaged += 1,
        }
    }
    if damaged > 0 {
        keys.push(format!("{damaged} damaged"));
    }
    if keys.is_empty() { "nobody".to_owned() } else { keys.join(", ") }
}

impl table::Row for Row {
    const COLUMNS: &'static [Column] = &[
        Column::text("name"),
        Column::text("version"),
        Column::text("digest"),
        Column::number("size"),
        Column::text("pushed"),
        Column::text("signed by"),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            (&self.name).into(),
            (&self.version).into(),
            Cell::styled(short_digest(&self.digest), Style::new().dimmed()),
            format_bytes(self.size).into(),
            (&self.pushed).into(),
            Cell::styled(&self.signed_by, Style::new().dimmed()),
        ]
    }
}

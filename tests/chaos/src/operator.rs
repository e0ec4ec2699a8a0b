//! What an operator does to a running system: pushes plugins and applies tenants, with the `saggar` command.

use std::path::PathBuf;

use anyhow::ensure;
use saggar_harness::{guests, run};
use serde_json::Value;

use crate::job::{Queue, TENANTS};
use crate::streams::Cost;

/// The guest that all queues run.
const GUEST: &str = "works";

/// Pushes and applies.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The binary.
    pub saggar: PathBuf,
    /// Where files go.
    pub directory: PathBuf,
    /// The servers, past all proxies.
    pub nats: String,
    /// Where commands keep what they compile.
    pub cache: String,
}

impl Operator {
    /// Binds all of a tenant's queues to this version of the plugin, made and pushed for it.
    pub async fn update(&self, tenant: &str, version: u32) -> anyhow::Result<()> {
        let plugin = self.directory.join(format!("{GUEST}-{version}.wasm"));
        let mut component = std::fs::read(guests::path(GUEST))?;
        component.extend(custom_section(&format!("version {version}")));
        std::fs::write(&plugin, component)?;
        let version = format!("{version}.0.0");
        let file = plugin.to_string_lossy();
        let push = ["plugin", "push", &file, "--name", GUEST, "--version", &version, "--tenant", tenant];
        self.command(&push).await?;
        let path = self.directory.join(format!("{tenant}.toml"));
        std::fs::write(&path, tenant_file(tenant, &version))?;
        self.command(&["apply", &path.to_string_lossy()]).await?;
        Ok(())
    }

    /// Makes all tenants.
    pub async fn begin(&self) -> anyhow::Result<()> {
        for tenant in TENANTS {
            self.update(tenant, 1).await?;
        }
        Ok(())
    }

    /// What a tenant's account says, without what stands in no result.
    pub async fn usage(&self, tenant: &str) -> anyhow::Result<Cost> {
        let args = ["tenant", "usage", tenant, "--by", "tenant", "--output", "json"];
        let answer: Value = serde_json::from_slice(&self.command(&args).await?)?;
        let row = &answer["data"]["rows"][0];
        let shown = |amount: &str| {
            let of = |row: &Value| row[amount].as_u64().unwrap_or(0);
            of(row).saturating_sub(of(&row["apart"]))
        };
        let tasks = row["tasks"].as_object().into_iter().flatten();
        let tasks = tasks.filter_map(|(_, count)| count.as_u64()).sum();
        Ok(Cost { tasks, attempts: shown("attempts"), fuel: shown("fuel") })
    }

    async fn command(&self, args: &[&str]) -> anyhow::Result<Vec<u8>> {
        let env = [("NATS_URL", self.nats.as_str()), ("XDG_CACHE_HOME", self.cache.as_str())];
        let finished = run(&self.saggar, args, b"", &env).await;
        ensure!(finished.code == Some(0), "`saggar {}` failed: {}", args.join(" "), finished.stderr.trim());
        Ok(finished.stdout)
    }
}

fn tenant_file(tenant: &str, version: &str) -> String {
    let quota = "{ tasks = 1_000_000, bytes = '2GiB', results = '8GiB', dead = '1GiB', kv = '1GiB' }";
    let mut text = format!("[tenant]\nname = '{tenant}'\nquota = {quota}\n");
    for queue in Queue::ALL {
        text += &format!(
            "[[queue]]\nname = '{}'\nplugin = '{GUEST}@{version}'\nconcurrency = {}\nretry = {}\n\
             limits = {{ memory = '8MiB', timeout = '5m' }}\n[queue.grants]\nkv = true\n",
            queue.name(),
            queue.concurrency(),
            queue.retry()
        );
    }
    text
}

/// A section that means nothing to anybody, and makes another component of it all the same.
fn custom_section(text: &str) -> Vec<u8> {
    const NAME: &str = "chaos";
    let (name, text) = (NAME.as_bytes(), text.as_bytes());
    let length =
        |bytes: usize| u8::try_from(bytes).ok().filter(|length| *length < 0x80).expect("it is short");
    let mut section = vec![0, length(1 + name.len() + text.len()), length(name.len())];
    section.extend(name);
    section.extend(text);
    section
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_says_how_long_it_and_its_name_are() {
        assert_eq!(custom_section("v2"), [&[0, 8, 5][..], b"chaosv2"].concat());
    }
}

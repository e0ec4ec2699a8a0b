//! A host's file: where NATS is, how much the host takes on, what it lets queues ask for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Ceilings, Limits, SecretFiles};

use super::problem::Problems;
use super::reader::{Document, Overrides, Section};
use super::tenant::limits_or;
use super::value::{Bytes, Parsed};

/// A host's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// How to reach NATS.
    pub nats: NatsConfig,
    /// What the host takes on.
    pub host: WorkerConfig,
    /// The most a queue may set.
    pub ceilings: Ceilings,
    /// The files that hold the tenants' secrets.
    pub secrets: SecretFiles,
    /// Which plugins it runs.
    pub plugins: PluginsConfig,
    /// Health and metrics.
    pub admin: AdminConfig,
    /// How the log looks.
    pub log: LogFormat,
}

/// Section `[nats]`. What is absent follows the connection order of the commands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NatsConfig {
    /// Server addresses, separated by commas.
    pub url: Option<String>,
    /// File with a JWT and its key.
    pub creds: Option<PathBuf>,
    /// File with the authorities to trust.
    pub ca: Option<PathBuf>,
    /// Copies of every stream and bucket that the hosts make.
    pub replicas: u32,
}

/// Section `[host]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerConfig {
    /// Name of the host, unique among the hosts of one NATS; absent: the machine's.
    pub name: Option<String>,
    /// Tasks held at once: those that run, those that are next, and those whose result is being stored.
    pub slots: u32,
    /// Guest memory at once, in bytes.
    pub memory: u64,
    /// How long running tasks may go on once the host is told to stop.
    pub drain: Duration,
    /// Directory of compiled plugins; absent: the user's cache directory.
    pub cache: Option<PathBuf>,
    /// What compiled plugins may take there, in bytes.
    pub cache_size: u64,
}

/// Section `[plugins]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PluginsConfig {
    /// Files with public keys, of which one must have signed a plugin for it to be run; absent: any plugin is run.
    pub trusted_keys: Option<Vec<PathBuf>>,
}

/// Section `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// Address of health and metrics.
    pub listen: SocketAddr,
}

/// Section `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl std::str::FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            _ => Err("use \"auto\", \"pretty\" or \"json\""),
        }
    }
}

impl PluginsConfig {
    /// More keys than anybody can keep track of; a host tells the others of all of them.
    pub const TRUSTED_KEYS_MAX: usize = 16;
}

impl WorkerConfig {
    /// Enough to hide the waiting of many small tasks behind each other; with fewer, small tasks wait for the server.
    pub const SLOTS_DEFAULT: u32 = 256;
    /// The sandbox reserves address space for every slot; beyond this the reservation itself would be the cost.
    pub const SLOTS_MAX: u32 = 10_000;
    /// What a small machine can spare.
    pub const MEMORY_DEFAULT: u64 = 4 << 30;
    /// Some thousand small plugins, or fifty language runtimes.
    pub const CACHE_SIZE_DEFAULT: u64 = 4 << 30;
    /// Less would not hold one large plugin.
    pub const CACHE_SIZE_MIN: u64 = 256 << 20;
    /// The default wall limit of a task, so that by default a drain interrupts nobody.
    pub const DRAIN_DEFAULT: Duration = Duration::from_secs(30);
}

impl HostConfig {
    /// Reads a host's file, with `overrides` before the file's values.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(file: &str, text: &str, overrides: Overrides) -> Result<Self, Problems> {
        let mut document = Document::parse_with(file, text, overrides)?;
        let mut root = document.root();
        let nats = read_nats(root.section("nats"));
        let host = read_worker(root.section("host"));
        let mut limits = root.section("limits");
        let ceilings = Ceilings(limits_or(&mut limits, &Ceilings::default().0));
        check_ceilings(&limits, &ceilings.0);
        limits.finish();
        let secrets = root.or("secrets", SecretFiles::new());
        let plugins = read_plugins(root.section("plugins"));
        let mut admin = root.section("admin");
        let Parsed(listen) = admin.or("listen", Parsed(AdminConfig::default().listen));
        admin.finish();
        let mut log = root.section("log");
        let Parsed(format) = log.or("format", Parsed(LogFormat::Auto));
        log.finish();
        root.finish();
        let admin = AdminConfig { listen };
        document.finish(Some(Self { nats, host, ceilings, secrets, plugins, admin, log: format }))
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 7070)) }
    }
}

fn read_nats(mut section: Section) -> NatsConfig {
    let nats = NatsConfig {
        url: section.optional("url"),
        creds: section.optional("creds"),
        ca: section.optional("ca"),
        replicas: section.within("replicas", 1, 1, 5),
    };
    section.finish();
    nats
}

fn read_worker(mut section: Section) -> WorkerConfig {
    let name = section.optional::<Parsed<crate::HostName>>("name");
    let slots = section.within("slots", WorkerConfig::SLOTS_DEFAULT, 1, WorkerConfig::SLOTS_MAX);
    let Bytes(memory) = section.or("memory", Bytes(WorkerConfig::MEMORY_DEFAULT));
    if memory < Limits::MEMORY_DEFAULT {
        section.problem("memory", "must be at least 128MiB, the default limit of one task");
    }
    let Bytes(cache_size) = section.or("cache_size", Bytes(WorkerConfig::CACHE_SIZE_DEFAULT));
    if cache_size < WorkerConfig::CACHE_SIZE_MIN {
        section.problem("cache_size", "must be at least 256MiB, so that a large plugin fits");
    }
    let worker = WorkerConfig {
        name: name.map(|Parsed(name)| name.to_string()),
        slots,
        memory,
        drain: section.or("drain", WorkerConfig::DRAIN_DEFAULT),
        cache: section.optional("cache"),
        cache_size,
    };
    section.finish();
    worker
}

fn read_plugins(mut section: Section) -> PluginsConfig {
    let trusted_keys: Option<Vec<PathBuf>> = section.optional("trusted_keys");
    match trusted_keys.as_ref().map(Vec::len) {
        // Whoever writes that wants either everything or nothing to be run, and must not get the other.
        Some(0) => {
            section.problem("trusted_keys", "names no key; leave it out to run plugins that nobody signed");
        }
        Some(count) if count > PluginsConfig::TRUSTED_KEYS_MAX => {
            let most = PluginsConfig::TRUSTED_KEYS_MAX;
            section.problem("trusted_keys", format!("names more than {most} keys"));
        }
        _ => {}
    }
    section.finish();
    PluginsConfig { trusted_keys }
}

/// A ceiling may be lowered as far as one likes, and raised no further than the design bears.
fn check_ceilings(section: &Section, limits: &Limits) {
    for (key, objection) in Ceilings::default().objections(limits) {
        section.problem(key, objection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<HostConfig, Problems> {
        HostConfig::parse("host.toml", text, Overrides::default())
    }

    #[test]
    fn an_empty_file_is_a_host_with_defaults() {
        let config = parse("").unwrap();
        assert_eq!(config.host.slots, WorkerConfig::SLOTS_DEFAULT);
        assert_eq!(config.host.drain, Duration::from_secs(30));
        assert_eq!(config.admin.listen.to_string(), "127.0.0.1:7070");
        assert_eq!(config.ceilings, Ceilings::default());
    }

    #[test]
    fn the_file_of_the_documentation_is_read() {
        let config = parse(
            "[nats]\nurl = 'nats://127.0.0.1:4222'\n[host]\nname = 'host-1'\nslots = 64\nmemory = '4GiB'\n\
             drain = '30s'\ncache = '~/.cache/saggar'\n[limits]\nmemory = '4GiB'\n\
             [admin]\nlisten = '127.0.0.1:7070'\n[log]\nformat = 'auto'\n",
        )
        .unwrap();
        assert_eq!(config.host.name.as_deref(), Some("host-1"));
        assert_eq!(config.nats.url.as_deref(), Some("nats://127.0.0.1:4222"));
    }

    #[test]
    fn trusted_keys_are_named_by_their_files() {
        assert_eq!(parse("").unwrap().plugins.trusted_keys, None);
        let config = parse("[plugins]\ntrusted_keys = ['/etc/saggar/release.pem']\n").unwrap();
        assert_eq!(config.plugins.trusted_keys, Some(vec![PathBuf::from("/etc/saggar/release.pem")]));
    }

    #[test]
    fn attack_49_a_policy_that_is_written_wrongly_is_no_host_without_one() {
        let key = |text: &str| parse(&format!("[plugins]\n{text}\n")).unwrap_err().to_string();
        assert!(key("trusted_keys = []").contains("names no key"));
        assert!(key("trusted_keys = '/a.pem'").contains("must be a list"));
        assert!(key("trusted_keys = [1]").contains("a path"));
        assert!(key("trusted_key = ['/a.pem']").contains("did you mean `trusted_keys`?"));
        assert!(key(&format!("trusted_keys = [{}]", "'/a.pem', ".repeat(17))).contains("more than 16"));
        assert!(parse("[plugin]\ntrusted_keys = ['/a.pem']").unwrap_err().to_string().contains("`plugins`"));
    }

    #[test]
    fn mistakes_are_reported_together() {
        let problems = parse(
            "[host]\nname = 'Host 1'\nslots = 0\nmemory = '1MiB'\ncache_size = '1MiB'\n[limits]\nmemory = '64GiB'\n\
             [admin]\nlisten = 'here'\n[log]\nformat = 'xml'\n[nats]\nurls = 'x'\n",
        )
        .unwrap_err()
        .to_string();
        for part in [
            "`host.name`",
            "`host.slots`",
            "`host.memory`",
            "`host.cache_size`",
            "`limits.memory`",
            "`admin.listen`",
            "`log.format`",
            "`url`",
        ] {
            assert!(problems.contains(part), "{part} in {problems}");
        }
    }
}

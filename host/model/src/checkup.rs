//! Whether an installation keeps what `docs/durability.md` promises: pure judgements of facts that others have read.

use std::time::Duration;

use serde::Serialize;

use crate::format_bytes;

/// How one thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// As it should be.
    Ok,
    /// It could not be found out; the advice says how to.
    Unknown,
    /// It works, and costs something that an operator should have decided.
    Warn,
    /// Tasks do not run, or could be lost or mixed up.
    Fail,
}

impl Mark {
    /// Its name, as it is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub check: &'static str,
    /// How it stands.
    pub mark: Mark,
    /// What was found.
    pub found: String,
    /// What to change, or how to find out; absent if there is nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Check {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, mark: Mark::Ok, found: found.into(), advice: None }
    }

    fn new(check: &'static str, mark: Mark, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, mark, found: found.into(), advice: Some(advice.into()) }
    }
}

/// When the server writes to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Before it acknowledges.
    Always,
    /// So often.
    Every(Duration),
}

/// What the server says of its settings, where somebody may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerSettings {
    /// When it writes to disk.
    pub sync: Sync,
    /// What streams may take on its disk, in bytes.
    pub max_file_store: u64,
}

/// What a subject's user may do, as its server says it: patterns that are allowed, and those that are not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Empty: all are.
    pub allow: Vec<String>,
    /// These are not, whatever is allowed.
    pub deny: Vec<String>,
}

/// A directory of compiled plugins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheFacts {
    /// Where it is.
    pub path: String,
    /// Whether a file could be written there; why not, otherwise.
    pub writable: Result<(), String>,
    /// Its permission bits, if it is there.
    pub mode: Option<u32>,
    /// Free bytes on its disk.
    pub free: u64,
    /// What compiled plugins may take.
    pub size: u64,
}

/// A stream, as far as this page asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamFacts {
    /// Its name.
    pub name: String,
    /// How many servers are to keep it.
    pub replicas: u32,
    /// Servers that should keep it and are away or behind.
    pub behind: u32,
    /// Its consumers.
    pub consumers: u32,
    /// What is reserved for it, in bytes; 0 if it has no bound.
    pub reserved: u64,
}

/// A server refuses more consumers of one stream.
const CONSUMERS_OF_STREAM_MAX: u32 = 1_000;

/// In a cluster each stream and each consumer is a group that votes, and a server bears about so many.
const GROUPS_MAX: u32 = 1_000;

/// Tasks go by the server's clock, people and logs by their machine's: they notice a second. With half a minute
/// certificates fail, and a time that somebody typed means another.
const SKEW_WARN: Duration = Duration::from_secs(1);
const SKEW_FAIL: Duration = Duration::from_secs(30);

/// The least room that compiling a plugin takes.
const CACHE_FREE_MIN: u64 = 64 << 20;

/// The server's release. `warning` is what is known against it.
#[must_use]
pub fn server(version: &str, warning: Option<String>) -> Check {
    match warning {
        None => Check::ok("server", format!("nats-server {version}")),
        Some(warning) => Check::new("server", Mark::Warn, format!("nats-server {version}"), warning),
    }
}

/// How far the host's clock is from the server's, give or take `about`.
#[must_use]
pub fn clock(skew: Duration, about: Duration) -> Check {
    let found = format!("{} ms apart, give or take {} ms", skew.as_millis(), about.as_millis());
    let surely = skew.saturating_sub(about);
    let advice = "Keep the clocks of hosts and servers synchronised: tasks go by the server's, what people type by theirs.";
    if surely >= SKEW_FAIL {
        Check::new("clock", Mark::Fail, found, advice)
    } else if surely >= SKEW_WARN {
        Check::new("clock", Mark::Warn, found, advice)
    } else {
        Check::ok("clock", found)
    }
}

/// Whether streams and consumers are set up as they should be. Both lists are sentences.
#[must_use]
pub fn settings(looked_at: usize, dangerous: &[String], others: &[String], missing: &[String]) -> Check {
    const NAME: &str = "settings";
    let again = "Start a host, which sets them right within 30 s; its log says what keeps it from it.";
    if !dangerous.is_empty() {
        return Check::new(NAME, Mark::Fail, dangerous.join("; "), again);
    }
    if !missing.is_empty() {
        return Check::new(NAME, Mark::Fail, format!("not there: {}", missing.join(", ")), again);
    }
    if !others.is_empty() {
        return Check::new(NAME, Mark::Warn, others.join("; "), again);
    }
    Check::ok(NAME, format!("{looked_at} streams and their consumers are as they should be"))
}

/// How many servers keep each stream, and when they write to disk: what an acknowledged task is worth.
#[must_use]
pub fn durability(streams: &[StreamFacts], sync: Option<Sync>) -> Vec<Check> {
    const NAME: &str = "replicas";
    let fewest = streams.iter().min_by_key(|stream| stream.replicas);
    let behind: Vec<_> =
        streams.iter().filter(|stream| stream.behind > 0).map(|stream| &*stream.name).collect();
    let alone = fewest.is_none_or(|stream| stream.replicas < 3);
    let replicas = match fewest {
        None => Check::ok(NAME, "there is no stream yet"),
        Some(_) if !behind.is_empty() => Check::new(
            NAME,
            Mark::Warn,
            format!("a server is away or behind for {}", behind.join(", ")),
            "Until it is back, the loss of another server stops these streams.",
        ),
        Some(stream) if alone => Check::new(
            NAME,
            Mark::Warn,
            format!("{} is kept by {} server(s)", stream.name, stream.replicas),
            "If that server's disk is lost, so are its tasks. Run three servers and set `nats.replicas = 3` for all \
             hosts.",
        ),
        Some(stream) => {
            Check::ok(NAME, format!("every stream is kept by at least {} servers", stream.replicas))
        }
    };
    let sync = match sync {
        Some(Sync::Always) => Check::ok("sync", "written to disk before it is acknowledged"),
        Some(Sync::Every(interval)) => {
            let found = format!("written to disk every {} s", interval.as_secs());
            let advice = if alone {
                "A power cut loses what was acknowledged since. Set `jetstream.sync_interval: always`, or run three \
                 servers in separate failure domains."
            } else {
                "A power cut of several servers at once loses what was acknowledged since. Keep them in separate \
                 failure domains, or set `jetstream.sync_interval: always`."
            };
            Check::new("sync", Mark::Warn, found, advice)
        }
        None => Check::new("sync", Mark::Unknown, "the server was not asked", HOW_TO_ASK),
    };
    vec![replicas, sync]
}

const HOW_TO_ASK: &str = "Name the server's monitoring address, `--monitor 127.0.0.1:8222` (`http_port: 8222` in \
                          nats-server's configuration), or look for `sync_interval` and `max_file_store` there.";

/// Whether all that tenants were promised fits on the server's disk. `promised` is the sum of their quotas.
#[must_use]
pub fn storage(promised: u64, streams: &[StreamFacts], max_file_store: Option<u64>) -> Check {
    const NAME: &str = "storage";
    let reserved: u64 = streams.iter().map(|stream| stream.reserved).sum();
    let found = format!("quotas of {}, {} of it reserved", format_bytes(promised), format_bytes(reserved));
    match max_file_store {
        None => Check::new(NAME, Mark::Unknown, found, HOW_TO_ASK),
        Some(most) if promised.max(reserved) > most => Check::new(
            NAME,
            Mark::Fail,
            format!("{found}; the server may store {}", format_bytes(most)),
            "Raise `jetstream.max_file_store` of nats-server, or lower quotas: what does not fit is refused when a \
             stream or a store is made.",
        ),
        Some(most) => Check::ok(NAME, format!("{found}; the server may store {}", format_bytes(most))),
    }
}

/// Whether the servers can bear so many consumers.
#[must_use]
pub fn consumers(streams: &[StreamFacts]) -> Check {
    const NAME: &str = "consumers";
    let all: u32 = streams.iter().map(|stream| stream.consumers).sum();
    let groups: u32 = streams.iter().filter(|it| it.replicas > 1).map(|it| 1 + it.consumers).sum();
    let found = format!("{all} of {} streams", streams.len());
    let fullest = streams.iter().max_by_key(|stream| stream.consumers);
    if let Some(fullest) = fullest.filter(|stream| stream.consumers >= CONSUMERS_OF_STREAM_MAX) {
        return Check::new(
            NAME,
            Mark::Fail,
            format!("{}, {} of them of {}", found, fullest.consumers, fullest.name),
            "nats-server refuses more: divide the tenant's queues among several tenants.",
        );
    }
    if groups > GROUPS_MAX {
        return Check::new(
            NAME,
            Mark::Warn,
            format!("{found}, {groups} groups that vote"),
            "Beyond about 1,000 a server has more to do with voting than with tasks: add servers, or clusters.",
        );
    }
    Check::ok(NAME, found)
}

/// Whether a host may say and hear what it must. Nothing is known of a user without rules: it may do everything.
#[must_use]
pub fn permissions(publish: &Rules, subscribe: &Rules, inbox: &str) -> Check {
    const NAME: &str = "permissions";
    let says = ["$JS.API.>", "$JS.ACK.>", "$KV.>", "$O.>", "saggar.>"];
    let advisories = "$JS.EVENT.ADVISORY.CONSUMER.>";
    let inbox = format!("{inbox}.>");
    let hears = ["saggar.>", advisories, &inbox];
    let mut lacks = Vec::new();
    for (verb, rules, needed) in [("publish", publish, &says[..]), ("subscribe to", subscribe, &hears[..])] {
        lacks.extend(needed.iter().filter(|it| !rules.allow_all(it)).map(|it| format!("{verb} {it}")));
    }
    if lacks.is_empty() {
        return Check::ok(NAME, "all that a host needs");
    }
    let advice = "Allow it to the hosts' user. A host may do with less than all of a pattern; it then logs what it \
                  was refused.";
    let whole = |verb: &str, rules: &Rules, needed: &[&str]| {
        needed.iter().any(|it| !rules.allow_some(it) && lacks.contains(&format!("{verb} {it}")))
    };
    let broken = whole("publish", publish, &says) || whole("subscribe to", subscribe, &[&inbox]);
    let mark = if broken { Mark::Fail } else { Mark::Warn };
    Check::new(NAME, mark, format!("may not {}", lacks.join(", ")), advice)
}

/// Whether compiled plugins can be kept, and by nobody else.
#[must_use]
pub fn cache(facts: &CacheFacts) -> Check {
    const NAME: &str = "cache";
    let CacheFacts { path, writable, mode, free, size } = facts;
    if let Err(reason) = writable {
        let advice = "Name a directory of the host's user with host.cache.";
        return Check::new(NAME, Mark::Fail, format!("{path}: {reason}"), advice);
    }
    if mode.is_some_and(|mode| mode & 0o022 != 0) {
        let found = format!("others may write to {path}");
        return Check::new(
            NAME,
            Mark::Fail,
            found,
            format!("chmod 700 {path}: hosts refuse to start with it."),
        );
    }
    let found = format!("{path}: {} free, up to {} used", format_bytes(*free), format_bytes(*size));
    if *free < CACHE_FREE_MIN {
        return Check::new(NAME, Mark::Fail, found, "Make room: no plugin can be compiled.");
    }
    if free < size {
        return Check::new(NAME, Mark::Warn, found, "Make room, or lower host.cache_size.");
    }
    Check::ok(NAME, found)
}

/// Whether anybody is there to run tasks.
#[must_use]
pub fn hosts(live: usize) -> Check {
    match live {
        0 => Check::new("hosts", Mark::Warn, "none is running", "Start one: saggar host --config host.toml."),
        1 => Check::new(
            "hosts",
            Mark::Warn,
            "one is running",
            "When its machine is lost nothing runs until it is back: run another on another machine.",
        ),
        live => Check::ok("hosts", format!("{live} are running")),
    }
}

impl Rules {
    /// Whether every subject of `pattern` is allowed.
    fn allow_all(&self, pattern: &str) -> bool {
        let allowed = self.allow.is_empty() || self.allow.iter().any(|rule| covers(rule, pattern));
        allowed && !self.deny.iter().any(|rule| overlap(rule, pattern))
    }

    /// Whether some subject of `pattern` is.
    fn allow_some(&self, pattern: &str) -> bool {
        let allowed = self.allow.is_empty() || self.allow.iter().any(|rule| overlap(rule, pattern));
        allowed && !self.deny.iter().any(|rule| covers(rule, pattern))
    }
}

/// Whether every subject that `inner` matches is matched by `outer`.
fn covers(outer: &str, inner: &str) -> bool {
    let (mut outer, mut inner) = (outer.split('.'), inner.split('.'));
    loop {
        match (outer.next(), inner.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(rule), Some(token)) if rule == token => {}
            _ => return false,
        }
    }
}

/// Whether some subject is matched by both.
fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (Some(">"), Some(_)) | (Some(_), Some(">")) | (None, None) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(name: &str, replicas: u32) -> StreamFacts {
        StreamFacts { name: name.to_owned(), replicas, behind: 0, consumers: 2, reserved: 10 }
    }

    fn rules(allow: &[&str], deny: &[&str]) -> Rules {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Rules { allow: owned(allow), deny: owned(deny) }
    }

    #[test]
    fn only_what_is_surely_apart_is_held_against_a_clock() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_mins(1));
        assert_eq!(clock(second / 2, Duration::ZERO).mark, Mark::Ok);
        assert_eq!(clock(2 * second, second / 10).mark, Mark::Warn);
        assert_eq!(clock(minute, second).mark, Mark::Fail);
        assert_eq!(clock(minute, 2 * minute).mark, Mark::Ok, "the line was slow");
    }

    #[test]
    fn one_server_is_a_warning_and_three_that_sync_are_durable() {
        let marks = |streams: &[StreamFacts], sync| {
            durability(streams, sync).iter().map(|check| check.mark).collect::<Vec<_>>()
        };
        let (one, three) = ([stream("a", 3), stream("b", 1)], [stream("a", 3)]);
        assert_eq!(marks(&three, Some(Sync::Always)), [Mark::Ok, Mark::Ok]);
        assert_eq!(marks(&one, Some(Sync::Always)), [Mark::Warn, Mark::Ok]);
        assert_eq!(marks(&three, Some(Sync::Every(Duration::from_mins(2)))), [Mark::Ok, Mark::Warn]);
        assert_eq!(marks(&three, None), [Mark::Ok, Mark::Unknown]);
        assert_eq!(marks(&[StreamFacts { behind: 1, ..stream("a", 3) }], None)[0], Mark::Warn);
    }

    #[test]
    fn quotas_that_do_not_fit_the_disk_are_a_failure_and_an_unknown_disk_is_none() {
        assert_eq!(storage(100, &[stream("a", 1)], Some(100)).mark, Mark::Ok);
        assert_eq!(storage(101, &[stream("a", 1)], Some(100)).mark, Mark::Fail);
        assert_eq!(storage(101, &[], None).mark, Mark::Unknown);
        assert!(storage(101, &[], None).advice.unwrap().contains("--monitor"));
    }

    #[test]
    fn more_consumers_than_a_server_bears_are_told() {
        assert_eq!(consumers(&[stream("a", 1)]).mark, Mark::Ok);
        assert_eq!(consumers(&[StreamFacts { consumers: 1_000, ..stream("a", 1) }]).mark, Mark::Fail);
        let many: Vec<_> = (0..400).map(|_| stream("a", 3)).collect();
        assert_eq!(consumers(&many).mark, Mark::Warn);
    }

    #[test]
    fn a_difference_that_could_lose_tasks_is_a_failure_and_so_is_a_missing_stream() {
        let told = |text: &str| [text.to_owned()];
        assert_eq!(settings(3, &[], &[], &[]).mark, Mark::Ok);
        assert_eq!(settings(3, &told("x"), &[], &[]).mark, Mark::Fail);
        assert_eq!(settings(3, &[], &told("x"), &[]).mark, Mark::Warn);
        assert_eq!(settings(3, &[], &told("x"), &told("y")).mark, Mark::Fail);
    }

    #[test]
    fn a_user_without_rules_may_do_everything_and_one_without_an_inbox_hears_nothing() {
        let all = Rules::default();
        assert_eq!(permissions(&all, &all, "_INBOX_x").mark, Mark::Ok);
        let most = rules(&["$JS.>", "$KV.>", "$O.>", "saggar.>"], &[]);
        assert_eq!(permissions(&most, &all, "_INBOX_x").mark, Mark::Ok);
        assert_eq!(permissions(&rules(&["saggar.>"], &[]), &all, "_INBOX_x").mark, Mark::Fail);
        assert_eq!(permissions(&all, &rules(&["_INBOX.>"], &[]), "_INBOX_x").mark, Mark::Fail);
        let advisories = rules(&[], &["$JS.EVENT.>"]);
        let check = permissions(&all, &advisories, "_INBOX_x");
        assert_eq!(check.mark, Mark::Warn);
        assert!(check.found.contains("subscribe to $JS.EVENT.ADVISORY.CONSUMER.>"), "{}", check.found);
    }

    #[test]
    fn patterns_cover_and_overlap_as_subjects_do() {
        for (outer, inner, covered, overlapping) in [
            (">", "a.>", true, true),
            ("a.>", "a.b.>", true, true),
            ("a.*", "a.b", true, true),
            ("a.*", "a.>", false, true),
            ("a.b", "a.>", false, true),
            ("a.b", "a.c", false, false),
            ("a", "a.b", false, false),
            ("a.>", "a", false, false),
        ] {
            assert_eq!(
                (covers(outer, inner), overlap(outer, inner)),
                (covered, overlapping),
                "{outer} {inner}"
            );
        }
    }

    #[test]
    fn a_cache_is_private_writable_and_has_room() {
        let good = CacheFacts {
            path: "/c".to_owned(),
            writable: Ok(()),
            mode: Some(0o700),
            free: 8 << 30,
            size: 4 << 30,
        };
        assert_eq!(cache(&good).mark, Mark::Ok);
        assert_eq!(cache(&CacheFacts { mode: Some(0o777), ..good.clone() }).mark, Mark::Fail);
        assert_eq!(cache(&CacheFacts { free: 1 << 30, ..good.clone() }).mark, Mark::Warn);
        assert_eq!(cache(&CacheFacts { free: 1 << 20, ..good.clone() }).mark, Mark::Fail);
        assert_eq!(cache(&CacheFacts { writable: Err("no".to_owned()), ..good }).mark, Mark::Fail);
    }

    #[test]
    fn one_host_is_too_few_for_a_machine_to_be_lost() {
        assert_eq!([0, 1, 2].map(|live| hosts(live).mark), [Mark::Warn, Mark::Warn, Mark::Ok]);
        assert_eq!(server("2.15.1", None).mark, Mark::Ok);
        assert_eq!(server("2.14.1", Some("upgrade".to_owned())).mark, Mark::Warn);
    }
}

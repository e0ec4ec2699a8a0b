//! How far a tenant's own NATS account reaches: what the hosts' account exports to it, what its users may do, how much
//! of the server it may take.
//!
//! Everything that is exported is the tenant's own and no more than a publisher needs: tasks go in, results, dead letters
//! and events come out, hosts answer requests. What the tenant's tasks lie in is not among it: the hosts' secrets about a
//! task stand in its headers there.

use std::time::Duration;

use crate::{Subjects, TenantName};

/// The account that holds all streams, and whose users are the hosts. No tenant's can be called so.
pub const HOSTS_ACCOUNT: &str = "SAGGAR";

/// Connections of one tenant at once: a fleet of publishers, and a few per cent of what a server bears. Programs share
/// one each.
pub const TENANT_CONNECTIONS_MAX: u32 = 256;

/// Subscriptions of one tenant on one server at once: sixteen for each connection. The server compares every result of
/// the tenant with all of them.
pub const TENANT_SUBSCRIPTIONS_MAX: u32 = 4096;

/// Where answers arrive: as most clients have it, and as the commands have it. Hosts have inboxes of a third kind, so
/// that in an account that is shared nobody reads theirs by accident.
pub const INBOXES: [&str; 2] = ["_INBOX.>", "_INBOX_saggar.>"];

/// How the inboxes of commands begin.
pub const COMMAND_INBOX: &str = "_INBOX_saggar";

/// How many answers a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// One.
    One,
    /// As many as there are records to read.
    Many,
}

/// Requests that the hosts' account answers for a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Where they are published.
    pub subject: String,
    /// How many answers each has.
    pub answers: Answers,
    /// How long the server remembers where an answer goes that does not come.
    pub patience: Duration,
}

/// What a tenant's account reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// What it may ask for.
    pub services: Vec<Service>,
    /// What it may listen to.
    pub streams: Vec<String>,
}

/// Longer than any client of ours waits for a task to be stored, and so for the others.
const STORING: Duration = Duration::from_secs(20);
const READING: Duration = Duration::from_secs(10);
const CONTROL: Duration = Duration::from_secs(30);

impl Reach {
    /// What the account of `tenant` reaches.
    #[must_use]
    pub fn of(tenant: &TenantName) -> Self {
        let subjects = Subjects::of(tenant);
        let service = |subject: String, answers, patience| Service { subject, answers, patience };
        let mut services = vec![
            service(format!("saggar.{tenant}.task.>"), Answers::One, STORING),
            service(format!("saggar.{tenant}.control.>"), Answers::One, CONTROL),
        ];
        for stream in [subjects.results_stream(), subjects.dead_stream()] {
            // By place, or page by page; and the last of a subject.
            services.push(service(format!("$JS.API.DIRECT.GET.{stream}"), Answers::Many, READING));
            services.push(service(format!("$JS.API.DIRECT.GET.{stream}.>"), Answers::One, READING));
        }
        let streams = ["event", "result", "reply"].map(|kind| format!("saggar.{tenant}.{kind}.>")).to_vec();
        Self { services, streams }
    }

    /// Where the tenant's users may publish.
    pub fn publish(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(|service| service.subject.as_str())
    }

    /// What the tenant's users may subscribe to.
    pub fn subscribe(&self) -> impl Iterator<Item = &str> {
        INBOXES.into_iter().chain(self.streams.iter().map(String::as_str))
    }
}

/// What a tenant's account is called. No two have one name, and none has that of the hosts.
#[must_use]
pub fn tenant_account(tenant: &TenantName) -> String {
    format!("{HOSTS_ACCOUNT}_{tenant}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(tenant: &str) -> Reach {
        Reach::of(&tenant.parse().unwrap())
    }

    /// Whether a subject lies within a pattern that ends in `>` or is literal.
    fn covers(pattern: &str, subject: &str) -> bool {
        match pattern.strip_suffix('>') {
            Some(prefix) => subject.len() > prefix.len() && subject.starts_with(prefix),
            None => pattern == subject,
        }
    }

    #[test]
    fn a_tenant_publishes_tasks_and_requests_and_reads_what_became_of_them() {
        let acme = reach("acme");
        let publishes = |subject: &str| acme.publish().any(|pattern| covers(pattern, subject));
        for subject in [
            "saggar.acme.task.thumbnail",
            "saggar.acme.task.thumbnail.order-17",
            "saggar.acme.control.cancel.thumbnail.order-17",
            "saggar.acme.control.blob",
            "$JS.API.DIRECT.GET.SAGGAR_RESULTS_acme",
            "$JS.API.DIRECT.GET.SAGGAR_RESULTS_acme.saggar.acme.result.thumbnail.order-17",
            "$JS.API.DIRECT.GET.SAGGAR_DEAD_acme",
        ] {
            assert!(publishes(subject), "{subject}");
        }
        let hears = |subject: &str| acme.subscribe().any(|pattern| covers(pattern, subject));
        for subject in ["_INBOX.x.1", "_INBOX_saggar.x.1", "saggar.acme.result.q.a", "saggar.acme.reply.7"] {
            assert!(hears(subject), "{subject}");
        }
    }

    #[test]
    fn attack_71_to_75_nothing_of_another_tenant_or_of_the_hosts_is_within_reach() {
        // Names that begin alike, too.
        for tenant in ["acme", "a", "acme-2", "hosts"] {
            let reach = reach(tenant);
            let patterns: Vec<&str> = reach.publish().chain(reach.subscribe()).collect();
            for subject in [
                "saggar.other.task.q.a",
                "saggar.other.result.q.a",
                "saggar.other.event.q.a.log",
                "saggar.other.control.cancel.q.a",
                "saggar.state.acme.q.1",
                "saggar-hosts.cancelled",
                "saggar-hosts.drain.host-1",
                "saggar-hosts.pulse",
                "_INBOX_saggar_0123456789abcdef.x",
                "$JS.API.INFO",
                "$JS.API.STREAM.DELETE.SAGGAR_RESULTS_acme",
                "$JS.API.DIRECT.GET.SAGGAR_RESULTS_other",
                "$JS.API.DIRECT.GET.SAGGAR_TASKS_acme",
                "$JS.API.DIRECT.GET.KV_saggar_tenants.$KV.saggar_tenants.acme",
                "$JS.ACK.SAGGAR_TASKS_acme.q.1.1.1.1.0",
                "$KV.saggar_tenants.acme",
                "$O.saggar-acme-blobs.C.x",
                "$SYS.REQ.SERVER.PING",
            ] {
                let found = patterns.iter().find(|pattern| covers(pattern, subject));
                assert_eq!(found, None, "{tenant}: {subject}");
            }
            let wild = |pattern: &str| pattern.trim_end_matches(".>").contains(['*', '>']);
            assert!(!patterns.iter().any(|pattern| wild(pattern)), "{patterns:?}");
        }
    }

    #[test]
    fn only_reading_by_pages_has_many_answers() {
        let many: Vec<_> =
            reach("acme").services.into_iter().filter(|s| s.answers == Answers::Many).collect();
        let subjects: Vec<_> = many.iter().map(|service| service.subject.as_str()).collect();
        assert_eq!(
            subjects,
            ["$JS.API.DIRECT.GET.SAGGAR_RESULTS_acme", "$JS.API.DIRECT.GET.SAGGAR_DEAD_acme"]
        );
    }

    #[test]
    fn accounts_have_names_of_their_own() {
        assert_eq!(tenant_account(&"acme".parse().unwrap()), "SAGGAR_acme");
        assert!(HOSTS_ACCOUNT.parse::<TenantName>().is_err());
    }
}

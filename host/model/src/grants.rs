//! What the operator allows the tasks of a queue beyond computing. Nothing, unless it is granted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ConfigKey, HttpGrant, QueueName, SecretGrant};

/// Something that a guest can only do when it was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    /// To read configuration.
    Config,
    /// To read secrets, or to have them sent.
    Secrets,
    /// To keep values under keys.
    Kv,
    /// To keep objects in containers.
    Blobs,
    /// To send HTTP requests.
    Http,
    /// To submit tasks.
    Submit,
    /// To tell times shorter than a millisecond.
    Clock,
}

impl Capability {
    /// All there are, in the order in which they are shown.
    pub const ALL: [Self; 7] =
        [Self::Config, Self::Secrets, Self::Kv, Self::Blobs, Self::Http, Self::Submit, Self::Clock];

    /// The name: the key under `[queue.grants]`, and the label of the metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Secrets => "secrets",
            Self::Kv => "kv",
            Self::Blobs => "blobs",
            Self::Http => "http",
            Self::Submit => "submit",
            Self::Clock => "clock",
        }
    }

    /// What a guest is told that does not have it, ready to be passed on to the operator.
    #[must_use]
    pub fn denial(self) -> String {
        let example = match self {
            Self::Config => r#"config = { key = "value" }"#,
            Self::Secrets => r#"secrets = ["NAME"]"#,
            Self::Kv => "kv = true",
            Self::Blobs => "blobs = true",
            Self::Http => r#"http = [{ host = "…" }]"#,
            Self::Submit => r#"submit = ["QUEUE"]"#,
            Self::Clock => "clock = true",
        };
        format!(
            "denied: the queue has no grant `{self}`; an operator gives it by `{example}` under [queue.grants]"
        )
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The grants of a queue: `[queue.grants]` of a tenant's file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Grants {
    /// Configuration values by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<ConfigKey, String>,
    /// Secrets by name. Their values are known to the hosts alone.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub secrets: BTreeSet<SecretGrant>,
    /// The tenant's keys and values.
    #[serde(skip_serializing_if = "is_false")]
    pub kv: bool,
    /// The tenant's objects.
    #[serde(skip_serializing_if = "is_false")]
    pub blobs: bool,
    /// Requests, to these hosts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpGrant>,
    /// Tasks, in these queues of the tenant.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub submit: BTreeSet<QueueName>,
    /// Clocks that tick in nanoseconds.
    #[serde(skip_serializing_if = "is_false")]
    pub clock: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(granted: &bool) -> bool {
    !granted
}

impl Grants {
    /// Whether there is anything of a capability.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::Config => !self.config.is_empty(),
            Capability::Secrets => !self.secrets.is_empty(),
            Capability::Kv => self.kv,
            Capability::Blobs => self.blobs,
            Capability::Http => !self.http.is_empty(),
            Capability::Submit => !self.submit.is_empty(),
            Capability::Clock => self.clock,
        }
    }

    /// The capabilities that are granted, each with what it is granted for: `kv`, `secrets: API_TOKEN`. Values of
    /// the configuration are not shown.
    #[must_use]
    pub fn summary(&self) -> Vec<String> {
        let granted = Capability::ALL.into_iter().filter(|capability| self.has(*capability));
        granted.map(|capability| self.described(capability)).collect()
    }

    fn described(&self, capability: Capability) -> String {
        let scope: Vec<String> = match capability {
            Capability::Config => self.config.keys().map(ToString::to_string).collect(),
            Capability::Secrets => self.secrets.iter().map(ToString::to_string).collect(),
            Capability::Http => self.http.iter().map(|grant| grant.host.to_string()).collect(),
            Capability::Submit => self.submit.iter().map(ToString::to_string).collect(),
            Capability::Kv | Capability::Blobs | Capability::Clock => Vec::new(),
        };
        if scope.is_empty() { capability.to_string() } else { format!("{capability}: {}", scope.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_granted_by_default() {
        let none = Grants::default();
        assert!(Capability::ALL.into_iter().all(|capability| !none.has(capability)));
        assert!(none.summary().is_empty());
        assert_eq!(serde_json::to_string(&none).unwrap(), "{}");
    }

    #[test]
    fn a_record_without_a_grant_that_is_new_reads_as_one_that_lacks_it() {
        assert_eq!(serde_json::from_str::<Grants>("{}").unwrap(), Grants::default());
        let kv = serde_json::from_str::<Grants>(r#"{"kv": true}"#).unwrap();
        assert_eq!(kv, Grants { kv: true, ..Grants::default() });
    }

    #[test]
    fn a_summary_names_what_is_granted_and_shows_no_value() {
        let grants = Grants {
            config: [("size".parse().unwrap(), "200x200".to_owned())].into(),
            secrets: ["API_TOKEN".parse().map(SecretGrant::readable).unwrap()].into(),
            kv: true,
            http: vec![HttpGrant::new("api.example.com".parse().unwrap())],
            submit: ["part".parse().unwrap(), "sum".parse().unwrap()].into(),
            ..Grants::default()
        };
        assert_eq!(
            grants.summary(),
            ["config: size", "secrets: API_TOKEN", "kv", "http: api.example.com", "submit: part, sum"]
        );
    }

    #[test]
    fn a_denial_says_what_to_ask_the_operator_for() {
        for capability in Capability::ALL {
            let text = capability.denial();
            assert!(text.contains(&format!("no grant `{capability}`")), "{text}");
            assert!(text.contains(&format!("`{capability} = ")), "{text}");
        }
    }
}

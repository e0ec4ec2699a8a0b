//! `[queue.grants]`: what the operator allows the tasks of a queue.

use std::collections::{BTreeMap, BTreeSet};

use crate::{ConfigKey, Grants, HostPattern, QueueName, SecretGrant, SecretName};

use super::http_grant::read_http_grants;
use super::problem::Problems;
use super::reader::{Document, Item, Node, Section, nearest};
use super::value::FromToml;

/// A value of the configuration is a setting, not a document.
const CONFIG_VALUE_MAX_BYTES: usize = 16 << 10;

/// Reads grants as the command line has them: lines of `[queue.grants]`, or shorter: `kv` for `kv = true`,
/// `config.KEY=VALUE`, `secrets=NAME,NAME`, `submit=QUEUE,QUEUE` and `http=HOST` without quotes.
///
/// # Errors
/// Everything that is wrong with them.
pub fn parse_grants<'a>(written: impl IntoIterator<Item = &'a str>) -> Result<Grants, Problems> {
    let text: Vec<String> = written.into_iter().map(line).collect();
    let mut document = Document::parse("--grant", &text.join("\n"))?;
    let grants = read_grants(document.root(), None);
    document.finish(Some(grants))
}

/// One grant of the command line, as a line of a file.
fn line(written: &str) -> String {
    let Some((key, value)) = written.split_once('=') else { return format!("{written} = true") };
    let (key, value) = (key.trim(), value.trim());
    let quoted = |text: &str| toml::Value::from(text.trim()).to_string();
    if key.starts_with("config.") && !value.starts_with(['"', '\'']) {
        format!("{key} = {}", quoted(value))
    } else if (key == "secrets" || key == "submit") && !value.starts_with('[') {
        format!("{key} = [{}]", value.split(',').map(quoted).collect::<Vec<_>>().join(", "))
    } else if key == "http" && !value.starts_with('[') {
        format!("{key} = [{{ host = {} }}]", quoted(value))
    } else {
        written.to_owned()
    }
}

/// Reads the grants of a queue. `queues` are those of the tenant, where they are known.
pub(super) fn read_grants(mut section: Section, queues: Option<&BTreeSet<QueueName>>) -> Grants {
    let grants = Grants {
        config: read_config(&mut section),
        secrets: read_secrets(&mut section),
        kv: section.or("kv", false),
        blobs: section.or("blobs", false),
        http: read_http_grants(&mut section),
        submit: read_submit(&mut section, queues),
        clock: section.or("clock", false),
    };
    for (name, host) in unreachable(&grants) {
        section
            .problem("secrets", format!("sends {name} to {host} only, and `http` grants no request there"));
    }
    section.finish();
    grants
}

/// The queues that may be submitted to.
fn read_submit(section: &mut Section, known: Option<&BTreeSet<QueueName>>) -> BTreeSet<QueueName> {
    let written: Vec<String> = section.or("submit", Vec::new());
    let mut queues = BTreeSet::new();
    for queue in written {
        match queue.parse::<QueueName>() {
            Ok(queue) if queues.contains(&queue) => section.problem("submit", format!("names {queue} twice")),
            Ok(queue) if known.is_some_and(|known| !known.contains(&queue)) => {
                section.problem("submit", no_such_queue(&queue, known));
            }
            Ok(queue) => drop(queues.insert(queue)),
            Err(error) => section.problem("submit", error.to_string()),
        }
    }
    queues
}

/// What is wrong with naming a queue that the file does not have.
pub(super) fn no_such_queue(queue: &QueueName, known: Option<&BTreeSet<QueueName>>) -> String {
    let known = known.into_iter().flatten().map(QueueName::as_str);
    match nearest(queue.as_str(), known) {
        Some(known) => format!("names `{queue}`, and this file has no such queue; did you mean `{known}`?"),
        None => format!("names `{queue}`, and this file has no such queue; write a [[queue]] for it"),
    }
}

/// Hosts that alone may get a secret and that no request may go to, each with the secret's name.
fn unreachable(grants: &Grants) -> impl Iterator<Item = (&SecretName, &HostPattern)> {
    let sent =
        grants.secrets.iter().flat_map(|secret| secret.only_to.iter().map(|host| (&secret.name, host)));
    sent.filter(|(_, host)| !grants.http.iter().any(|http| http.host.overlaps(host)))
}

fn read_config(section: &mut Section) -> BTreeMap<ConfigKey, String> {
    let written: BTreeMap<String, String> = section.or("config", BTreeMap::new());
    let mut config = BTreeMap::new();
    for (key, value) in written {
        if value.len() > CONFIG_VALUE_MAX_BYTES {
            section.problem("config", format!("`{key}` is longer than {CONFIG_VALUE_MAX_BYTES} bytes"));
        }
        match key.parse::<ConfigKey>() {
            Ok(key) => drop(config.insert(key, value)),
            Err(error) => section.problem("config", error.to_string()),
        }
    }
    config
}

fn read_secrets(section: &mut Section) -> BTreeSet<SecretGrant> {
    let Secrets(written) = section.or("secrets", Secrets(Vec::new()));
    let mut secrets = BTreeSet::<SecretGrant>::new();
    for grant in written {
        if secrets.iter().any(|other| other.name == grant.name) {
            section.problem("secrets", format!("names {} twice", grant.name));
        }
        secrets.insert(grant);
    }
    secrets
}

struct Secrets(Vec<SecretGrant>);

impl FromToml for Secrets {
    fn from_toml(node: &Node) -> Result<Self, String> {
        const FORMS: &str = "must be a list of names, or of tables such as \
                             { name = \"API_TOKEN\", only_to = [\"api.example.com\"] }";
        let Item::Array(nodes) = &node.item else { return Err(FORMS.to_owned()) };
        let grants = nodes.iter().map(|node| match &node.item {
            Item::String(name) => name.parse().map_err(|error: crate::NameError| error.to_string()),
            Item::Table(entries) => hidden(entries),
            _ => Err(FORMS.to_owned()),
        });
        grants.collect::<Result<_, _>>().map(Self)
    }
}

fn host(node: &Node) -> Result<HostPattern, String> {
    String::from_toml(node)?.parse().map_err(|error: crate::HttpHostError| error.to_string())
}

fn hidden(entries: &[(String, Node)]) -> Result<SecretGrant, String> {
    let mut name = None;
    let mut only_to = Vec::new();
    for (key, node) in entries {
        match (key.as_str(), &node.item) {
            ("name", Item::String(text)) => {
                name = Some(text.parse().map_err(|error: crate::NameError| error.to_string())?);
            }
            ("only_to", Item::Array(hosts)) => {
                only_to = hosts.iter().map(host).collect::<Result<_, _>>()?;
            }
            ("name" | "only_to", _) => return Err(format!("`{key}` is of the wrong kind")),
            _ => return Err(format!("`{key}` is not known; known here: name, only_to")),
        }
    }
    let name = name.ok_or("lacks a `name`")?;
    if only_to.is_empty() {
        return Err(format!("`only_to` of {name} names no host; write just the name to let guests read it"));
    }
    Ok(SecretGrant { name, only_to })
}

#[cfg(test)]
mod tests {
    use super::super::tenant::parse_tenant;
    use super::*;
    use crate::Ceilings;

    fn parse(grants: &str) -> Result<Grants, Problems> {
        let text = format!("[tenant]\nname='a'\n[[queue]]\nname='q'\nplugin='p@1'\n[queue.grants]\n{grants}");
        let mut spec = parse_tenant("a.toml", &text, &Ceilings::default())?.spec;
        Ok(spec.queues.remove(&"q".parse().unwrap()).unwrap().grants)
    }

    #[test]
    fn grants_are_read() {
        let grants = parse(
            "kv = true\nconfig = { size = '200x200' }\n\
             secrets = ['API_TOKEN', { name = 'KEY', only_to = ['api.example.com'] }]\n\
             http = [{ host = '*.example.com' }]\nsubmit = ['q']",
        )
        .unwrap();
        assert_eq!(
            grants.summary(),
            [
                "config: size",
                "secrets: API_TOKEN, KEY (only to api.example.com)",
                "kv",
                "http: *.example.com",
                "submit: q"
            ]
        );
    }

    #[test]
    fn what_is_not_granted_is_absent() {
        assert_eq!(parse("").unwrap(), Grants::default());
        assert_eq!(parse("kv = false").unwrap(), Grants::default());
    }

    #[test]
    fn a_command_line_may_be_shorter_than_a_file() {
        let grants = parse_grants([
            "kv",
            "config.size=200x200",
            "config.n = 1",
            "secrets=A,B",
            "submit=q,r",
            "clock = true",
        ]);
        let grants = grants.unwrap();
        assert_eq!(grants.summary(), ["config: n, size", "secrets: A, B", "kv", "submit: q, r", "clock"]);
        assert_eq!(grants.config[&"n".parse().unwrap()], "1");
        let hidden =
            parse_grants(["secrets = [{ name = 'A', only_to = ['example.com'] }]", "http=example.com"])
                .unwrap();
        assert_eq!(hidden.summary()[0], "secrets: A (only to example.com)");
    }

    #[test]
    fn a_mistake_on_the_command_line_is_named() {
        for (grant, part) in [("kvs", "did you mean `kv`?"), ("kv=1", "`kv` must be"), ("= 1", "--grant")] {
            let problems = parse_grants([grant]).unwrap_err().to_string();
            assert!(problems.contains(part), "{part}\nis not in\n{problems}");
        }
    }

    #[test]
    fn every_mistake_is_named() {
        for (grants, part) in [
            ("kvs = true", "`queue.grants.kvs` is not known; did you mean `kv`?"),
            ("kv = 'yes'", "`queue.grants.kv` must be `true` or `false`"),
            ("config = { 'a b' = 'x' }", "`a b` is not a valid configuration key"),
            ("config = { a = 1 }", "must be a table of texts"),
            ("secrets = 'API_TOKEN'", "must be a list of names"),
            ("secrets = ['API-TOKEN']", "is not a valid secret name"),
            ("secrets = ['A', 'A']", "names A twice"),
            ("secrets = ['A', { name = 'A', only_to = ['x'] }]", "names A twice"),
            ("secrets = [{ name = 'A' }]", "`only_to` of A names no host"),
            ("secrets = [{ name = 'A', only = ['x'] }]", "`only` is not known"),
            ("secrets = [{ name = 'A', only_to = ['a b'] }]", "`a b` is no host"),
            (
                "secrets = [{ name = 'A', only_to = ['x.org', 'y.org'] }]\nhttp = [{ host = 'x.org' }]",
                "sends A to y.org only, and `http` grants no request there",
            ),
            ("submit = true", "`queue.grants.submit` must be"),
            ("submit = ['Part']", "`Part` is not a valid queue name"),
            ("submit = ['part']", "names `part`, and this file has no such queue"),
            ("submit = ['q', 'q']", "names q twice"),
        ] {
            let problems = parse(grants).unwrap_err().to_string();
            assert!(problems.contains(part), "{part}\nis not in\n{problems}");
        }
    }
}

//! The JSON Schemas of the files, held against what reads them: every key, every default, every bound.
//!
//! The reader names the keys it knows when it meets one that it does not; nothing here lists them a second time.

mod checker;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use saggar_model::config::{HostConfig, Overrides, PluginFile, Problems, parse_tenant};
use saggar_model::{Ceilings, Consequence, Outcome};
use serde_json::{Value, json};

/// A key that nothing is similar to.
const STRANGE: &str = "zzzz";

/// One kind of file.
struct Kind {
    name: &'static str,
    /// A file with every table of the schema in it, and nothing else that could be left out.
    least: &'static str,
    /// What the reader makes of a text, or everything that is wrong with it.
    read: fn(&str) -> Result<String, Problems>,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "tenant",
        least: "[tenant]\nname = 'a'\nquota = {}\n[[queue]]\nname = 'q'\nplugin = 'p@1'\n\
                canary = { version = '2', percent = 1 }\nkey = { header = 'Customer', concurrency = 1 }\nlimits = {}\nretry = {}\n\
                grants = { http = [{ host = 'example.com' }], secrets = [{ name = 'A', only_to = ['example.com'] }] }\n\
                [[schedule]]\nname = 's'\nqueue = 'q'\ncron = '@daily'\n",
        read: |text| {
            parse_tenant("a.toml", text, &Ceilings::default()).map(|file| format!("{:?}", file.spec))
        },
    },
    Kind {
        name: "host",
        least: "nats = {}\nhost = {}\nlimits = {}\nsecrets = {}\nplugins = {}\nadmin = {}\nlog = {}\n",
        read: |text| HostConfig::parse("h.toml", text, Overrides::default()).map(|host| format!("{host:?}")),
    },
    Kind {
        name: "plugin",
        least: "[plugin]\nname = 'p'\nversion = '1'\n[wants]\n",
        read: |text| PluginFile::parse("p.toml", text).map(|file| format!("{file:?}")),
    },
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text_of(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

impl Kind {
    fn schema(&self) -> Value {
        serde_json::from_str(&text_of(&format!("docs/schemas/{}.schema.json", self.name))).unwrap()
    }

    fn least(&self) -> Value {
        as_json(self.least)
    }

    fn reads(&self, file: &Value) -> Result<String, String> {
        (self.read)(&toml::to_string(file).unwrap()).map_err(|problems| problems.to_string())
    }
}

fn as_json(text: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap()
}

/// A place in a file: keys, and in a list its first element.
type Place = Vec<String>;

fn at<'a>(file: &'a mut Value, place: &[String]) -> &'a mut Value {
    place.iter().fold(file, |value, key| {
        let value = &mut value[key.as_str()];
        if value.is_array() { &mut value[0] } else { value }
    })
}

/// A part of a schema, wherever it stands.
fn resolved<'a>(schema: &'a Value, part: &'a Value) -> &'a Value {
    match part["$ref"].as_str().and_then(|name| name.strip_prefix('#')) {
        Some(pointer) => resolved(schema, schema.pointer(pointer).expect("it is defined")),
        None => part,
    }
}

/// Every table of a schema with its place.
fn tables(schema: &Value) -> Vec<(Place, &Value)> {
    let mut found = Vec::new();
    let mut open = vec![(Place::new(), schema)];
    while let Some((place, part)) = open.pop() {
        let mut part = resolved(schema, part);
        if part["type"] == "array" {
            let items = resolved(schema, &part["items"]);
            // A list of texts or tables: the last choice is the table.
            let choice = items["oneOf"].as_array().and_then(|choices| choices.last()).unwrap_or(items);
            part = resolved(schema, choice);
        }
        let Some(properties) = part["properties"].as_object() else { continue };
        for (key, part) in properties {
            let place = [place.as_slice(), std::slice::from_ref(key)].concat();
            open.push((place, part));
        }
        found.push((place, part));
    }
    found
}

/// The tables whose keys are names of outcomes, not of settings.
fn is_of_outcomes(place: &[String]) -> bool {
    place.last().is_some_and(|key| key == "on")
}

/// Every key that is no table, with what the schema says of it.
fn leaves(schema: &Value) -> Vec<(Place, &Value)> {
    let tables = tables(schema);
    let is_table = |place: &Place| tables.iter().any(|(table, _)| table == place);
    let mut leaves = Vec::new();
    for (place, part) in tables.iter().filter(|(place, _)| !is_of_outcomes(place)) {
        for (key, part) in part["properties"].as_object().unwrap() {
            let place = [place.as_slice(), std::slice::from_ref(key)].concat();
            if !is_table(&place) {
                leaves.push((place, resolved(schema, part)));
            }
        }
    }
    leaves
}

#[test]
fn the_schemas_know_the_keys_that_the_readers_know_and_no_others() {
    for kind in KINDS {
        let schema = kind.schema();
        for (place, table) in tables(&schema).into_iter().filter(|(place, _)| !is_of_outcomes(place)) {
            let mut file = kind.least();
            at(&mut file, &place)[STRANGE] = json!(1);
            let refused = kind.reads(&file).expect_err("it is a strange key");
            let line = refused.lines().find(|line| line.contains(STRANGE)).expect("it is named");
            let (_, known) = line.split_once("known here: ").unwrap_or_else(|| panic!("{line}"));
            let known: BTreeSet<_> = known.split(", ").collect();
            let in_schema: BTreeSet<_> =
                table["properties"].as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(in_schema, known, "{} {place:?}", kind.name);
            assert_eq!(table["additionalProperties"], false, "{} {place:?}", kind.name);
            assert!(!accepts(&schema, &file), "{} {place:?} takes any key", kind.name);
        }
    }
}

#[test]
fn the_defaults_of_the_schemas_are_those_of_the_readers() {
    for kind in KINDS {
        let schema = kind.schema();
        let least = kind.reads(&kind.least()).unwrap();
        let mut looked_at = 0;
        for (place, leaf) in leaves(&schema).into_iter().filter(|(_, leaf)| !leaf["default"].is_null()) {
            let mut file = kind.least();
            set(&mut file, &place, leaf["default"].clone());
            assert_eq!(kind.reads(&file).as_ref(), Ok(&least), "{} {place:?}", kind.name);
            assert!(accepts(&schema, &file), "{} {place:?}", kind.name);
            looked_at += 1;
        }
        assert!(looked_at > 10 || kind.name == "plugin", "{}: {looked_at}", kind.name);
    }
}

#[test]
fn what_must_be_there_is_the_same_for_both() {
    for kind in KINDS {
        let schema = kind.schema();
        for (place, table) in tables(&schema).into_iter().filter(|(place, _)| !is_of_outcomes(place)) {
            let least = at(&mut kind.least(), &place).clone();
            for key in least.as_object().unwrap().keys() {
                let mut file = kind.least();
                at(&mut file, &place).as_object_mut().unwrap().remove(key);
                let required = table["required"].as_array().is_some_and(|keys| keys.contains(&json!(key)));
                // What a schedule's queue is called must be there as well: that is no matter of this key.
                let refused = kind.reads(&file).err().is_some_and(|text| {
                    text.contains(&format!("{key}` is missing"))
                        || text.contains(&format!("lacks a `{key}`"))
                        || text.contains(&format!("`{key}` of A names no host"))
                        || (key == "tenant" || key == "plugin")
                            && text.contains(&format!("`{key}.name` is missing"))
                });
                assert_eq!(refused, required, "{} {place:?} {key}: {:?}", kind.name, kind.reads(&file));
                assert_eq!(!accepts(&schema, &file), required, "{} {place:?} {key}", kind.name);
            }
        }
    }
}

#[test]
fn numbers_have_the_same_bounds_in_both() {
    for kind in KINDS {
        let schema = kind.schema();
        for (place, leaf) in leaves(&schema).into_iter().filter(|(_, leaf)| leaf["type"] == "integer") {
            let (least, most) = (leaf["minimum"].as_i64().unwrap(), leaf["maximum"].as_i64());
            let inside = [Some(least), most].into_iter().flatten().map(|number| (number, true));
            let outside = [Some(least - 1), most.map(|most| most + 1)].into_iter().flatten();
            for (number, fits) in inside.chain(outside.map(|number| (number, false))) {
                let mut file = kind.least();
                set(&mut file, &place, json!(number));
                // A burst is one of a rate.
                if let Some((_, section)) = place.split_last().filter(|(key, _)| *key == "burst") {
                    set(&mut file, &[section, &["rate".to_owned()]].concat(), json!("1/s"));
                }
                let read = kind.reads(&file);
                assert_eq!(read.is_ok(), fits, "{} {place:?} = {number}: {read:?}", kind.name);
                assert_eq!(accepts(&schema, &file), fits, "{} {place:?} = {number}", kind.name);
            }
        }
    }
}

#[test]
fn a_value_of_another_kind_is_refused_by_both() {
    for kind in KINDS {
        let schema = kind.schema();
        let all = leaves(&schema).into_iter().chain(tables(&schema));
        for (place, _) in all.filter(|(place, _)| !place.is_empty()) {
            for wrong in [json!([[1]]), json!(1.5), json!({ STRANGE: [1] })] {
                let mut file = kind.least();
                set(&mut file, &place, wrong.clone());
                let of_a_number = place.last().is_some_and(|key| key == "factor") && wrong == json!(1.5);
                assert_eq!(kind.reads(&file).is_ok(), of_a_number, "{} {place:?} = {wrong}", kind.name);
                assert_eq!(accepts(&schema, &file), of_a_number, "{} {place:?} = {wrong}", kind.name);
            }
        }
    }
}

#[test]
fn a_queue_may_treat_the_same_outcomes_in_its_own_way_in_both() {
    let [tenant, ..] = KINDS;
    let schema = tenant.schema();
    for outcome in Outcome::ALL {
        for consequence in [Consequence::Retry, Consequence::DeadLetter] {
            let mut file = tenant.least();
            let place = ["queue", "retry", "on"].map(str::to_owned);
            set(&mut file, &place, json!({ outcome.as_str(): consequence.as_str() }));
            let fits = Consequence::by_default(outcome).is_some();
            assert_eq!(tenant.reads(&file).is_ok(), fits, "{outcome}");
            assert_eq!(accepts(&schema, &file), fits, "{outcome}");
        }
    }
}

#[test]
fn what_the_project_ships_is_accepted_by_both() {
    let [tenant, host, plugin] = KINDS;
    let manifests = std::fs::read_dir(root().join("plugins")).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path().join("plugin.toml");
        path.is_file().then(|| (&plugin, std::fs::read_to_string(path).unwrap()))
    });
    let examples =
        [(&tenant, text_of("deploy/examples/acme.toml")), (&host, text_of("deploy/examples/host.toml"))];
    let mut looked_at = 0;
    for (kind, text) in examples.into_iter().chain(manifests) {
        (kind.read)(&text).unwrap();
        assert!(accepts(&kind.schema(), &as_json(&text)), "{text}");
        looked_at += 1;
    }
    assert!(looked_at > 5);
}

#[test]
fn what_a_schema_refuses_the_reader_refuses() {
    let queue = "[tenant]\nname = 'a'\n[[queue]]\nname = 'q'\nplugin = 'p@1'\n";
    let schedule = format!("{queue}[[schedule]]\nname = 's'\nqueue = 'q'\ncron = '@daily'\n");
    // What only the reader can know is in its own tests; here is what an editor can show while one types.
    let tenants = [
        "[tenant]\nname = 'Acme'".to_owned(),
        "[tenant]\nname = 'state'".to_owned(),
        format!("{queue}plugins = 'p@1'"),
        queue.replace("p@1", "p"),
        queue.replace("p@1", "p@sha256:abc"),
        format!("{queue}results_ttl = 'soon'"),
        format!("{queue}results_ttl = 5"),
        format!("{queue}limits = {{ memory = 'much' }}"),
        format!("{queue}limits = {{ memory = -1 }}"),
        format!("{queue}canary = {{ version = 'p@2', percent = 1 }}"),
        format!("{queue}retry = {{ on = {{ trapped = 'never' }} }}"),
        format!("{queue}retry = {{ on = {{ crashed = 'retry' }} }}"),
        format!("{queue}grants = {{ secrets = ['API-TOKEN'] }}"),
        format!("{queue}grants = {{ secrets = [{{ name = 'A', only_to = [] }}] }}"),
        format!("{queue}grants = {{ http = [{{ host = 'a', methods = [] }}] }}"),
        format!("{queue}grants = {{ http = [{{ host = 'a', ports = [0] }}] }}"),
        format!("{queue}grants = {{ config = {{ a = 1 }} }}"),
        format!("{queue}grants = {{ submit = ['q', 'q'] }}"),
        format!("{schedule}overlap = 'drop'"),
        format!("{schedule}paused = true"),
        format!("{schedule}headers = {{ A = 1 }}"),
        schedule.replace("'s'", "'S'"),
    ];
    let hosts = [
        "[plugins]\ntrusted_keys = []",
        "[log]\nformat = 'xml'",
        "[secrets.acme]\nAPI_TOKEN = 'x'",
        "[secrets.Acme]\nA_FILE = 'x'",
    ];
    let plugins =
        ["[plugin]\nname = 'P'\nversion = '1'", "[plugin]\nname = 'p'\nversion = '1'\n[wants]\nkv = false"];
    let [tenant, host, plugin] = KINDS;
    let all = tenants.iter().map(|text| (&tenant, text.as_str()));
    let all = all.chain(hosts.map(|text| (&host, text))).chain(plugins.map(|text| (&plugin, text)));
    for (kind, text) in all {
        assert!((kind.read)(text).is_err(), "the reader takes\n{text}");
        assert!(!accepts(&kind.schema(), &as_json(text)), "the schema takes\n{text}");
    }
}

#[test]
fn the_table_of_the_documentation_is_the_schema() {
    let text = text_of("docs/tenants.md");
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((
            cells.next()?.trim_end_matches('`').to_owned(),
            cells.next()?.trim().trim_matches('`').to_owned(),
        ))
    });
    let [tenant, ..] = KINDS;
    let schema = tenant.schema();
    let tables = tables(&schema);
    let mut wanted: Vec<_> = leaves(&schema)
        .into_iter()
        .map(|(place, leaf)| {
            let (key, table) = place.split_last().unwrap();
            let (_, table) = tables.iter().find(|(it, _)| it == table).unwrap();
            let required = table["required"].as_array().is_some_and(|keys| keys.contains(&json!(key)));
            let default = match &leaf["default"] {
                _ if required => "required".to_owned(),
                Value::Null => String::new(),
                Value::Array(values) => {
                    format!("[{}]", values.iter().map(Value::to_string).collect::<Vec<_>>().join(", "))
                }
                default => default.to_string(),
            };
            (place.join("."), default)
        })
        // Lists of which an element may be a table, and tables of names that are no settings, have a row of their own.
        .filter(|(key, _)| !key.starts_with("queue.grants.secrets."))
        .chain(["queue.retry.on", "queue.grants.secrets"].map(|key| (key.to_owned(), String::new())))
        .collect();
    wanted.sort();
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    assert_eq!(rows, wanted);
}

/// Whether the schema takes this file.
fn accepts(schema: &Value, file: &Value) -> bool {
    checker::is_valid(schema, schema, file)
}

fn set(file: &mut Value, place: &[String], value: Value) {
    let (key, table) = place.split_last().expect("a key");
    at(file, table)[key.as_str()] = value;
}

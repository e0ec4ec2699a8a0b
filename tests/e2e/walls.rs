//! The house's walls: who may import what, and which way the arrows point.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Names of each package's own dependencies, those for tests left out, by package.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo answers in JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().expect("there are packages");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let own = dependencies.filter(|dependency| dependency["kind"].is_null());
            (text(&package["name"]), own.map(|dependency| text(&dependency["name"])).collect())
        })
        .collect()
}

#[test]
fn arrows_point_from_left_to_right() {
    let allowed: [(&str, &[&str]); 11] = [
        ("saggar-model", &[]),
        ("saggar-sandbox", &["saggar-model"]),
        ("saggar-relay", &[]),
        ("saggar-jetstream", &["saggar-model", "saggar-relay"]),
        ("saggar-egress", &["saggar-model"]),
        ("saggar-worker", &["saggar-sandbox", "saggar-jetstream", "saggar-egress", "saggar-model"]),
        ("saggar-admin", &["saggar-sandbox", "saggar-jetstream", "saggar-model"]),
        (
            "saggar-bench",
            &["saggar-bench-work", "saggar-worker", "saggar-sandbox", "saggar-jetstream", "saggar-model"],
        ),
        ("saggar-conformance", &["saggar-sandbox", "saggar-model"]),
        ("saggar-registry", &["saggar-model"]),
        (
            "saggar",
            &[
                "saggar-admin",
                "saggar-bench",
                "saggar-conformance",
                "saggar-registry",
                "saggar-worker",
                "saggar-sandbox",
                "saggar-jetstream",
                "saggar-egress",
                "saggar-model",
            ],
        ),
    ];
    let dependencies = dependencies();
    for (package, allowed) in allowed {
        let ours = dependencies[package].iter().filter(|name| name.starts_with("saggar"));
        for dependency in ours {
            assert!(allowed.contains(&dependency.as_str()), "{package} must not depend on {dependency}");
        }
    }
    for package in ["saggar-plugin", "saggar-plugin-macros"] {
        let ours = dependencies[package].iter().filter(|name| name.starts_with("saggar-"));
        assert!(ours.clone().all(|name| name.starts_with("saggar-plugin")), "sdk and host meet in wit/ only");
    }
}

#[test]
fn heavy_dependencies_stay_behind_their_walls() {
    for (package, dependencies) in dependencies() {
        let uses = |wanted: &str| {
            dependencies.iter().any(|name| name == wanted || name.starts_with(&format!("{wanted}-")))
        };
        if uses("wasmtime") {
            assert_eq!(package, "saggar-sandbox", "wasmtime is behind the sandbox");
        }
        if uses("async-nats") {
            let allowed = ["saggar-jetstream", "saggar-harness", "saggar-demo", "saggar-chaos"];
            assert!(allowed.contains(&package.as_str()), "{package} must not use async-nats");
        }
        if uses("hickory") {
            assert_eq!(package, "saggar-egress", "requests of guests leave through one gate");
        }
        if uses("hyper") || uses("tokio-rustls") {
            let allowed = ["saggar-egress", "saggar-registry", "saggar-relay"];
            assert!(allowed.contains(&package.as_str()), "{package} must not speak to strangers");
        }
        if package == "saggar-model" {
            assert!(!uses("tokio"), "the model is pure");
        }
    }
}

#[test]
fn no_source_names_what_is_behind_another_wall() {
    for (wall, home) in
        [("wasmtime", "host/sandbox"), ("async_nats", "host/jetstream"), ("hickory_resolver", "host/egress")]
    {
        for file in sources(&root().join("host")) {
            let inside = file.strip_prefix(root()).unwrap().starts_with(home);
            let text = std::fs::read_to_string(&file).unwrap();
            let named = text.lines().any(|line| line.contains(&format!("{wall}::")));
            assert!(inside || !named, "{} names {wall}", file.display());
        }
    }
}

#[test]
fn the_fault_campaign_believes_nothing_of_what_it_checks() {
    let dependencies = dependencies();
    let ours = dependencies["saggar-chaos"].iter().filter(|name| name.starts_with("saggar"));
    assert_eq!(ours.collect::<Vec<_>>(), ["saggar-harness"]);
    // From the harness: processes, servers and guests. Whatever submits, reads and judges has not even that.
    let with_the_harness = ["campaign.rs", "hosts.rs", "operator.rs", "servers.rs"];
    for file in sources(&root().join("tests/chaos/src")) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let uses = text.lines().any(|line| line.contains("saggar_"));
        assert!(!uses || with_the_harness.contains(&name), "{name} must not use Saggar's crates");
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

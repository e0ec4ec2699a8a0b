//! What `saggar doctor` says of an installation, and that the page it goes by keeps its word.

use saggar_harness::{LocalServer, StartOptions, guests, run};
use serde_json::Value;

use crate::stage::{Stage, saggar};

async fn rows(stage: &Stage, args: &[&str], code: i32) -> Value {
    let args = [&["doctor", "--output", "json"], args].concat();
    let said = stage.run(&args).await.expect_code(code);
    serde_json::from_slice::<Value>(&said.stdout).expect("one object")["data"]["rows"].take()
}

fn row<'a>(rows: &'a Value, check: &str) -> &'a Value {
    let found = rows.as_array().and_then(|rows| rows.iter().find(|row| row["check"] == check));
    found.unwrap_or_else(|| panic!("no {check} in {rows}"))
}

#[tokio::test]
async fn a_sound_installation_of_one_server_is_told_what_that_costs() {
    let (stage, _host) = Stage::with_host("sound", &["echo"]).await;
    let rows = rows(&stage, &[], 0).await;
    for check in ["server", "permissions", "settings", "consumers", "clock", "cache"] {
        assert_eq!(row(&rows, check)["mark"], "ok", "{rows}");
    }
    assert_eq!(row(&rows, "replicas")["mark"], "warn");
    assert_eq!(row(&rows, "hosts")["mark"], "warn", "one host is one too few");
    for check in ["sync", "storage"] {
        let row = row(&rows, check);
        assert_eq!(row["mark"], "unknown", "a host's user may not ask");
        assert!(row["advice"].as_str().is_some_and(|advice| advice.contains("--monitor")), "{row}");
    }
    let shown = stage.run(&["doctor"]).await.expect_code(0).text();
    assert!(shown.contains("CHECK") && shown.contains("replicas:"), "{shown}");
}

#[tokio::test]
async fn what_a_servers_monitoring_says_is_judged() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = Some(format!("http: 127.0.0.1:{port}\n"));
    let server = LocalServer::start(StartOptions { config, ..StartOptions::default() }).await.unwrap();
    let stage = Stage::on("monitored", server).await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["echo"], "").await;
    let rows = rows(&stage, &["--monitor", &format!("127.0.0.1:{port}")], 0).await;
    assert_eq!(row(&rows, "storage")["mark"], "ok", "{rows}");
    assert_eq!(row(&rows, "sync")["found"], "written to disk every 120 s");
    stage.run(&["doctor", "--monitor", "127.0.0.1:1"]).await.expect_code(69);
}

#[tokio::test]
async fn what_could_lose_tasks_fails_and_says_what_to_change() {
    let stage = Stage::new("unsound").await;
    let mut host = stage.host("host-1", "").await;
    stage.apply(&["echo"], "").await;
    host.terminate();
    host.wait(crate::stage::SOON).await;
    let context = async_nats::jetstream::new(stage.client.clone());
    let mut results = context.get_stream("SAGGAR_RESULTS_unsound").await.unwrap();
    let mut config = results.info().await.unwrap().config.clone();
    config.republish = Some(async_nats::jetstream::stream::Republish {
        source: ">".to_owned(),
        destination: "elsewhere.>".to_owned(),
        headers_only: false,
    });
    context.update_stream(config).await.expect("somebody may");
    let cache = stage.dir.path().join("cache");
    std::fs::create_dir(&cache).unwrap();
    std::fs::set_permissions(&cache, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let file = stage.write("doctor.toml", &format!("[host]\ncache = '{}'\n", cache.display()));
    let rows = rows(&stage, &["--config", &file.display().to_string()], 1).await;
    let settings = row(&rows, "settings");
    assert_eq!(settings["mark"], "fail");
    assert!(settings["found"].as_str().is_some_and(|found| found.contains("republish")), "{settings}");
    let cache = row(&rows, "cache");
    assert_eq!(cache["mark"], "fail");
    assert!(cache["advice"].as_str().is_some_and(|advice| advice.starts_with("chmod 700")), "{cache}");
}

#[tokio::test]
async fn a_user_who_may_not_do_what_a_host_must_is_told() {
    let config = "accounts { A { jetstream: enabled, users: [ { user: u, password: p, permissions: { \
                  publish: { allow: [\"$JS.API.>\", \"$SYS.REQ.USER.INFO\"] } } }, { user: all, password: p } ] } }\n\
                  no_auth_user: all\n";
    let options = StartOptions { config: Some(config.to_owned()), ..StartOptions::default() };
    let stage = Stage::on("permitted", LocalServer::start(options).await.unwrap()).await;
    let _host = stage.host("host-1", "").await;
    let url = stage.server.url().replace("nats://", "nats://u:p@");
    let rows = rows(&stage, &["--nats", &url], 1).await;
    let permissions = row(&rows, "permissions");
    assert_eq!(permissions["mark"], "fail", "{permissions}");
    assert!(
        permissions["found"].as_str().is_some_and(|found| found.contains("publish $JS.ACK.>")),
        "{permissions}"
    );
}

#[tokio::test]
async fn mistakes_are_told_as_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("host.toml");
    std::fs::write(&file, "[host]\nslot = 1\n").unwrap();
    let file = file.display().to_string();
    let nowhere = [("NATS_URL", "nats://127.0.0.1:1")];
    let table: [(&[&str], i32, &str); 4] = [
        (&["doctor"], 69, "127.0.0.1:1"),
        (&["doctor", "--config", &file], 64, "`host.slot`"),
        (&["doctor", "--config", "nowhere.toml"], 66, "nowhere.toml"),
        (&["doctor", "--monitor", "http://x"], 2, "HOST:PORT"),
    ];
    for (args, code, part) in table {
        let said = run(saggar(), args, b"", &nowhere).await.expect_code(code);
        assert!(said.stderr.contains(part), "{args:?}: {}", said.stderr);
    }
}

#[test]
fn every_proof_that_the_pages_on_durability_and_faults_name_is_there() {
    for page in ["docs/durability.md", "docs/faults.md"] {
        let text = std::fs::read_to_string(guests::root().join(page)).expect("the page is there");
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let files: Vec<_> = links.filter(|link| !link.starts_with("http")).collect();
        assert!(files.len() > 10, "{page} names its proofs");
        for file in files {
            let file = file.split('#').next().unwrap_or(file);
            assert!(guests::root().join("docs").join(file).is_file(), "{page} names {file}");
        }
    }
}

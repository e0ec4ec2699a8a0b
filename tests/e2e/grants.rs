//! What an operator grants reaches the tasks of a queue, what is not granted does not, and secrets reach nobody else.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use futures::StreamExt as _;
use saggar_harness::{LocalServer, StartOptions, eventually, now_or_panic, run};
use saggar_model::Outcome;
use serde_json::Value;

use crate::stage::{SOON, Stage, get, saggar};

const CANARY: &str = "canary-5b9d/7c+418";

/// The spellings that anybody would recognise the canary in.
fn spellings() -> Vec<Vec<u8>> {
    let base64 = |before: usize| {
        let encoded = STANDARD_NO_PAD.encode([vec![b'x'; before], CANARY.into()].concat());
        encoded.as_bytes()[(before * 8).div_ceil(6)..(before + CANARY.len()) * 8 / 6].to_vec()
    };
    vec![CANARY.into(), hex::encode(CANARY).into(), base64(0), base64(1), base64(2)]
}

fn holds_canary(bytes: &[u8]) -> bool {
    let found = |spelling: &Vec<u8>| bytes.windows(spelling.len()).any(|window| window == spelling);
    spellings().iter().any(found)
}

/// The files below a directory that hold the canary.
fn files_with_canary(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(directory).expect("the directory can be listed");
    for path in entries.map(|entry| entry.expect("an entry can be read").path()) {
        if path.is_dir() {
            found.extend(files_with_canary(&path));
        } else if holds_canary(&std::fs::read(&path).unwrap_or_default()) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn attack_61_a_secret_is_in_no_record_event_metric_or_log() {
    let store = tempfile::tempdir().expect("there is room for the server's files");
    let options = StartOptions { store_dir: Some(store.path().to_owned()), ..StartOptions::default() };
    let server = LocalServer::start(options).await.expect("a nats-server starts");
    let stage = Stage::on("secrets", server).await;
    let token = stage.write("token", CANARY);
    let secrets = format!("[secrets.secrets]\nTOKEN_FILE = '{}'", token.display());
    let host = stage.host("host-1", &secrets).await;
    let admin = host.wait_for_url(SOON).await;
    let settings = "events = true\nretry = { attempts = 1 }\n[queue.grants]\nsecrets = ['TOKEN']";
    stage.apply(&["leaks"], settings).await;

    let mut heard = stage.client.subscribe("saggar.>").await.expect("it is subscribed");
    let ways =
        ["output", "log", "long-log", "stdout", "stderr", "pieces", "progress", "panic", "reject", "retry"];
    let mut ids = Vec::new();
    for way in ways {
        for spelling in ["plain", "hex", "base64", "base64-shifted", "base64-shifted-twice"] {
            let id = format!("{way}-{spelling}");
            stage.publish("leaks", &id, format!("{way} {spelling}")).await;
            ids.push(id);
        }
    }
    let mut said = Vec::new();
    for id in &ids {
        let result = stage.result("leaks", id).await;
        said.extend(format!("{result:?}").into_bytes());
        for args in [["task", "get"], ["dead", "show"]] {
            let finished = stage.run(&[args[0], args[1], &format!("leaks/{id}")]).await;
            said.extend([finished.stdout, finished.stderr.into_bytes()].concat());
        }
    }
    for args in [&["queue", "ls"][..], &["dead", "ls"], &["task", "ls", "leaks"], &["tenant", "ls"]] {
        let finished = stage.run(args).await;
        said.extend([finished.stdout, finished.stderr.into_bytes()].concat());
    }
    let (_, metrics) = get(&format!("{admin}/metrics")).await.expect("the host answers");
    said.extend(metrics.into_bytes());
    // What the server passed on before this stands before it.
    stage.client.publish("saggar.end", "".into()).await.expect("it is sent");
    let rest = async {
        let mut events = 0;
        while let Some(message) = heard.next().await
            && message.subject.as_str() != "saggar.end"
        {
            events += usize::from(message.subject.contains(".event."));
            said.extend(format!("{} {:?}", message.subject, message.headers).into_bytes());
            said.extend(&message.payload);
        }
        events
    };
    assert!(now_or_panic("all that was said is heard", SOON, rest).await > ids.len());
    said.extend(host.stderr().concat().into_bytes());
    assert!(!holds_canary(&said), "{}", String::from_utf8_lossy(&said));
    assert!(said.windows(3).any(|window| window == b"***"), "the guests did try");
    assert_eq!(files_with_canary(store.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_host_leaves_no_core_file_in_which_to_look_for_secrets() {
    let stage = Stage::new("core-file").await;
    let host = stage.host("host-1", "").await;
    let pid = host.pid().expect("it runs");
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).expect("it can be read");
    let limits = read("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("there is a limit");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    assert_eq!(
        read("coredump_filter").trim().trim_start_matches('0'),
        "",
        "nothing of its memory is written"
    );
}

#[tokio::test]
async fn a_grant_takes_effect_with_the_next_task_and_so_does_its_withdrawal() {
    let stage = Stage::new("grants").await;
    let host = stage.host("host-1", "").await;
    let admin = host.wait_for_url(SOON).await;
    let none = "retry = { attempts = 1 }";
    let granted = "retry = { attempts = 1 }\n[queue.grants]\nconfig = { size = '200x200' }";
    stage.apply(&["configured"], none).await;
    stage.publish("configured", "denied", "size").await;
    let denied = stage.result("configured", "denied").await;
    assert_eq!(denied.outcome, Outcome::Retried);
    let reason = denied.reason().expect("there is one");
    assert!(reason.contains("no grant `config`"), "{reason}");
    let (_, metrics) = get(&format!("{admin}/metrics")).await.expect("the host answers");
    let counted = "saggar_denials_total{tenant=\"grants\",queue=\"configured\",grant=\"config\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    let line = host.wait_for_text("denied", SOON).await;
    for part in ["grants", "configured", "config", "size"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }

    for (settings, outcome) in [(granted, Outcome::Succeeded), (none, Outcome::Retried)] {
        stage.apply(&["configured"], settings).await;
        let mut turn = 0;
        eventually("the change takes effect", SOON, || {
            turn += 1;
            let (stage, id) = (&stage, format!("{outcome}-{turn}"));
            async move {
                stage.publish("configured", &id, "size").await;
                (stage.result("configured", &id).await.outcome == outcome).then_some(())
            }
        })
        .await;
    }
}

#[tokio::test]
async fn grants_are_shown_beside_what_the_plugin_wants() {
    let (stage, _host) = Stage::with_host("shown", &[]).await;
    stage.apply(&["configured"], "[queue.grants]\nconfig = { size = '200x200' }\nclock = true").await;
    let listed = stage.run(&["queue", "ls", "--output", "json"]).await.expect_code(0);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("it is JSON");
    assert_eq!(listed["data"]["rows"][0]["grants"], serde_json::json!(["config: size", "clock"]));
    let shown = stage.run(&["plugin", "inspect", "configured@1.0.0"]).await.expect_code(0).text();
    assert!(shown.contains("granted  queue configured: config: size; clock"), "{shown}");
    assert!(shown.contains("wants"), "{shown}");
}

#[tokio::test]
async fn a_run_here_has_the_grants_of_its_command_line() {
    let directory = tempfile::tempdir().expect("there is room");
    let token = directory.path().join("token");
    std::fs::write(&token, CANARY).expect("it can be written");
    let (token, cache) = (token.display().to_string(), directory.path().display().to_string());
    let env = [("TOKEN_FILE", token.as_str()), ("XDG_CACHE_HOME", cache.as_str())];
    let run_guest = async |guest: &str, grants: &[&str], input: &str| {
        let path = saggar_harness::guests::path(guest).display().to_string();
        let grants = grants.iter().flat_map(|grant| ["--grant", grant]);
        let args: Vec<&str> = ["run", path.as_str(), "--input", "-"].into_iter().chain(grants).collect();
        run(saggar(), &args, input.as_bytes(), &env).await
    };
    let read = run_guest("configured", &["config.size=200x200"], "size").await.expect_code(0).text();
    assert!(read.contains("200x200"), "{read}");
    let denied = run_guest("configured", &[], "size").await.expect_code(1).stderr;
    assert!(denied.contains("no grant `config`"), "{denied}");
    let leaked = run_guest("leaks", &["secrets=TOKEN"], "output hex").await.expect_code(0).text();
    assert_eq!(leaked, "here it is: ***.");
    let mistaken = run_guest("configured", &["confg.size=1"], "size").await.expect_code(2).stderr;
    assert!(mistaken.contains("did you mean `config`?"), "{mistaken}");
}

//! Payloads that are too large for a message, in and out: put and read by any client of NATS, used by the commands
//! without being asked, gone when nobody needs them any more.

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use saggar_harness::{eventually, guests, run};
use saggar_model::{Digest, Outcome, PayloadName};
use serde_json::Value;

use crate::stage::{SOON, Stage, saggar};

const MIB: usize = 1 << 20;

/// What a queue needs to echo 20 MiB.
const LARGE: &str = "limits = { output = '24MiB', memory = '256MiB' }";

/// Bytes of which no two pieces are alike.
fn content(bytes: usize) -> Vec<u8> {
    (0..bytes as u64 / 8).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect()
}

/// Asks hosts about a payload, as any client would.
async fn ask(stage: &Stage, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Message {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, *value);
    }
    let subject = format!("saggar.{}.control.blob", stage.tenant);
    let asked = stage.client.request_with_headers(subject, map, body.into());
    tokio::time::timeout(SOON, asked).await.expect("in time").expect("a host answers")
}

fn json(answer: &Message) -> Value {
    serde_json::from_slice(&answer.payload).expect("JSON")
}

fn header<'a>(answer: &'a Message, name: &str) -> Option<&'a str> {
    answer.headers.as_ref()?.get(name).map(async_nats::HeaderValue::as_str)
}

/// Puts a payload part by part; gives what its task says as `Saggar-Payload`.
async fn put(stage: &Stage, content: &[u8]) -> String {
    let (mut object, mut after) = (None, "0".to_owned());
    for part in content.chunks(900 * 1024) {
        let mut headers = vec![("Saggar-Blob", "put"), ("Saggar-After", &after)];
        headers.extend(object.as_deref().map(|object| ("Saggar-Payload", object)));
        let answer = json(&ask(stage, &headers, Bytes::copy_from_slice(part)).await);
        let name = answer["data"]["object"].as_str().unwrap_or_else(|| panic!("{answer}"));
        (object, after) = (Some(format!("object:{name}")), answer["data"]["after"].to_string());
    }
    let object = object.expect("there is a part");
    let digest = Digest::of(content).to_string();
    let finish = [("Saggar-Blob", "finish"), ("Saggar-Payload", &*object), ("Saggar-Digest", &digest)];
    let answer = json(&ask(stage, &finish, "").await);
    assert_eq!(answer["data"]["size"], content.len(), "{answer}");
    assert_eq!(answer["data"]["header"], object);
    object
}

/// Reads a payload part by part.
async fn get(stage: &Stage, object: &str) -> Vec<u8> {
    let (mut read, mut after) = (Vec::new(), "0".to_owned());
    loop {
        let asked = [("Saggar-Blob", "get"), ("Saggar-Payload", object), ("Saggar-After", &after)];
        let part = ask(stage, &asked, "").await;
        let size = header(&part, "Saggar-Size").unwrap_or_else(|| panic!("{}", json(&part)));
        let size: usize = size.parse().unwrap();
        read.extend_from_slice(&part.payload);
        let Some(next) = header(&part, "Saggar-After") else {
            assert_eq!(read.len(), size);
            assert_eq!(header(&part, "Saggar-Digest"), Some(&*Digest::of(&read).to_string()));
            return read;
        };
        next.clone_into(&mut after);
    }
}

/// The names of the payloads that are kept.
async fn kept(stage: &Stage) -> Vec<String> {
    use futures::TryStreamExt as _;
    let context = async_nats::jetstream::new(stage.client.clone());
    let Ok(store) = context.get_object_store(format!("saggar-{}-payloads", stage.tenant)).await else {
        return Vec::new();
    };
    let objects: Vec<_> = store.list().await.unwrap().try_collect().await.unwrap();
    objects.into_iter().map(|object| object.name).collect()
}

/// Waits until so many payloads are kept.
async fn keeps(stage: &Stage, count: usize) {
    eventually("what nobody needs is removed", SOON, || async {
        let kept = kept(stage).await;
        let chunks = match kept.len() {
            0 => stage.messages(&format!("OBJ_saggar-{}-payloads", stage.tenant)).await,
            _ => 0,
        };
        (kept.len() == count && chunks == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn twenty_mebibytes_go_in_and_out_with_any_client() {
    let stage = Stage::new("large-client").await;
    let _hosts = [stage.host("host-1", "").await, stage.host("host-2", "").await];
    stage.apply(&["echo"], LARGE).await;
    let content = content(20 * MIB);
    let object = put(&stage, &content).await;
    let headers = [("Saggar-Payload", &*object), ("Content-Type", "image/x-raw")];
    stage.publish_with("echo", "a", "", &headers).await;
    let result = stage.result("echo", "a").await;
    assert_eq!(result.outcome, Outcome::Succeeded, "{:?}", result.reason());
    assert_eq!((result.payload.len(), &*result.content_type), (0, "image/x-raw"));
    let size = content.len() as u64;
    assert_eq!((result.receipt.bytes_in, result.receipt.bytes_out), (size, size));
    let output = result.object.expect("it says where its output lies").header();
    assert!(get(&stage, &output).await == content);
    stage.drained().await;
    keeps(&stage, 1).await;
    assert_eq!(kept(&stage).await, [&output["object:".len()..]], "the input went with the task");
}

#[tokio::test]
async fn the_commands_carry_twenty_mebibytes_without_being_told_how() {
    let stage = Stage::new("large-command").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["echo", "returns"], LARGE).await;
    let content = content(20 * MIB);
    let file = stage.dir.path().join("large.bin");
    std::fs::write(&file, &content).unwrap();
    let file = file.display().to_string();
    let submit = ["task", "submit", "echo", "--id", "file", "--file", &file, "--wait"];
    let done = stage.run(&submit).await.expect_code(0);
    assert!(done.stdout == content, "{} bytes", done.stdout.len());
    assert!(stage.run(&["task", "get", "echo/file"]).await.expect_code(0).stdout == content);
    let waited = stage.run(&["task", "wait", "echo/file", "--output", "json"]).await.expect_code(0);
    let report: Value = serde_json::from_slice(&waited.stdout).unwrap();
    assert_eq!(report["data"]["output_encoding"], "base64");
    assert_eq!(report["data"]["receipt"]["bytes_out"], content.len());
    // One that is just too large, from standard input, and later.
    let less = &content[..MIB];
    let env = stage.env();
    let env: Vec<_> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let submit = ["task", "submit", "echo", "-", "--in", "10ms", "--wait"];
    let done = run(saggar(), &submit, less, &env).await.expect_code(0);
    assert!(done.stdout == less, "{} bytes", done.stdout.len());
    // An output alone.
    let done = stage.run(&["task", "submit", "returns", "3000000", "--wait"]).await.expect_code(0);
    assert!(done.stdout == vec![b'x'; 3_000_000]);
    stage.drained().await;
    keeps(&stage, 3).await;
}

#[tokio::test]
async fn a_payload_that_cannot_be_had_makes_its_task_invalid() {
    let (stage, _host) = Stage::with_host("large-bad", &["echo"]).await;
    let damaged = put(&stage, &content(2 * MIB)).await;
    let huge = put(&stage, &content(MIB)).await;
    let context = async_nats::jetstream::new(stage.client.clone());
    // What an operator might do to the store, and no tenant can.
    for (object, from, to) in
        [(&damaged, "SHA-256=", "SHA-256=AAAA"), (&huge, "\"size\":1", "\"size\":9000000001")]
    {
        let name = &object["object:".len()..];
        let stream = context.get_stream("OBJ_saggar-large-bad-payloads").await.unwrap();
        let subjects = stage.subjects("OBJ_saggar-large-bad-payloads").await;
        for subject in subjects.keys().filter(|subject| subject.contains(".M.")) {
            let meta = stream.get_last_raw_message_by_subject(subject).await.unwrap();
            let text = String::from_utf8(meta.payload.to_vec()).unwrap();
            if text.contains(name) {
                let mut headers = HeaderMap::new();
                headers.insert("Nats-Rollup", "sub");
                let body = text.replace(from, to);
                let stored = context.publish_with_headers(subject.clone(), headers, body.into()).await;
                stored.unwrap().await.unwrap();
            }
        }
    }
    let missing = PayloadName::input(1).header();
    let output = PayloadName::output(1).header();
    let long = format!("object:in-{}", "0".repeat(5000));
    let whole = put(&stage, &content(MIB)).await;
    for (id, payload, object, why) in [
        ("missing", "", &*missing, "there is no payload in-"),
        ("malformed", "", "object:../x", "names no payload"),
        ("wildcard", "", "object:in->", "names no payload"),
        ("elsewhere", "", "https://example.com/x", "names no payload"),
        ("long", "", &long, "names no payload"),
        ("output", "", &output, "is the output of another task"),
        ("both", "clay", &whole, "has a payload of its own"),
        ("damaged", "", &damaged, "its digest is another"),
        ("huge", "", &huge, "may have 64.0 MiB"),
    ] {
        stage.publish_with("echo", id, payload, &[("Saggar-Payload", object)]).await;
        let result = stage.result("echo", id).await;
        let reason = result.reason().unwrap_or_default();
        assert_eq!(result.outcome, Outcome::Invalid, "{id}: {reason}");
        assert!(reason.contains(why) && reason.len() < 700, "{id}: {reason}");
    }
    stage.drained().await;
    assert_eq!(stage.dead().await, 9);
    assert_eq!(kept(&stage).await.len(), 3, "what a dead letter names stays");
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_told_why() {
    let (stage, _host) = Stage::with_host("large-asked", &["echo"]).await;
    let name = PayloadName::input(7).header();
    let output = PayloadName::output(7).header();
    let other = Digest::of(b"other").to_string();
    let put =
        |after: &'static str| [("Saggar-Blob", "put"), ("Saggar-Payload", &*name), ("Saggar-After", after)];
    let first = json(&ask(&stage, &put("0"), "clay").await);
    assert_eq!(first["data"]["object"], name["object:".len()..], "{first}");
    for (headers, body, code) in [
        (vec![], "", "invalid"),
        (vec![("Saggar-Blob", "delete")], "", "invalid"),
        (vec![("Saggar-Blob", "get")], "", "invalid"),
        (vec![("Saggar-Blob", "get"), ("Saggar-Payload", "object:*")], "", "invalid"),
        (vec![("Saggar-Blob", "get"), ("Saggar-Payload", &*name)], "", "not-found"),
        (vec![("Saggar-Blob", "get"), ("Saggar-Payload", &*output)], "", "not-found"),
        (vec![("Saggar-Blob", "remove"), ("Saggar-Payload", &*output)], "", "invalid"),
        (vec![("Saggar-Blob", "put"), ("Saggar-Payload", &*output)], "clay", "invalid"),
        (vec![("Saggar-Blob", "put")], "", "invalid"),
        (put("-1").to_vec(), "clay", "invalid"),
        (put("99").to_vec(), "clay", "conflict"),
        (put("0").to_vec(), "sand", "conflict"),
        (
            vec![("Saggar-Blob", "finish"), ("Saggar-Payload", &*name), ("Saggar-Digest", &*other)],
            "",
            "conflict",
        ),
        (vec![("Saggar-Blob", "finish"), ("Saggar-Payload", &*name)], "", "not-found"),
    ] {
        let answer = json(&ask(&stage, &headers, body).await);
        assert_eq!(answer["code"], code, "{headers:?}: {answer}");
        assert!(answer["detail"].is_string() && answer["title"].is_string() && answer["type"].is_string());
    }
    let remove = [("Saggar-Blob", "remove"), ("Saggar-Payload", &*name)];
    assert_eq!(json(&ask(&stage, &remove, "").await)["data"]["object"], name["object:".len()..]);
    keeps(&stage, 0).await;
    // Of a tenant that does not exist nothing is made.
    let mut headers = HeaderMap::new();
    headers.insert("Saggar-Blob", "put");
    let asked = stage.client.request_with_headers("saggar.nobody.control.blob", headers, "clay".into());
    assert!(json(&asked.await.expect("it is answered"))["code"].is_string());
    let context = async_nats::jetstream::new(stage.client.clone());
    assert!(context.get_stream("OBJ_saggar-nobody-payloads").await.is_err());
}

#[tokio::test]
async fn attack_63_a_tenant_cannot_have_the_payload_of_another() {
    let mut stage = Stage::new("large-mine").await;
    let _host = stage.host("host-1", "").await;
    stage.apply_queues(&[("keeps", "keeps", "[queue.grants]\nblobs = true"), ("echo", "echo", "")]).await;
    let object = put(&stage, b"mine").await;
    // A plugin of the same tenant cannot name it either, whatever it is granted.
    let name = &object["object:".len()..];
    let prying = serde_json::json!([
        ["read", "", name],
        ["read", name, ""],
        ["names", ""],
        ["read", "payloads", name]
    ]);
    stage.publish("keeps", "1", prying.to_string()).await;
    let result = stage.result("keeps", "1").await;
    let said = String::from_utf8_lossy(&result.payload).into_owned();
    assert_eq!(said.matches("NotFound").count(), 4, "{said}");

    stage.tenant = "large-theirs".parse().unwrap();
    stage.apply(&["echo"], "").await;
    stage.publish_with("echo", "a", "", &[("Saggar-Payload", &object)]).await;
    assert_eq!(stage.result("echo", "a").await.outcome, Outcome::Invalid);
    let asked = [("Saggar-Blob", "get"), ("Saggar-Payload", &*object)];
    assert_eq!(json(&ask(&stage, &asked, "").await)["code"], "not-found");

    stage.tenant = "large-mine".parse().unwrap();
    stage.publish_with("echo", "a", "", &[("Saggar-Payload", &object)]).await;
    assert_eq!(stage.result("echo", "a").await.payload, "mine");
}

#[tokio::test]
async fn a_failed_task_keeps_its_payload_until_it_is_redriven() {
    let stage = Stage::new("large-dead").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["echo"], "").await;
    let content = content(2 * MIB);
    let object = put(&stage, &content).await;
    stage.publish_with("echo", "a", "", &[("Saggar-Payload", &object)]).await;
    assert_eq!(stage.result("echo", "a").await.outcome, Outcome::OutputTooLarge);
    stage.drained().await;
    let shown = stage.run(&["dead", "show", "echo/a", "--output", "json"]).await.expect_code(0);
    let dead: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(dead["data"]["headers"][0]["value"], object);
    assert!(dead["data"]["payload"].as_str().is_some_and(|payload| payload.len() > content.len()));
    stage.apply(&["echo"], LARGE).await;
    eventually("the new limits are in force", SOON, || async {
        stage.run(&["dead", "redrive", "echo/a"]).await.expect_code(0);
        let outcome = stage.result("echo", "a").await.outcome;
        stage.drained().await;
        (outcome == Outcome::Succeeded).then_some(())
    })
    .await;
    let output = stage.result("echo", "a").await.object.expect("it is large");
    assert!(get(&stage, &output.header()).await == content);
    keeps(&stage, 1).await;
}

#[tokio::test]
async fn of_two_results_of_one_id_one_output_is_kept_and_no_input() {
    let stage = Stage::new("large-twice").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["echo"], LARGE).await;
    let contents = [content(3 * MIB), content(2 * MIB)];
    let objects = [put(&stage, &contents[0]).await, put(&stage, &contents[1]).await];
    for object in &objects {
        stage.publish_with("echo", "a", "", &[("Saggar-Payload", object)]).await;
    }
    stage.drained().await;
    keeps(&stage, 1).await;
    let result = stage.result("echo", "a").await;
    assert!(contents.contains(&get(&stage, &result.object.expect("it is large").header()).await));
    // A third message of the id, that names what is gone: the task has ended, and is not invalid.
    stage.publish_with("echo", "a", "", &[("Saggar-Payload", &objects[0])]).await;
    stage.drained().await;
    assert_eq!((stage.results().await, stage.dead().await), (1, 0));
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_named() {
    let stage = Stage::new("large-quota").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["echo", "returns"], LARGE).await;
    let text = std::fs::read_to_string(stage.dir.path().join("tenant.toml")).unwrap();
    let file = stage.write(
        "small.toml",
        &text.replace("payloads = '96MiB'", "payloads = '4MiB'").replace("'24MiB'", "'4MiB'"),
    );
    stage.run(&["apply", &file.display().to_string()]).await.expect_code(0);
    let name = PayloadName::input(1).header();
    let (mut after, mut stored) = ("0".to_owned(), 0);
    let refused = loop {
        let headers = [("Saggar-Blob", "put"), ("Saggar-Payload", &*name), ("Saggar-After", &after)];
        let answer = json(&ask(&stage, &headers, vec![7; 512 * 1024]).await);
        if answer["data"].is_null() || stored > 8 {
            break answer;
        }
        (after, stored) = (answer["data"]["after"].to_string(), stored + 1);
    };
    assert_eq!(refused["code"], "quota-full", "{refused}");
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("`payloads`")), "{refused}");
    let large = stage.dir.path().join("large.bin");
    std::fs::write(&large, content(4 * MIB)).unwrap();
    let submit = ["task", "submit", "echo", "--file", &large.display().to_string()];
    let finished = stage.run(&submit).await.expect_code(77);
    assert!(finished.stderr.contains("`payloads`"), "{}", finished.stderr);
    stage.publish("returns", "a", "3000000").await;
    let result = stage.result("returns", "a").await;
    assert_eq!(result.outcome, Outcome::OutputTooLarge);
    assert!(result.reason().unwrap_or_default().contains("`payloads`"), "{:?}", result.reason());
    assert_eq!(stage.queued().await, 0, "what could not be put was not published");
}

#[tokio::test]
async fn a_task_that_waits_in_a_timer_has_its_payload_at_the_next_attempt() {
    let stage = Stage::new("large-retry").await;
    let _host = stage.host("host-1", "").await;
    stage.apply(&["fails"], "retry = { attempts = 2, base = '1ms', cap = '1ms' }").await;
    // More than 5 s is spent outside the queue.
    let content = [&b"retry-after 5100"[..], &vec![b' '; 2 * MIB]].concat();
    let object = put(&stage, &content).await;
    stage.publish_with("fails", "a", "", &[("Saggar-Payload", &object)]).await;
    let result = stage.result("fails", "a").await;
    assert_eq!((result.outcome, result.receipt.attempt), (Outcome::Retried, 2), "{:?}", result.reason());
    assert_eq!(result.receipt.bytes_in, content.len() as u64);
    stage.run(&["dead", "rm", "fails/a"]).await.expect_code(0);
    assert_eq!(kept(&stage).await.len(), 1, "it is swept when it is an hour old");
}

#[tokio::test]
async fn without_a_host_nobody_takes_a_large_payload_and_that_is_said() {
    let (stage, mut host) = Stage::with_host("large-alone", &["echo"]).await;
    host.terminate();
    host.wait(SOON).await;
    let large = stage.dir.path().join("large.bin");
    std::fs::write(&large, content(2 * MIB)).unwrap();
    let submit = ["task", "submit", "echo", "--file", &large.display().to_string()];
    let finished = stage.run(&submit).await.expect_code(69);
    assert!(finished.stderr.contains("saggar host"), "{}", finished.stderr);
    assert_eq!(stage.queued().await, 0);
}

#[tokio::test]
async fn a_cancelled_task_leaves_no_payload() {
    let (stage, _host) = Stage::with_host("large-cancel", &["sleeps"]).await;
    let content = [&b"60000"[..], &vec![b' '; 2 * MIB]].concat();
    let object = put(&stage, &content).await;
    stage.publish_with("sleeps", "a", "", &[("Saggar-Payload", &object)]).await;
    stage.running("sleeps", 1).await;
    stage.run(&["task", "cancel", "sleeps/a"]).await.expect_code(0);
    assert_eq!(stage.result("sleeps", "a").await.outcome, Outcome::Cancelled);
    stage.drained().await;
    keeps(&stage, 0).await;
}

/// The requests about payloads that the page on tasks shows: their headers, and whether they bring a part.
fn documented() -> Vec<(Vec<(String, String)>, bool)> {
    let page = std::fs::read_to_string(guests::root().join("docs/tasks.md")).expect("the page is there");
    let page = page.replace("\\\n", "");
    let requests = page.lines().filter(|line| line.starts_with("nats req saggar.acme.control.blob"));
    let request = |line: &str| {
        let headers = line.split("-H ").skip(1).filter_map(|rest| {
            let header = match rest.strip_prefix('"') {
                Some(quoted) => quoted.rsplit_once('"')?.0,
                None => rest.split(' ').next()?,
            };
            let (name, value) = header.split_once(':')?;
            Some((name.to_owned(), value.to_owned()))
        });
        (headers.collect(), line.contains(" < part-"))
    };
    requests.map(request).collect()
}

#[tokio::test]
async fn the_requests_of_the_documentation_do_what_it_says() {
    let (stage, _host) = Stage::with_host("acme", &["echo"]).await;
    let content = content(1_500_000);
    let mut parts = content.chunks(900 << 10);
    let (mut object, mut after, mut read, mut seen) = (String::new(), String::new(), Vec::new(), Vec::new());
    let digest = Digest::of(&content).to_string();
    for (headers, brings_part) in documented() {
        // What the page abbreviates, or has the shell work out.
        let said = |name: &str, value: &str| match name {
            "Saggar-Payload" => object.clone(),
            "Saggar-After" => after.clone(),
            "Saggar-Digest" => digest.clone(),
            _ => value.to_owned(),
        };
        let headers: Vec<_> = headers.iter().map(|(name, value)| (&**name, said(name, value))).collect();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
        let part = if brings_part { parts.next().expect("two parts are put") } else { &[] };
        let answer = ask(&stage, &headers, Bytes::copy_from_slice(part)).await;
        seen.push(headers[0].1.to_owned());
        if headers[0].1 == "get" {
            header(&answer, "Saggar-After").unwrap_or_default().clone_into(&mut after);
            read.extend_from_slice(&answer.payload);
        } else {
            let answer = json(&answer);
            let name = answer["data"]["object"].as_str().unwrap_or_else(|| panic!("{answer}"));
            (object, after) = (format!("object:{name}"), answer["data"]["after"].to_string());
        }
    }
    assert_eq!(seen, ["put", "put", "finish", "get", "get"]);
    assert!(read == content);
}

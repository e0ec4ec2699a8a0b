//! What goes on, as an operator sees it: who works, who waits, for how long, and who gets how much of the hosts.

use std::path::Path;

use saggar_harness::{SaggarProcess, SpawnOptions, eventually, guests, now_or_panic};
use serde_json::Value;

use crate::stage::{SOON, Stage, saggar};

/// Enough of them to keep a host busy while the test looks; nobody waits until they have ended.
const TASKS: usize = 2000;

/// What every row of a tenant or a queue has.
const FIGURES: [&str; 9] =
    ["pending", "oldest_ms", "running", "rate", "failures", "fuel", "processors", "share", "entitlement"];

impl Stage {
    /// A tenant with queues that run these guests, each named after its guest: (guest, settings).
    async fn tenant(&self, tenant: &str, weight: u32, queues: &[(&str, &str)]) {
        let mut text = format!(
            "[tenant]\nname = '{tenant}'\nweight = {weight}\n\
             quota = {{ bytes = '64MiB', results = '64MiB', dead = '16MiB' }}\n"
        );
        for (guest, settings) in queues {
            let file = guests::path(guest).display().to_string();
            let push = ["plugin", "push", &file, "--name", guest, "--version", "1.0.0", "--tenant", tenant];
            self.run(&push).await.expect_code(0);
            text += &format!("[[queue]]\nname = '{guest}'\nplugin = '{guest}@1.0.0'\n{settings}\n");
        }
        let file = self.write(&format!("{tenant}.toml"), &text);
        self.run(&["apply", &file.display().to_string()]).await.expect_code(0);
    }

    /// Publishes so many tasks of one payload to a queue of any tenant.
    async fn flood(&self, tenant: &str, queue: &str, payload: &'static str) {
        let stream = async_nats::jetstream::new(self.client.clone());
        let mut stored = Vec::new();
        for _ in 0..TASKS {
            let subject = format!("saggar.{tenant}.task.{queue}");
            stored.push(stream.publish(subject, payload.into()).await.expect("it is sent"));
        }
        now_or_panic("the server stores the tasks", SOON, async {
            for stored in stored {
                stored.await.expect("it is stored");
            }
        })
        .await;
    }

    /// What one sample shows.
    async fn top(&self, more: &[&str]) -> Value {
        let args = ["top", "--once", "--interval", "500ms", "--output", "json"];
        let args: Vec<&str> = args.iter().chain(more).copied().collect();
        let sample = self.run(&args).await.expect_code(0);
        serde_json::from_slice::<Value>(&sample.stdout).expect("one object")["data"].clone()
    }
}

/// The row whose fields have these values.
fn row<'a>(rows: &'a Value, fields: &[(&str, &str)]) -> Option<&'a Value> {
    let is_it = |row: &&Value| fields.iter().all(|(field, value)| row[field] == *value);
    rows.as_array().expect("rows").iter().find(is_it)
}

fn has_figures(row: &Value) {
    for figure in FIGURES {
        assert!(row.get(figure).is_some(), "{figure} in {row}");
    }
}

#[tokio::test]
async fn tenants_at_work_are_seen_with_what_they_do_and_what_they_are_entitled_to() {
    let stage = Stage::new("heavy").await;
    let _host = stage.host("host-1", "").await;
    stage.tenant("heavy", 3, &[("sieve", "")]).await;
    stage.tenant("light", 1, &[("sieve", ""), ("fails", "concurrency = 1")]).await;
    stage.tenant("idle", 9, &[("echo", "")]).await;
    stage.flood("light", "fails", "reject").await;
    for tenant in ["heavy", "light"] {
        stage.flood(tenant, "sieve", "400000").await;
    }
    let seen = eventually("both work, and one fails", SOON, || async {
        let seen = stage.top(&[]).await;
        let works = |tenant| {
            let row = row(&seen["tenants"], &[("tenant", tenant)])?;
            (row["rate"].as_f64()? > 0.0 && row["processors"].as_f64()? > 0.0).then_some(())
        };
        let fails = row(&seen["queues"], &[("tenant", "light"), ("queue", "fails")])?;
        (works("heavy").is_some() && works("light").is_some() && fails["failures"].as_f64()? > 0.0)
            .then(|| seen.clone())
    })
    .await;

    let tenants = seen["tenants"].as_array().unwrap();
    assert_eq!(tenants.len(), 2, "an idle one is not in the way: {seen}");
    let sum = |rows: &Value, field: &str| -> f64 {
        rows.as_array().unwrap().iter().map(|row| row[field].as_f64().unwrap()).sum()
    };
    for rows in [&seen["tenants"], &seen["queues"]] {
        assert!((sum(rows, "share") - 1.0).abs() < 1e-6, "{seen}");
        assert!((sum(rows, "entitlement") - 1.0).abs() < 1e-6, "{seen}");
        rows.as_array().unwrap().iter().for_each(has_figures);
    }
    let of = |tenant: &str, field: &str| {
        row(&seen["tenants"], &[("tenant", tenant)]).unwrap()[field].as_f64().unwrap()
    };
    assert_eq!((of("heavy", "entitlement"), of("light", "entitlement")), (0.75, 0.25));
    assert!(of("heavy", "share") > of("light", "share"), "{seen}");
    let sieve = row(&seen["queues"], &[("tenant", "heavy"), ("queue", "sieve")]).unwrap();
    for field in ["pending", "oldest_ms", "running", "rate", "fuel", "processors"] {
        assert!(sieve[field].as_f64() > Some(0.0), "{field} of {sieve}");
    }
    assert_eq!(sieve["failures"], 0.0);
    let host = &seen["hosts"][0];
    assert_eq!((&host["host"], &host["state"]), (&"host-1".into(), &"active".into()), "{host}");
    for field in ["slots", "running", "memory", "memory_used", "cores", "processors", "rate", "failures"] {
        assert!(host[field].as_f64() > Some(0.0), "{field} of {host}");
    }

    let listed = stage.object(&["tenant", "ls"], 0).await;
    let rows = &listed["data"]["rows"];
    rows.as_array().unwrap().iter().for_each(has_figures);
    let heavy = row(rows, &[("tenant", "heavy")]).unwrap();
    assert!(heavy["pending"].as_u64() > Some(0) && heavy["running"].as_u64() > Some(0), "{heavy}");
    let idle = row(rows, &[("tenant", "idle")]).unwrap();
    assert_eq!(
        (&idle["pending"], &idle["share"], &idle["entitlement"]),
        (&0.into(), &0.0.into(), &0.0.into())
    );
    let listed = stage.object(&["queue", "ls", "--tenant", "light"], 0).await;
    let rows = &listed["data"]["rows"];
    rows.as_array().unwrap().iter().for_each(has_figures);
    let sieve = row(rows, &[("queue", "sieve")]).unwrap();
    assert!(sieve["oldest_ms"].as_u64() > Some(0) && sieve["share"].as_f64() < Some(1.0), "{sieve}");

    let light = stage.top(&["--tenant", "light", "--sort", "failures"]).await;
    assert!(row(&light["tenants"], &[("tenant", "heavy")]).is_none(), "{light}");
    assert!(light["tenants"][0]["share"].as_f64() < Some(1.0), "of all that is done: {light}");
    assert_eq!(light["queues"][0]["queue"], "fails", "{light}");
    stage.run(&["top", "--once", "--tenant", "nobody"]).await.expect_code(66);
    let text = stage.run(&["top", "--interval", "200ms"]).await.expect_code(0).text();
    for part in ["TENANT", "heavy", "light/fails", "ENTITLED", "HOST", "active"] {
        assert!(text.contains(part), "without a terminal it prints and ends: {part} in\n{text}");
    }
    assert!(!text.contains('\x1b') && !text.contains("idle"), "{text}");
}

#[tokio::test]
async fn a_queue_that_nobody_may_take_from_is_seen_to_wait() {
    let (stage, _host) = Stage::with_host("seen-paused", &["echo"]).await;
    stage.run(&["queue", "pause", "echo"]).await.expect_code(0);
    for id in ["a", "b", "c"] {
        stage.publish("echo", id, "clay").await;
    }
    let seen = stage.top(&[]).await;
    let queue = row(&seen["queues"], &[("queue", "echo")]).expect("it is seen").clone();
    assert_eq!((&queue["pending"], &queue["running"], &queue["rate"]), (&3.into(), &0.into(), &0.0.into()));
    assert!(queue["oldest_ms"].as_u64() > Some(0), "{queue}");
    stage.run(&["queue", "resume", "echo"]).await.expect_code(0);
    stage.drained().await;
    eventually("whoever has nothing to do is not shown", SOON, || async {
        let seen = stage.top(&[]).await;
        seen["tenants"].as_array()?.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_shown_as_silent() {
    let (stage, host) = Stage::with_host("seen-silent", &["echo"]).await;
    let other = stage.host("host-2", "").await;
    let state = async |name: &str| {
        let seen = stage.top(&["--hosts"]).await;
        row(&seen["hosts"], &[("host", name)]).map(|host| host["state"].clone())
    };
    assert_eq!(state("host-1").await, Some("active".into()));
    host.freeze();
    let silent = state("host-1").await;
    host.thaw();
    assert_eq!((silent, state("host-2").await), (Some("silent".into()), Some("active".into())));
    drop(other);
}

#[tokio::test]
async fn programs_get_a_line_for_each_sample_until_they_have_enough() {
    let (stage, _host) = Stage::with_host("seen-lines", &["echo"]).await;
    let args = ["top", "--interval", "200ms", "--output", "json"].map(str::to_owned).to_vec();
    let mut top = SaggarProcess::spawn(saggar(), SpawnOptions { args, env: stage.env(), dir: None });
    let sample = |line: &str| {
        let sample: Value = serde_json::from_str(line).ok()?;
        sample["data"]["hosts"][0]["host"].as_str()?;
        Some(sample["meta"]["interval_ms"].as_u64()? >= 100)
    };
    assert!(top.wait_for_line("a sample", SOON, sample).await);
    let echoes = |line: &str| {
        let sample: Value = serde_json::from_str(line).ok()?;
        row(&sample["data"]["queues"], &[("queue", "echo")]).map(|_| ())
    };
    stage.publish("echo", "a", "clay").await;
    top.wait_for_line("a sample with a task that has ended", SOON, echoes).await;
    top.terminate();
    assert_eq!(top.wait(SOON).await.code(), Some(0));
}

#[tokio::test]
async fn a_terminal_is_as_it_was_however_it_ends() {
    let (stage, _host) = Stage::with_host("seen-terminal", &["echo"]).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/e2e/terminal.py");
    for how in ["q", "ctrl-c", "term"] {
        let mut python = tokio::process::Command::new("python3");
        python.arg(&script).arg(saggar()).arg(how).envs(stage.env()).kill_on_drop(true);
        let ended = now_or_panic("it ends", SOON * 3, python.output()).await.expect("python3 is there");
        let said = String::from_utf8_lossy(&ended.stdout);
        assert_eq!(said.trim(), "ended with 0", "{how}: {}", String::from_utf8_lossy(&ended.stderr));
    }
}

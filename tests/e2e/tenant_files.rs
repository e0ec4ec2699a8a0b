//! Tenants as files: what applying them makes of schedules, what differs and from what, and what is exported.

use std::time::Duration;

use saggar_harness::eventually;
use saggar_jetstream::{Expected, Schedules};
use saggar_model::config::{parse_tenant, write_tenant};
use saggar_model::{Ceilings, Schedule};
use serde_json::{Value, json};

use crate::stage::{SOON, Stage};

/// A queue for the guest `echo`, and what else stands in the file.
const QUEUE: &str = "[[queue]]\nname = 'echo'\nplugin = 'echo@1.0.0'\n";

impl Stage {
    /// Writes a file of the test's tenant, with quotas for a small disk.
    pub fn file(&self, rest: &str) -> String {
        let quota = "{ bytes = '64MiB', results = '64MiB', dead = '16MiB', kv = '2MiB', blobs = '8MiB' }";
        let text = format!("[tenant]\nname = '{}'\nquota = {quota}\n{rest}", self.tenant);
        self.write("tenant.toml", &text).display().to_string()
    }

    /// Runs a command that answers in JSON: its whole object.
    pub async fn object(&self, args: &[&str], code: i32) -> Value {
        let args: Vec<_> = args.iter().copied().chain(["--output", "json"]).collect();
        let finished = self.run(&args).await.expect_code(code);
        serde_json::from_slice(&finished.stdout).expect("one object")
    }

    async fn schedule(&self, name: &str) -> Option<Schedule> {
        let schedules = Schedules::new(&self.nats().await);
        Some(schedules.get(&self.tenant, &name.parse().unwrap()).await.ok()??.schedule)
    }
}

#[tokio::test]
async fn schedules_of_a_file_are_made_changed_and_removed_and_those_of_commands_stay() {
    let (stage, _host) = Stage::with_host("filed", &["echo"]).await;
    let with = |cron: &str| {
        format!("{QUEUE}[[schedule]]\nname = 'nightly'\nqueue = 'echo'\ncron = '{cron}'\npayload = 'clay'\n")
    };
    stage.run(&["schedule", "add", "tick", "echo", "--cron", "@yearly"]).await.expect_code(0);
    let applied = stage.object(&["apply", &stage.file(&with("0 3 * * *"))], 0).await;
    assert_eq!(applied["meta"]["effective"], "now", "{applied}");
    assert_eq!(applied["data"]["rows"][0]["kept_schedules"], json!(["tick"]), "{applied}");
    let nightly = stage.schedule("nightly").await.expect("a host made it");
    assert!(nightly.from_file && nightly.cron == "0 3 * * *" && nightly.payload == b"clay", "{nightly:?}");
    assert!(!stage.schedule("tick").await.unwrap().from_file);
    let unchanged = stage.object(&["apply", &stage.file(&with("0 3 * * *"))], 0).await;
    assert_eq!(unchanged["meta"]["effective"], "unchanged");

    // A pause is the operator's: what is applied later leaves it alone.
    stage.run(&["schedule", "pause", "nightly"]).await.expect_code(0);
    stage.run(&["apply", &stage.file(&with("0 4 * * *"))]).await.expect_code(0);
    let nightly = stage.schedule("nightly").await.unwrap();
    assert!(nightly.paused && nightly.cron == "0 4 * * *", "{nightly:?}");
    let refused = stage.run(&["schedule", "rm", "nightly"]).await.expect_code(64);
    assert!(refused.stderr.contains("comes from the file"), "{}", refused.stderr);

    // What somebody removed by hand comes back, like a stream.
    let schedules = Schedules::new(&stage.nats().await);
    let stored = schedules.get(&stage.tenant, &nightly.name).await.unwrap().unwrap();
    schedules.remove(&stage.tenant, &nightly.name, stored.revision).await.unwrap();
    eventually("it is back", SOON, || async { stage.schedule("nightly").await }).await;

    stage.run(&["apply", &stage.file(QUEUE)]).await.expect_code(0);
    let gone = || async { stage.schedule("nightly").await.is_none().then_some(()) };
    eventually("what left the file is gone", Duration::from_secs(5), gone).await;
    assert!(stage.schedule("tick").await.is_some(), "no file ever had it");
    let taken = with("0 5 * * *").replace("nightly", "tick");
    stage.run(&["apply", &stage.file(&taken)]).await.expect_code(0);
    let tick = stage.schedule("tick").await.unwrap();
    assert!(tick.from_file && tick.cron == "0 5 * * *", "the file's by now: {tick:?}");
}

#[tokio::test]
async fn a_schedule_of_a_file_makes_its_tasks() {
    let (stage, _host) = Stage::with_host("filed-tasks", &["echo"]).await;
    let file = stage.file(&format!(
        "{QUEUE}[[schedule]]\nname = 'all'\nqueue = 'echo'\ncron = '@daily'\ncatch_up = 'all'\noverlap = 'queue'\npayload = 'clay'\n\
         content_type = 'text/x-clay'\nheaders = {{ X-Kiln = 'hot' }}\n"
    ));
    stage.run(&["apply", &file]).await.expect_code(0);
    // As if no host had been there for three days.
    let schedules = Schedules::new(&stage.nats().await);
    let stored = schedules.get(&stage.tenant, &"all".parse().unwrap()).await.unwrap().unwrap();
    let mut schedule = stored.schedule;
    schedule.decided_ms -= 72 * 3_600_000;
    schedules.put(&stage.tenant, &schedule, Expected::Revision(stored.revision)).await.unwrap();
    eventually("they are made", SOON, || async { (stage.results().await == 3).then_some(()) }).await;
    let listed = stage.json(&["task", "ls", "--results"]).await;
    let id = listed["rows"][0]["task"].as_str().unwrap().trim_start_matches("echo/").to_owned();
    let result = stage.result("echo", &id).await;
    assert_eq!((&*result.payload, result.content_type.as_str()), (&b"clay"[..], "text/x-clay"));
}

#[tokio::test]
async fn a_diff_says_what_applying_would_change_and_what_is_not_as_it_was_applied() {
    let stage = Stage::new("differs").await;
    let mut host = stage.host("host-1", "").await;
    stage.apply(&["echo"], "").await;
    let file = stage.file(&format!("{QUEUE}concurrency = 7\n"));
    let shown = stage.run(&["diff", &file]).await.expect_code(1).text();
    assert!(shown.contains("concurrency: 64 → 7"), "{shown}");
    stage.run(&["apply", &file]).await.expect_code(0);
    let same = stage.object(&["diff", &file], 0).await;
    assert_eq!(
        (&same["meta"]["differs"], &same["data"]["rows"][0]["changed"]),
        (&false.into(), &false.into())
    );
    stage.run(&["diff"]).await.expect_code(0);

    // A host would set it right within half a minute.
    host.terminate();
    host.wait(SOON).await;
    let context = async_nats::jetstream::new(stage.client.clone());
    let mut stream = context.get_stream("SAGGAR_RESULTS_differs").await.unwrap();
    let mut config = stream.info().await.unwrap().config.clone();
    config.max_bytes += 1;
    context.update_stream(config).await.unwrap();
    let tasks = context.get_stream("SAGGAR_TASKS_differs").await.unwrap();
    tasks.delete_consumer("echo").await.unwrap();
    for args in [&["diff"][..], &["diff", &file]] {
        let differs = stage.object(args, 1).await;
        let drift = &differs["data"]["rows"][0]["drift"];
        let setting = &drift["settings"][0];
        assert_eq!(setting["setting"], "max_bytes", "{differs}");
        assert_eq!(drift["missing"], json!(["SAGGAR_TASKS_differs, consumer echo: is missing"]), "{differs}");
    }
    let shown = stage.run(&["diff"]).await.expect_code(1).text();
    assert!(shown.contains("max_bytes is 67108865, must be 67108864"), "{shown}");
    stage.run(&["diff", "nowhere.toml"]).await.expect_code(66);
}

#[tokio::test]
async fn what_is_exported_is_what_apply_takes() {
    let (stage, _host) = Stage::with_host("exported", &["echo"]).await;
    let file = stage.file(&format!(
        "{QUEUE}concurrency = 7\nlimits = {{ timeout = '1m 30s', memory = '64MiB' }}\nretry = {{ on = {{ trapped = 'dead-letter' }} }}\n\
         [queue.grants]\nconfig = {{ motto = \"a \\\"b\\\"\\n\\u0000\" }}\nhttp = [{{ host = 'api.example.com', methods = ['POST'] }}]\n\
         [[schedule]]\nname = 'nightly'\nqueue = 'echo'\ncron = '0 3 * * *'\nzone = 'Europe/Berlin'\n"
    ));
    stage.run(&["apply", &file]).await.expect_code(0);
    stage.run(&["schedule", "add", "tick", "echo", "--cron", "@yearly"]).await.expect_code(0);
    let exported = stage.run(&["export", "exported"]).await.expect_code(0).text();
    assert!(exported.contains("# Schedule tick was added by command"), "{exported}");
    let read = |name: &str, text: &str| parse_tenant(name, text, &Ceilings::default()).unwrap().spec;
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(read("exported.toml", &exported), read("tenant.toml", &written), "{exported}");
    assert!(exported.starts_with(&write_tenant(&read("tenant.toml", &written))), "{exported}");
    let again = stage.write("exported.toml", &exported).display().to_string();
    assert_eq!(stage.object(&["apply", &again], 0).await["meta"]["effective"], "unchanged");

    let other = stage.write(
        "other.toml",
        "[tenant]\nname = 'other'\nquota = { bytes = '2MiB', results = '64MiB', dead = '2MiB' }\n",
    );
    stage.run(&["apply", &other.display().to_string()]).await.expect_code(0);
    let several = stage.run(&["export"]).await.expect_code(2);
    assert!(several.stderr.contains("--dir"), "{}", several.stderr);
    let dir = stage.dir.path().join("all").display().to_string();
    stage.run(&["export", "--dir", &dir]).await.expect_code(0);
    let files = ["exported", "other"].map(|name| format!("{dir}/{name}.toml"));
    stage.run(&["diff", &files[0], &files[1]]).await.expect_code(0);
    stage.run(&["export", "nobody"]).await.expect_code(66);
    stage.run(&["export", "Nobody"]).await.expect_code(2);
}

#[tokio::test]
async fn mistakes_that_only_nats_knows_of_are_reported_with_their_lines() {
    let (stage, _host) = Stage::with_host("mistaken", &["echo"]).await;
    let file = stage.file(&format!(
        "{QUEUE}canary = {{ version = '1.1.0', percent = 10 }}\n[[queue]]\nname = 'other'\nplugin = 'other@2'\n"
    ));
    for command in ["apply", "diff"] {
        let args = [command, &file, "--output", "json"];
        let refused = stage.run(&args).await.expect_code(66);
        let problem: Value = serde_json::from_str(&refused.stderr).expect("one object");
        let found: Vec<_> =
            problem["errors"].as_array().unwrap().iter().map(|it| (&it["line"], &it["key"])).collect();
        let expected = [(json!(7), json!("queue.canary.version")), (json!(10), json!("queue.plugin"))];
        assert_eq!(found, expected.each_ref().map(|(line, key)| (line, key)), "{problem}");
        let advice = problem["advice"].as_str().unwrap();
        assert!(
            advice.contains("--name echo --version 1.1.0") && advice.contains("--name other"),
            "{advice}"
        );
    }
}

#[tokio::test]
async fn a_file_that_makes_a_record_too_large_for_a_message_is_refused_and_costs_nobody_a_connection() {
    let (stage, _host) = Stage::with_host("heavy", &["echo"]).await;
    let value = "x".repeat(16_000);
    let mut queues = String::new();
    for n in 0..70 {
        queues += &QUEUE.replace("name = 'echo'", &format!("name = 'echo-{n}'"));
        queues += &format!("[queue.grants]\nconfig = {{ a = '{value}' }}\n");
    }
    let refused = stage.run(&["apply", &stage.file(&queues), "--yes"]).await.expect_code(64);
    for part in ["the record of tenant heavy would have", "grants.config", "max_payload"] {
        assert!(refused.stderr.contains(part), "{part} in {}", refused.stderr);
    }
    stage.publish("echo", "after", "clay").await;
    assert_eq!(stage.result("echo", "after").await.payload, "clay", "what there was is as it was");
}

#[tokio::test]
async fn the_schemas_that_are_published_are_printed() {
    let stage = Stage::new("schemas").await;
    for file in ["tenant", "host", "plugin"] {
        let path = format!("{}/../../docs/schemas/{file}.schema.json", env!("CARGO_MANIFEST_DIR"));
        let published = std::fs::read_to_string(path).unwrap();
        let printed = stage.run(&["schema", file]).await.expect_code(0).text();
        assert_eq!(printed.trim_end(), published.trim_end());
        let schema: Value = serde_json::from_str(&published).unwrap();
        assert_eq!(stage.json(&["schema", file]).await, schema);
    }
    stage.run(&["schema", "house"]).await.expect_code(2);
}

//! A new version of a plugin, tried with a share of the tasks: which take it, how it is given up or kept.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use saggar_harness::{eventually, guests};
use saggar_model::{Canary, Digest, Outcome, TaskResult};
use serde_json::json;

use crate::stage::{SOON, Stage, get};

impl Stage {
    /// Pushes a guest as a version of the plugin `clay`.
    pub async fn push_clay(&self, guest: &str, version: &str) -> Digest {
        let file = guests::path(guest);
        let path = file.display().to_string();
        self.run(&["plugin", "push", &path, "--name", "clay", "--version", version]).await.expect_code(0);
        Digest::of(&std::fs::read(file).expect("it is built"))
    }

    /// A file with a queue `clay` that runs this version, with these settings.
    pub fn clay(&self, version: &str, settings: &str) -> String {
        self.file(&format!("[[queue]]\nname = 'clay'\nplugin = 'clay@{version}'\n{settings}\n"))
    }

    /// The version that ran a task which was published this moment.
    async fn version_of(&self, id: &str) -> String {
        self.publish("clay", id, "1").await;
        version(&self.result("clay", id).await)
    }
}

fn version(result: &TaskResult) -> String {
    let plugin = result.receipt.plugin.as_ref().expect("a receipt names the plugin");
    plugin.version.as_ref().expect("a version").to_string()
}

#[tokio::test]
async fn a_share_of_the_tasks_takes_the_new_version_and_a_command_takes_it_back_within_a_second() {
    const TASKS: usize = 1000;
    let stage = Stage::new("canary").await;
    let host = stage.host("host-1", "").await;
    let stable = stage.push_clay("sleeps", "1.0.0").await;
    let tried = stage.push_clay("echo", "1.1.0").await;
    stage.run(&["apply", &stage.clay("1.0.0", "")]).await.expect_code(0);
    stage.publish("clay", "long", "4000").await;
    stage.running("clay", 1).await;
    let file = stage.clay("1.0.0", "canary = { version = '1.1.0', percent = 10 }");
    stage.run(&["apply", &file]).await.expect_code(0);

    let canary = Canary { version: "1.1.0".parse().unwrap(), percent: 10 };
    let queue = "clay".parse().unwrap();
    let takes = |id: &str| canary.takes(&stage.tenant, &queue, &id.parse().unwrap());
    let mut turn = 0;
    eventually("the canary is ready", SOON, || {
        turn += 1;
        let id = (0..1000).map(|n| format!("try-{turn}-{n}")).find(|id| takes(id)).unwrap();
        let stage = &stage;
        async move { (stage.version_of(&id).await == "1.1.0").then_some(()) }
    })
    .await;

    for n in 0..TASKS {
        stage.publish("clay", &format!("t{n}"), "1").await;
    }
    let mut versions = BTreeMap::<String, usize>::new();
    for n in 0..TASKS {
        let id = format!("t{n}");
        let result = stage.result("clay", &id).await;
        assert_eq!(result.outcome, Outcome::Succeeded, "{id}");
        let version = version(&result);
        assert_eq!(version == "1.1.0", takes(&id), "{id} is run by what its id says, here as anywhere");
        assert_eq!(result.receipt.digest, Some(if takes(&id) { tried } else { stable }));
        *versions.entry(version).or_default() += 1;
    }
    let share = versions["1.1.0"];
    println!("{share} of {TASKS} took the canary of 10 %");
    // Five standard deviations; which they are is decided by the ids, and is the same each time.
    assert!(share.abs_diff(TASKS / 10) <= 48, "{versions:?}");
    let url = host.wait_for_url(SOON).await;
    let (_, metrics) = get(&format!("{url}/metrics")).await.expect("it answers");
    let counted = |version: &str| {
        let start = format!(
            "saggar_canary_tasks_total{{tenant=\"canary\",queue=\"clay\",version=\"{version}\",outcome=\"succeeded\"}}"
        );
        let line =
            metrics.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{metrics}"));
        line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()
    };
    assert!(counted("canary") > share && counted("stable") >= TASKS - share, "{metrics}");

    let listed = stage.json(&["queue", "ls"]).await;
    assert_eq!(listed["rows"][0]["canary"], json!({ "version": "1.1.0", "percent": 10 }), "{listed}");
    let rolled = stage.json(&["queue", "rollback", "clay"]).await;
    let since = Instant::now();
    assert_eq!((&rolled["plugin"], &rolled["instead_of"]), (&json!("clay@1.0.0"), &json!("clay@1.1.0")));
    let mut turn = 0;
    eventually("no task takes the canary any more", Duration::from_secs(1), || {
        turn += 1;
        let stage = &stage;
        let id = (0..1000).map(|n| format!("after-{turn}-{n}")).find(|id| takes(id)).unwrap();
        async move { (stage.version_of(&id).await == "1.0.0").then_some(()) }
    })
    .await;
    println!("rolled back {:?} after the command ended, at try {turn}", since.elapsed());
    let long = stage.result("clay", "long").await;
    assert_eq!(
        (long.outcome, long.receipt.attempt, version(&long)),
        (Outcome::Succeeded, 1, "1.0.0".to_owned())
    );

    // The file is another by now, and `diff` says whose doing that is.
    let differs = stage.object(&["diff", &file], 1).await;
    let said = differs["data"]["rows"][0]["by_command"][0].as_str().unwrap().to_owned();
    assert!(said.contains("`saggar queue rollback`") && said.contains("clay@1.0.0"), "{said}");
}

#[tokio::test]
async fn a_promoted_version_runs_all_tasks_and_can_be_rolled_back_as_can_one_that_a_file_changed() {
    let stage = Stage::new("promoted").await;
    let _host = stage.host("host-1", "").await;
    stage.push_clay("sleeps", "1.0.0").await;
    stage.push_clay("echo", "1.1.0").await;
    stage.run(&["apply", &stage.clay("1.0.0", "")]).await.expect_code(0);
    stage.run(&["queue", "promote", "clay"]).await.expect_code(64);
    stage.run(&["queue", "rollback", "clay"]).await.expect_code(64);
    stage.run(&["queue", "promote", "nope"]).await.expect_code(66);
    let file = stage.clay("1.0.0", "canary = { version = '1.1.0', percent = 0 }");
    stage.run(&["apply", &file]).await.expect_code(0);
    assert_eq!(stage.version_of("a").await, "1.0.0");
    let becomes = async |wanted: &str, name: &str| {
        let mut turn = 0;
        eventually("the other version runs", SOON, || {
            turn += 1;
            let (stage, id) = (&stage, format!("{name}-{turn}"));
            async move { (stage.version_of(&id).await == wanted).then_some(()) }
        })
        .await;
    };
    stage.run(&["queue", "promote", "clay"]).await.expect_code(0);
    becomes("1.1.0", "promoted").await;
    let shown = stage.run(&["diff", &file]).await.expect_code(1);
    assert!(shown.stderr.contains("`saggar queue promote`"), "{}", shown.stderr);
    stage.run(&["queue", "rollback", "clay"]).await.expect_code(0);
    becomes("1.0.0", "back").await;
    stage.run(&["apply", &stage.clay("1.1.0", "")]).await.expect_code(0);
    becomes("1.1.0", "applied").await;
    stage.run(&["queue", "rollback", "clay"]).await.expect_code(0);
    becomes("1.0.0", "back-again").await;
}

#[tokio::test]
async fn a_canary_that_is_not_ready_does_not_stand_in_the_way() {
    let stage = Stage::new("lame").await;
    // What the tests' other hosts have compiled is not there.
    let cache = stage.dir.path().join("cache").display().to_string();
    let host = stage.host("host-1", &format!("cache = '{cache}'")).await;
    stage.push_clay("sleeps", "1.0.0").await;
    let digest = stage.push_clay("echo", "1.1.0").await;
    let context = async_nats::jetstream::new(stage.client.clone());
    let store = context.get_object_store("saggar_plugins").await.unwrap();
    let mut objects = store.list().await.unwrap();
    while let Some(Ok(object)) = objects.next().await {
        if object.name.contains(&digest.hex()) {
            store.delete(&object.name).await.unwrap();
        }
    }
    let file = stage.clay("1.0.0", "canary = { version = '1.1.0', percent = 100 }");
    stage.run(&["apply", &file]).await.expect_code(0);
    host.wait_for_text("the canary is not ready", SOON).await;
    assert_eq!(stage.version_of("a").await, "1.0.0");
}

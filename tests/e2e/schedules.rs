//! Schedules: tasks made again and again, what is missed, and what becomes of one that overlaps with the next.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use saggar_harness::eventually;
use saggar_jetstream::{Expected, Schedules};
use saggar_model::{CatchUp, Overlap, Schedule};

use crate::stage::{SOON, Stage};

/// A schedule of every night: not within the next minutes, whenever this runs, or else once more.
fn nightly(name: &str, queue: &str) -> Schedule {
    Schedule {
        name: name.parse().unwrap(),
        cron: "0 0 * * *".into(),
        zone: "UTC".into(),
        queue: queue.parse().unwrap(),
        overlap: Overlap::Queue,
        catch_up: CatchUp::All,
        payload: Vec::new(),
        headers: Vec::new(),
        paused: false,
        decided_ms: 0,
        last: None,
        from_file: false,
    }
}

fn days_ago(days: u64) -> SystemTime {
    SystemTime::now() - Duration::from_hours(24 * days)
}

#[tokio::test]
async fn a_schedule_makes_its_tasks_and_stops_when_it_is_told_to() {
    let (stage, _host) = Stage::with_host("schedules", &["echo"]).await;
    let add = ["schedule", "add", "tick", "echo", "clay", "--cron", "* * * * *", "--zone", "Europe/Berlin"];
    let added = stage.json(&add).await;
    assert!(added["next"].is_string(), "{added}");
    stage.run(&add).await.expect_code(64);
    let listed = stage.json(&["schedule", "ls"]).await;
    let row = &listed["rows"][0];
    assert_eq!(
        (&row["schedule"], &row["queue"], &row["paused"]),
        (&"tick".into(), &"echo".into(), &false.into())
    );
    let within = Duration::from_secs(90);
    let id = eventually("a task is made", within, || async {
        let listed = stage.json(&["task", "ls", "--results"]).await;
        Some(listed["rows"].get(0)?["task"].as_str()?.strip_prefix("echo/")?.to_owned())
    })
    .await;
    assert!(id.starts_with("tick-20") && id.ends_with("00Z"), "{id}");
    assert_eq!(stage.result("echo", &id).await.payload, "clay");
    stage.run(&["schedule", "pause", "tick"]).await.expect_code(0);
    assert_eq!(stage.json(&["schedule", "ls"]).await["rows"][0]["paused"], true);
    stage.run(&["schedule", "resume", "tick"]).await.expect_code(0);
    stage.run(&["schedule", "rm", "tick"]).await.expect_code(0);
    stage.run(&["schedule", "rm", "tick"]).await.expect_code(66);
    assert_eq!(stage.json(&["schedule", "ls"]).await["rows"], serde_json::json!([]));
}

#[tokio::test]
async fn what_was_missed_is_made_up_for_once_whoever_leads() {
    let stage = Stage::new("missed").await;
    let mut first = stage.host("host-1", "").await;
    stage.apply(&["echo"], "").await;
    let schedules = Schedules::new(&stage.nats().await);
    for (name, catch_up) in [("none", CatchUp::None), ("last", CatchUp::Last), ("all", CatchUp::All)] {
        let mut schedule = Schedule { catch_up, payload: name.into(), ..nightly(name, "echo") };
        schedule.decide_until(days_ago(5));
        schedules.put(&stage.tenant, &schedule, Expected::Absent).await.unwrap();
    }
    let made = async || {
        let ids: Vec<_> = stage.subjects("SAGGAR_RESULTS_missed").await.into_keys().collect();
        ["none", "last", "all"].map(|name| ids.iter().filter(|id| id.contains(&format!(".{name}-"))).count())
    };
    eventually("they are made", SOON, async || (made().await == [0, 1, 5]).then_some(())).await;
    // Another leader that knows nothing of it, as after a leader that was lost before it wrote it down.
    first.kill_9().await;
    let (all, _) = schedules.list(Some(&stage.tenant)).await.unwrap();
    for stored in all {
        let mut schedule = stored.schedule;
        schedule.decided_ms = 0;
        schedule.decide_until(days_ago(5));
        schedules.put(&stage.tenant, &schedule, Expected::Revision(stored.revision)).await.unwrap();
    }
    let _second = stage.host("host-2", "").await;
    let recent = SystemTime::now() - Duration::from_hours(1);
    eventually("the next leader has decided", SOON, || async {
        let (all, _) = schedules.list(Some(&stage.tenant)).await.ok()?;
        all.iter().all(|stored| stored.schedule.decided() > recent).then_some(())
    })
    .await;
    assert_eq!((made().await, stage.queued().await), ([0, 1, 5], 0), "nothing is made twice");
}

#[tokio::test]
async fn schedules_that_make_no_sense_are_refused() {
    let (stage, _host) = Stage::with_host("bad-schedules", &["echo"]).await;
    let large = stage.write("large", &"x".repeat(70_000)).display().to_string();
    let table: [(&[&str], i32, &str); 9] = [
        (&["a", "echo"], 2, "--cron"),
        (&["a", "echo", "--cron", "soon"], 2, "no cron expression"),
        (&["a", "echo", "--cron", "* * * * * *"], 2, "no cron expression"),
        (&["a", "echo", "--cron", "0 0 30 2 *"], 2, "never comes true"),
        (&["a", "echo", "--cron", "@daily", "--zone", "Mars/Base"], 2, "no time zone"),
        (&["a", "echo", "--cron", "@daily", "--overlap", "pile"], 2, "`skip`"),
        (&["a", "echo", "--cron", "@daily", "--catch-up", "some"], 2, "`none`"),
        (&["a", "echo", "--cron", "@daily", "--file", &large], 2, "70000 bytes"),
        (&["a", "echo", "--cron", "@daily", "-H", "Nats-Rollup: all"], 64, "Nats-Rollup"),
    ];
    for (args, code, part) in table {
        let args: Vec<_> = ["schedule", "add"].iter().chain(args).copied().collect();
        let finished = stage.run(&args).await.expect_code(code);
        assert!(finished.stderr.contains(part), "{args:?}: {}", finished.stderr);
    }
    stage.run(&["schedule", "add", "A", "echo", "--cron", "@daily"]).await.expect_code(2);
    stage.run(&["schedule", "add", "a", "nope", "--cron", "@daily"]).await.expect_code(66);
    stage.run(&["schedule", "pause", "nope"]).await.expect_code(66);
    stage.run(&["schedule", "ls", "--tenant", "nobody"]).await.expect_code(66);
}

#[tokio::test]
async fn a_task_that_overlaps_with_the_next_makes_it_wait_or_stops_it_or_is_cancelled() {
    let (stage, _host) = Stage::with_host("overlap", &["sleeps"]).await;
    let schedules = Schedules::new(&stage.nats().await);
    for (name, overlap) in [("skip", Overlap::Skip), ("queue", Overlap::Queue), ("replace", Overlap::Replace)]
    {
        // Long enough that each is still running when the next one is looked at.
        let mut schedule = Schedule { overlap, payload: "8000".into(), ..nightly(name, "sleeps") };
        schedule.decide_until(days_ago(3));
        schedules.put(&stage.tenant, &schedule, Expected::Absent).await.unwrap();
    }
    eventually("all is decided", SOON, || async {
        let (all, _) = schedules.list(Some(&stage.tenant)).await.ok()?;
        all.iter().all(|stored| stored.schedule.decided() > days_ago(1)).then_some(())
    })
    .await;
    stage.drained().await;
    let listed = stage.json(&["task", "ls", "--results"]).await;
    let mut ended = BTreeMap::<String, BTreeMap<String, usize>>::new();
    for row in listed["rows"].as_array().expect("a table") {
        let task = row["task"].as_str().expect("it has a name").trim_start_matches("sleeps/");
        let schedule = task.split('-').next().unwrap_or_default().to_owned();
        let outcome = row["outcome"].as_str().expect("it has ended").to_owned();
        *ended.entry(schedule).or_default().entry(outcome).or_default() += 1;
    }
    let ended = serde_json::to_value(&ended).unwrap();
    assert_eq!(
        ended,
        serde_json::json!({
            "skip": { "succeeded": 1 },
            "queue": { "succeeded": 3 },
            "replace": { "cancelled": 2, "succeeded": 1 },
        })
    );
}

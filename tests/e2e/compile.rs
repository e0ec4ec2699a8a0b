//! Components are compiled by a child process, once, and nobody waits for those of others.

use std::path::PathBuf;
use std::time::Duration;

use saggar_conformance::{Guest, around_handler};
use saggar_harness::{SaggarProcess, eventually};
use saggar_model::Outcome;

use crate::stage::{SOON, Stage, get};

/// A plugin that does nothing and takes a compiler seconds.
fn heavy(stage: &Stage) -> PathBuf {
    let function = "(func (param i32) (result i32) (local i32)
        (loop $l
            (local.set 1 (i32.add (local.get 1) (i32.mul (local.get 0) (i32.const 3))))
            (br_if $l (local.get 1)))
        (local.get 1))";
    let Guest::Component(text) = around_handler(&format!("(core module {})", function.repeat(40_000))) else {
        panic!("it is in text")
    };
    stage.write("heavy.wat", &text)
}

/// A host that has compiled nothing yet.
async fn host(stage: &Stage) -> SaggarProcess {
    let cache = stage.dir.path().join("cache");
    stage.host("host-1", &format!("cache = '{}'", cache.display())).await
}

/// The compile process of a host, if it has one now.
fn compile_process(host: &SaggarProcess) -> Option<u32> {
    let host = host.pid()?;
    let threads = std::fs::read_dir(format!("/proc/{host}/task")).ok()?;
    let mut children = threads.flatten().filter_map(|thread| {
        std::fs::read_to_string(thread.path().join("children")).ok()?.split(' ').next()?.parse().ok()
    });
    children.next()
}

async fn metric(host: &SaggarProcess, line: &str) -> Option<u64> {
    let url = host.wait_for_url(SOON).await;
    let (_, text) = get(&format!("{url}/metrics")).await?;
    text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
}

#[tokio::test]
async fn attack_45_many_tasks_of_a_plugin_that_is_not_compiled_are_one_compilation() {
    let stage = Stage::new("compile-once").await;
    let mut first = stage.host("host-0", "").await;
    stage.apply_queues(&[("q0", "echo", ""), ("q1", "echo", ""), ("q2", "echo", "")]).await;
    first.terminate();
    first.wait(SOON).await;
    let ids: Vec<_> = (0..1000).map(|n| (format!("q{}", n % 3), format!("t{n}"))).collect();
    for (queue, id) in &ids {
        stage.publish(queue, id, "clay").await;
    }
    let host = host(&stage).await;
    for (queue, id) in &ids {
        assert_eq!(stage.result(queue, id).await.outcome, Outcome::Succeeded);
    }
    assert_eq!(metric(&host, "saggar_cache_total{event=\"miss\"}").await, Some(1));
    assert_eq!(metric(&host, "saggar_compile_seconds_count").await, Some(1));
}

#[tokio::test]
async fn a_queue_whose_plugin_is_not_ready_waits_and_the_others_do_not() {
    let stage = Stage::new("compile-long").await;
    let heavy = heavy(&stage).display().to_string();
    // Of one tenant, one component is compiled at a time.
    let other = "compile-other";
    let push = ["plugin", "push", &heavy, "--name", "heavy", "--version", "1.0.0", "--tenant", other];
    stage.run(&push).await.expect_code(0);
    let text = format!("[tenant]\nname = '{other}'\n[[queue]]\nname = 'heavy'\nplugin = 'heavy@1.0.0'\n");
    let file = stage.write("other.toml", &text).display().to_string();
    let mut host = host(&stage).await;
    stage.run(&["apply", &file]).await.expect_code(0);
    stage.run(&["task", "submit", "heavy", "", "--id", "h", "--tenant", other]).await.expect_code(0);
    let compiler = eventually("a compile process", SOON, async || compile_process(&host)).await;

    // What it may do: neither open anything, nor take more than its share, nor read what the host was told.
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{compiler}/{name}"));
    let confined = async || read("status").ok()?.contains("Seccomp:\t2").then_some(());
    eventually("its confinement", SOON, confined).await;
    let limits = read("limits").expect("it is still compiling");
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect("there is such a limit");
        line.split_whitespace().next().expect("it has a value").parse::<u64>()
    };
    assert_eq!(limit("Max cpu time"), Ok(120));
    assert_eq!(limit("Max file size"), Ok(0));
    assert!(limit("Max address space").expect("it is limited") < 8 << 30);
    assert_eq!(read("environ").expect("it is still compiling"), "");

    stage.apply(&["echo"], "").await;
    for n in 0..3 {
        stage.publish("echo", &format!("e{n}"), "clay").await;
        assert_eq!(stage.result("echo", &format!("e{n}")).await.outcome, Outcome::Succeeded);
    }
    let status = read("status").expect("the other plugin is still being compiled");
    assert!(!status.contains("State:\tZ"), "{status}");

    // Whoever ends it, it is not the plugin's fault.
    let pid = rustix::process::Pid::from_raw(i32::try_from(compiler).unwrap()).expect("it is a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is ours");
    let another = async || compile_process(&host).filter(|again| *again != compiler);
    eventually("another try", SOON, another).await;
    stage.run(&["task", "wait", "heavy/h", "--tenant", other, "--timeout", "60s"]).await.expect_code(0);
    host.terminate();
    host.wait(SOON).await;
}

#[tokio::test]
async fn a_host_that_dies_takes_its_compile_process_with_it() {
    let stage = Stage::new("compile-orphan").await;
    let heavy = heavy(&stage).display().to_string();
    stage.run(&["plugin", "push", &heavy, "--name", "heavy", "--version", "1.0.0"]).await.expect_code(0);
    let text =
        format!("[tenant]\nname = '{}'\n[[queue]]\nname = 'heavy'\nplugin = 'heavy@1.0.0'\n", stage.tenant);
    let file = stage.write("tenant.toml", &text);
    let mut host = host(&stage).await;
    stage.run(&["apply", &file.display().to_string()]).await.expect_code(0);
    let compiler = eventually("a compile process", SOON, async || compile_process(&host)).await;
    let confined = async || {
        let status = std::fs::read_to_string(format!("/proc/{compiler}/status")).ok()?;
        status.contains("Seccomp:\t2").then_some(())
    };
    eventually("its confinement", SOON, confined).await;
    host.kill_9().await;
    let gone = async || match std::fs::read_to_string(format!("/proc/{compiler}/stat")) {
        Ok(stat) if !stat.contains(") Z ") => None,
        _ => Some(()),
    };
    eventually("its end", Duration::from_secs(10), gone).await;
}

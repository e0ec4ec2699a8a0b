//! Whatever is wrong is said clearly, with the right exit code, and nothing is left half done.

use saggar_harness::{guests, run};

use crate::stage::{SOON, Stage, saggar};

#[tokio::test]
async fn files_that_are_missing_or_something_else_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let text = write("notes.txt", b"not wasm");
    let module = write("module.wat", b"(module)");
    let other = write("other.wat", b"(component)");
    let broken = write("broken.toml", b"[tenant\n");
    let mistakes = write("mistakes.toml", b"[tenant]\nname = 'Acme'\nquotas = {}\n");
    let host = write("host.toml", b"[host]\nslot = 1\n");
    let table: [(&[&str], i32, &[&str]); 9] = [
        (&["run", "nowhere.wasm"], 66, &["nowhere.wasm"]),
        (&["run", &text], 64, &["not WebAssembly"]),
        (&["run", &module], 64, &["core WebAssembly module"]),
        (&["run", &other], 64, &["exports nothing", "saggar:task/handler"]),
        (&["run", "--fuel", "lots", "x.wasm"], 2, &["--fuel"]),
        (&["apply", "nowhere.toml"], 66, &["nowhere.toml"]),
        (&["apply", &broken], 64, &["broken.toml", "line 1"]),
        (&["apply", &mistakes], 64, &["`tenant.name`", "`quota`"]),
        (&["host", "--config", &host], 64, &["`host.slot`", "`slots`"]),
    ];
    for (args, code, parts) in table {
        let finished = run(saggar(), args, b"", &[]).await;
        assert_eq!(finished.code, Some(code), "{args:?}: {}", finished.stderr);
        for part in parts {
            assert!(finished.stderr.contains(part), "{args:?}: {part} in {}", finished.stderr);
        }
        assert!(finished.stdout.is_empty(), "{args:?}: nothing on stdout");
    }
}

#[tokio::test]
async fn without_nats_every_command_says_so_and_exits_with_69() {
    let nowhere = [("NATS_URL", "nats://127.0.0.1:1")];
    let folder = tempfile::tempdir().unwrap();
    let tenant = folder.path().join("tenant.toml");
    std::fs::write(&tenant, "[tenant]\nname = 'a'\n").unwrap();
    let tenant = tenant.display().to_string();
    let hello = guests::path("hello").display().to_string();
    let commands: [&[&str]; 13] = [
        &["task", "submit", "q", "x", "--tenant", "a"],
        &["task", "get", "q/a", "--tenant", "a"],
        &["dead", "ls", "--tenant", "a"],
        &["queue", "ls", "--tenant", "a"],
        &["tenant", "ls"],
        &["apply", &tenant],
        &["plugin", "push", &hello, "--tenant", "a", "--name", "hello", "--version", "1"],
        &["host"],
        &["host", "ls"],
        &["host", "drain", "host-1"],
        &["task", "cancel", "q/a", "--tenant", "a"],
        &["queue", "pause", "q", "--tenant", "a"],
        &["dead", "redrive", "--all", "--tenant", "a"],
    ];
    for args in commands {
        let finished = run(saggar(), args, b"", &nowhere).await;
        assert_eq!(finished.code, Some(69), "{args:?}: {}", finished.stderr);
        assert!(finished.stderr.contains("127.0.0.1:1"), "{args:?}: {}", finished.stderr);
    }
}

#[tokio::test]
async fn errors_are_problem_documents_where_json_is_asked_for() {
    let finished =
        run(saggar(), &["run", "nowhere.wasm", "--output", "json"], b"", &[]).await.expect_code(66);
    let problem: serde_json::Value = serde_json::from_str(&finished.stderr).expect("one object");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("nowhere.wasm")), "{problem}");
    assert!(problem["title"].is_string() && problem["type"].is_string(), "{problem}");
}

#[tokio::test]
async fn a_queue_without_its_plugin_is_not_applied() {
    let (stage, _host) = Stage::with_host("no-plugin", &["echo"]).await;
    let file =
        stage.write("more.toml", "[tenant]\nname = 'no-plugin'\n[[queue]]\nname = 'q'\nplugin = 'nope@1'\n");
    let finished = stage.run(&["apply", &file.display().to_string()]).await.expect_code(66);
    assert!(
        finished.stderr.contains("nope@1") && finished.stderr.contains("plugin push"),
        "{}",
        finished.stderr
    );
    let listed = stage.run(&["queue", "ls"]).await.expect_code(0).text();
    assert!(listed.contains("echo") && !listed.contains("nope"), "what there was is as it was: {listed}");
}

#[tokio::test]
async fn unknown_queues_and_tasks_are_not_found() {
    let (stage, _host) = Stage::with_host("not-found", &["echo"]).await;
    stage.run(&["task", "submit", "nope", "x"]).await.expect_code(66);
    stage.run(&["task", "get", "echo/nope"]).await.expect_code(66);
    stage.run(&["dead", "show", "echo/nope"]).await.expect_code(66);
    stage.run(&["plugin", "inspect", "nope@1"]).await.expect_code(66);
    stage.run(&["task", "get", "nope"]).await.expect_code(2);
    stage.run(&["task", "cancel", "echo/nope"]).await.expect_code(66);
    stage.run(&["task", "cancel", "nope/a"]).await.expect_code(66);
    stage.run(&["task", "cancel"]).await.expect_code(2);
    for command in ["pause", "resume", "purge"] {
        stage.run(&["queue", command, "nope"]).await.expect_code(66);
    }
    for (bad, part) in [
        (&["queue", "pause", "echo", "--for", "soon"][..], "--for"),
        (&["queue", "pause", "echo", "--until", "2001-01-01T00:00:00Z"], "has passed"),
        (&["queue", "pause", "echo", "--for", "1h", "--until", "2031-01-01T00:00:00Z"], "--until"),
        (&["queue", "purge", "echo"], "--yes"),
        (&["dead", "redrive"], "<TASKS>"),
        (&["dead", "redrive", "echo/a", "--all"], "--all"),
        (&["dead", "redrive", "--outcome", "sad"], "`sad` is not an outcome"),
        (&["dead", "rm", "--all"], "--yes"),
        (&["host", "drain", "Host 1"], "host name"),
        (&["host", "--config", "x.toml", "ls"], "--config"),
    ] {
        let finished = stage.run(bad).await.expect_code(2);
        assert!(finished.stderr.contains(part), "{bad:?}: {part} in {}", finished.stderr);
    }
    stage.run(&["host", "drain", "nobody"]).await.expect_code(66);
    stage.run(&["dead", "redrive", "--queue", "nope"]).await.expect_code(66);
}

#[tokio::test]
async fn a_version_once_pushed_never_changes() {
    let (stage, _host) = Stage::with_host("immutable", &["echo"]).await;
    let push = |guest| {
        let file = guests::path(guest).display().to_string();
        let stage = &stage;
        async move { stage.run(&["plugin", "push", &file, "--name", "echo", "--version", "1.0.0"]).await }
    };
    push("echo").await.expect_code(0);
    let refused = push("spin").await.expect_code(64);
    assert!(refused.stderr.contains("echo@1.0.0"), "{}", refused.stderr);
}

#[tokio::test]
async fn attack_17_a_queue_whose_limit_is_below_what_its_plugin_declares_is_not_applied() {
    let (stage, _host) = Stage::with_host("declared", &[]).await;
    let wide = stage.dir.path().join("wide.wasm");
    let guest = saggar_conformance::around_handler("(core module (memory 2048))");
    std::fs::write(&wide, guest.build().unwrap()).unwrap();
    let wide = wide.display().to_string();
    stage.run(&["plugin", "push", &wide, "--name", "wide", "--version", "1.0.0"]).await.expect_code(0);
    let apply = async |memory: &str| {
        let text = format!(
            "[tenant]\nname = 'declared'\n[[queue]]\nname = 'wide'\nplugin = 'wide@1.0.0'\n\
             limits = {{ memory = '{memory}' }}\n"
        );
        let file = stage.write("wide.toml", &text).display().to_string();
        stage.run(&["apply", &file, "--dry-run"]).await
    };
    apply("129MiB").await.expect_code(0);
    let refused = apply("127MiB").await.expect_code(64);
    for part in ["declared/wide", "128.0 MiB", "127.0 MiB", "limits.memory"] {
        assert!(refused.stderr.contains(part), "{part} in {}", refused.stderr);
    }
}

#[tokio::test]
async fn a_second_host_of_the_same_name_is_refused() {
    let stage = Stage::new("twins").await;
    let _first = stage.host("host-1", "").await;
    let mut second = stage.start_host("host-1", "");
    let status = second.wait(SOON).await;
    assert_eq!(status.code(), Some(64), "{:?}", second.stderr());
    let said = second.stderr().join("\n");
    assert!(said.contains("host-1") && said.contains("running already"), "{said}");
}

#[tokio::test]
async fn a_stream_that_somebody_set_up_dangerously_is_refused_at_start() {
    let (stage, mut host) = Stage::with_host("dangerous", &["echo"]).await;
    host.terminate();
    host.wait(SOON).await;
    let context = async_nats::jetstream::new(stage.client.clone());
    let mut stream = context.get_stream("SAGGAR_TASKS_dangerous").await.unwrap();
    let mut config = stream.info().await.unwrap().config.clone();
    config.allow_rollup = true;
    context.update_stream(config).await.unwrap();
    let mut again = stage.start_host("host-1", "");
    assert_eq!(again.wait(SOON).await.code(), Some(64), "{:?}", again.stderr());
    let said = again.stderr().join("\n");
    assert!(said.contains("SAGGAR_TASKS_dangerous") && said.contains("rollup"), "{said}");
}
